// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rawclient reads what an API server answers as it is sent, so that
// reading costs little beside what is measured.
package rawclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
)

// New returns a client with connections of its own, over HTTP/2 as those of
// client-go. It asks for compression only where a header does.
func New(config *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true, DisableCompression: true}}
}

// Open sends a GET with some headers, and returns an answer that is OK: any other
// is an error that says what came. The body is to be closed.
func Open(ctx context.Context, client *http.Client, url string, headers http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header = headers
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("%s: %s: %s", url, resp.Status, text)
	}
	return resp, nil
}
