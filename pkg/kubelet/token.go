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

// TokenSource gives the bearer token that is shown to kubelets. It is safe for concurrent use.
type TokenSource interface {
	// Token returns the token for one request, or why there is none: the request is not sent then.
	// It is called for each request, and so does no I/O.
	Token() (string, error)
	// Refused reports that a kubelet answered 401. A hostile one may do so each time.
	Refused()
}

// tokenFile is a bearer token in a file that may change.
type tokenFile struct {
	file    string
	current atomic.Pointer[string]
}

// read takes the token from the file, or leaves the last good one in use.
func (t *tokenFile) read() error {
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

// Token implements TokenSource.
func (t *tokenFile) Token() (string, error) { return *t.current.Load(), nil }

// Refused implements TokenSource. The file is read again in any case.
func (t *tokenFile) Refused() {}

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

// credentialsError is why no request was sent. It may be that of another request, which has timed out.
type credentialsError struct{ error }

// tokenTransport adds the token to requests that have no other credentials.
type tokenTransport struct {
	tokens TokenSource
	next   http.RoundTripper
}

func (t *tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Authorization") == "" {
		token, err := t.tokens.Token()
		if err != nil {
			return nil, credentialsError{err}
		}
		req = utilnet.CloneRequest(req)
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return t.next.RoundTrip(req)
}
