// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"net/http"
	"strings"

	"k8s.io/apiserver/pkg/endpoints/responsewriter"
)

const (
	challenge = `Basic realm="metrics-server: any user, a token as the password", charset="UTF-8"`
	howTo     = "This page needs a token of someone who may get the path " + Path + ". Leave the user empty, and give as the\n" +
		"password what\n\n    kubectl create token SERVICEACCOUNT\n\nprints. The ServiceAccount needs a ClusterRole with nonResourceURLs " + Path + " and the verb get.\n"
)

// AskForToken lets browsers in, which cannot send a bearer token but do ask for a
// password: at Path, the password is taken for the token, and who shows nothing and is
// refused is asked for one. All else passes as it is, and who may read what is for next
// to say.
func AskForToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != Path || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		if _, token, ok := r.BasicAuth(); ok && token != "" {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+token)
		}
		// What is no bearer token is nothing to the API server.
		hasToken := strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ")
		hasCertificate := r.TLS != nil && len(r.TLS.PeerCertificates) > 0
		asked := &asking{ResponseWriter: w, anonymous: !hasToken && !hasCertificate}
		next.ServeHTTP(responsewriter.WrapForHTTP1Or2(asked), r)
	})
}

// asking replaces a refusal by a question.
type asking struct {
	http.ResponseWriter
	anonymous bool
	asks      bool
}

// Unwrap implements responsewriter.UserProvidedDecorator.
func (a *asking) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *asking) WriteHeader(status int) {
	a.asks = status == http.StatusUnauthorized || status == http.StatusForbidden && a.anonymous
	if !a.asks {
		a.ResponseWriter.WriteHeader(status)
		return
	}
	h := a.Header()
	h.Del("Content-Length")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("WWW-Authenticate", challenge)
	a.ResponseWriter.WriteHeader(http.StatusUnauthorized)
	_, _ = a.ResponseWriter.Write([]byte(howTo)) // the client may be gone
}

// Write implements http.ResponseWriter.
func (a *asking) Write(p []byte) (int, error) {
	if a.asks {
		return len(p), nil
	}
	return a.ResponseWriter.Write(p)
}
