// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// token is a bearer token in a file that may change.
type token struct {
	file    string
	current atomic.Pointer[string]
}

// read takes the token from the file, or leaves the last good one in use.
func (t *token) read() error {
	content, err := os.ReadFile(t.file)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	text := strings.TrimSpace(string(content))
	if err := checkToken(text); err != nil {
		return fmt.Errorf("token %s: %w", t.file, err)
	}
	if known := t.current.Load(); known == nil || *known != text {
		t.current.Store(&text)
	}
	return nil
}

// checkToken keeps the characters out that a header cannot hold.
func checkToken(text string) error {
	if text == "" {
		return errors.New("the file is empty")
	}
	for _, r := range text {
		if r <= ' ' || r >= 0x7f {
			return errors.New("the file holds something else than one token")
		}
	}
	return nil
}

// wrap returns a transport that shows the token unless the request has other
// credentials.
func (t *token) wrap(rt http.RoundTripper) http.RoundTripper {
	return &tokenTransport{token: t, next: rt}
}

type tokenTransport struct {
	token *token
	next  http.RoundTripper
}

func (t *tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Authorization") == "" {
		req = utilnet.CloneRequest(req)
		req.Header.Set("Authorization", "Bearer "+*t.token.current.Load())
	}
	return t.next.RoundTrip(req)
}
