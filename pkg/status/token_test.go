// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// server refuses whom it does not know as the API server does, and tells what it saw.
func server(seen *string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = r.Header.Get("Authorization")
		w.Header().Set("Content-Length", "7")
		switch token, ok := strings.CutPrefix(*seen, "Bearer "); {
		case token == "good":
			w.WriteHeader(http.StatusOK)
		case !ok, token == "weak":
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte("content"))
	})
}

func TestAskForToken(t *testing.T) {
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	header := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	certificate := func(r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
	}
	nothing := func(*http.Request) {}
	for name, tt := range map[string]struct {
		method, path string
		set          func(*http.Request)
		seen         string
		status       int
		asks         bool
	}{
		"a password is a token":      {"GET", Path, basic("", "good"), "Bearer good", 200, false},
		"whoever the user is":        {"HEAD", Path, basic("admin", "good"), "Bearer good", 200, false},
		"a token":                    {"GET", Path, header("Bearer good"), "Bearer good", 200, false},
		"a wrong password":           {"GET", Path, basic("", "bad"), "Bearer bad", 401, true},
		"a token without rights":     {"GET", Path, basic("", "weak"), "Bearer weak", 403, false},
		"nobody":                     {"GET", Path, nothing, "", 401, true},
		"a certificate":              {"GET", Path, certificate, "", 403, false},
		"no password":                {"GET", Path, basic("admin", ""), "Basic YWRtaW46", 401, true},
		"malformed":                  {"GET", Path, header("Basic %%%"), "Basic %%%", 401, true},
		"another path":               {"GET", "/metrics", basic("", "good"), "Basic Omdvb2Q=", 403, false},
		"nobody at another path":     {"GET", "/metrics", nothing, "", 403, false},
		"a path below":               {"GET", Path + "/", basic("", "good"), "Basic Omdvb2Q=", 403, false},
		"a method that changes some": {"POST", Path, basic("", "good"), "Basic Omdvb2Q=", 403, false},
	} {
		var seen string
		r := httptest.NewRequestWithContext(t.Context(), tt.method, "https://localhost"+tt.path, nil)
		r.TLS = &tls.ConnectionState{}
		tt.set(r)
		before := r.Header.Get("Authorization")
		w := httptest.NewRecorder()
		AskForToken(server(&seen)).ServeHTTP(w, r)
		asks := w.Header().Get("WWW-Authenticate") != ""
		if seen != tt.seen || w.Code != tt.status || asks != tt.asks {
			t.Errorf("%s: saw %q, %d, asks: %v", name, seen, w.Code, asks)
		}
		if helps := strings.Contains(w.Body.String(), "kubectl create token"); helps != tt.asks || helps == (w.Body.String() == "content") {
			t.Errorf("%s: the body is %q", name, w.Body)
		}
		if r.Header.Get("Authorization") != before {
			t.Errorf("%s: the caller's request is changed", name)
		}
	}
}
