// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

const (
	// maxBodyBytes is some 50 times the answer of a node with 500 containers.
	maxBodyBytes = 32 << 20
	// maxErrorBytes is how much of a refusal is read, so that the connection
	// can be used again.
	maxErrorBytes = 4 << 10
)

// checkResponse decides by status and headers whether the body is worth reading,
// and in which format it is.
func checkResponse(resp *http.Response, want resource) (exposition.Format, Reason, error) {
	if resp.StatusCode != http.StatusOK {
		return 0, statusReason(resp.StatusCode), statusError(resp)
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return 0, ReasonContentType, fmt.Errorf("unsupported Content-Encoding %q: none was asked for", truncate(encoding))
	}
	if resp.ContentLength > maxBodyBytes {
		return 0, ReasonTooLarge, fmt.Errorf("the body has %d bytes, more than %d", resp.ContentLength, maxBodyBytes)
	}
	format, err := contentFormat(resp, want)
	if err != nil {
		return 0, ReasonContentType, err
	}
	return format, "", nil
}

func statusError(resp *http.Response) error {
	// What cannot be read of a refusal is not missed.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
	status := fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if location := resp.Header.Get("Location"); location != "" {
		return fmt.Errorf("%s to %q: redirects are not followed", status, truncate(location))
	}
	return fmt.Errorf("%s: %q", status, truncate(string(body)))
}

// contentFormat goes by the Content-Type: a 200 may come from something that is
// not a kubelet.
func contentFormat(resp *http.Response, want resource) (exposition.Format, error) {
	contentType := resp.Header.Get("Content-Type")
	if contentType == "" {
		return 0, fmt.Errorf("the answer has no Content-Type: want %s", want.accept)
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return 0, fmt.Errorf("invalid Content-Type %q: %w", truncate(contentType), err)
	}
	format, ok := want.format(media, params)
	if !ok {
		return 0, fmt.Errorf("unsupported Content-Type %q: want %s", truncate(contentType), want.accept)
	}
	return format, nil
}

// readBody reads all of r into buf, which grows as needed. Growth follows what
// arrives and not what the Content-Length announces, so that a header alone
// costs no memory.
func readBody(r io.Reader, buf []byte) ([]byte, Reason, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > maxBodyBytes {
			return nil, ReasonTooLarge, fmt.Errorf("the body has more than %d bytes", maxBodyBytes)
		}
		if err == io.EOF {
			return buf, "", nil
		}
		if err != nil {
			return nil, bodyReason(err), fmt.Errorf("the body ends after %d bytes: %w", len(buf), err)
		}
	}
}
