// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
)

func showAuthorization(w http.ResponseWriter, r *http.Request) {
	answer(textType, r.Header.Get("Authorization"))(w, r)
}

// refreshed fetches after the files have become due again.
func (f *fetcher) refreshed(t *testing.T) Answer {
	t.Helper()
	f.clock.SetTime(f.clock.Now().Add(refreshInterval))
	return f.succeeds(t)
}

func TestTokenFileRotates(t *testing.T) {
	k := newKubelet(t, showAuthorization, nil)
	file := tempFile(t, "token", []byte("first\n"))
	c := k.config(t)
	// What an in-cluster configuration has: the token, and where it came from.
	c.Client.BearerToken, c.Client.BearerTokenFile = "first", file
	f := newFetcher(t, c)
	expect := func(got Answer, want string) {
		t.Helper()
		if string(got.Body) != want {
			t.Errorf("Authorization is %q, want %q", got.Body, want)
		}
	}
	expect(f.succeeds(t), "Bearer first")
	writeFile(t, file, []byte("second"))
	expect(f.succeeds(t), "Bearer first")
	expect(f.refreshed(t), "Bearer second")
	for _, garbage := range []string{"", " \n", "two words", "a\x00b"} {
		writeFile(t, file, []byte(garbage))
		expect(f.refreshed(t), "Bearer second")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	expect(f.refreshed(t), "Bearer second")
	writeFile(t, file, []byte("third"))
	expect(f.refreshed(t), "Bearer third")
	if accepted, _ := k.counts(); accepted != 1 {
		t.Errorf("%d connections were made, want 1: a token is not bound to one", accepted)
	}
}

func TestCAFileRotates(t *testing.T) {
	for name, proxy := range getters {
		t.Run(name, func(t *testing.T) { testCAFileRotates(t, proxy) })
	}
}

func testCAFileRotates(t *testing.T, proxy func(*http.Request) (*url.URL, error)) {
	k := newKubelet(t, answer(textType, ""), nil)
	file := tempFile(t, "ca.crt", k.authority.pem)
	c := k.config(t)
	c.Client.CAData, c.Client.CAFile, c.Client.Proxy = nil, file, proxy
	f := newFetcher(t, c)
	f.succeeds(t)

	writeFile(t, file, []byte("garbage"))
	f.refreshed(t)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	f.refreshed(t)
	if accepted, _ := k.counts(); accepted != 1 {
		t.Errorf("%d connections were made, want 1", accepted)
	}

	// The same content again changes nothing.
	writeFile(t, file, k.authority.pem)
	f.refreshed(t)
	if accepted, _ := k.counts(); accepted != 1 {
		t.Errorf("%d connections were made, want 1", accepted)
	}

	// With another CA the open connection is not used any more.
	other := newAuthority(t, "other CA")
	writeFile(t, file, other.pem)
	f.clock.SetTime(f.clock.Now().Add(refreshInterval))
	f.fails(t, ReasonTLSUnknownAuthority)
	eventually(t, "the old connection is closed", func() bool {
		_, open := k.counts()
		return open == 0
	})

	writeFile(t, file, append(other.pem, k.authority.pem...))
	f.refreshed(t)
}

func TestClientCertificateFilesRotate(t *testing.T) {
	clients := newAuthority(t, "client CA")
	k := newKubelet(t, showClient, requireClient(clients))
	first, second := clients.issue(t, "first", nil), clients.issue(t, "second", nil)
	dir := t.TempDir()
	certFile := writeFile(t, filepath.Join(dir, "tls.crt"), first.cert)
	keyFile := writeFile(t, filepath.Join(dir, "tls.key"), first.key)
	c := k.config(t)
	c.Client.CertFile, c.Client.KeyFile = certFile, keyFile
	f := newFetcher(t, c)
	expect := func(got Answer, want string) {
		t.Helper()
		if string(got.Body) != want {
			t.Errorf("the kubelet saw %q, want %q", got.Body, want)
		}
	}
	expect(f.succeeds(t), "first")
	// Halfway: the key does not match the certificate.
	writeFile(t, certFile, second.cert)
	expect(f.refreshed(t), "first")
	writeFile(t, keyFile, second.key)
	expect(f.refreshed(t), "second")
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	expect(f.refreshed(t), "second")
	eventually(t, "one connection is left", func() bool {
		accepted, open := k.counts()
		return accepted == 2 && open == 1
	})
}

// Credentials that change while a request is made ready: its connection, which has the
// old ones, is not kept.
func TestCredentialsChangeDuringFetch(t *testing.T) {
	k := newKubelet(t, answer(textType, ""), nil)
	c := k.config(t)
	var f *fetcher
	c.Client.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			f.renew()
			return next.RoundTrip(r)
		})
	}
	f = newFetcher(t, c)
	f.succeeds(t)
	eventually(t, "the connection is closed", func() bool {
		accepted, open := k.counts()
		return accepted == 1 && open == 0
	})
}

func TestInsecureSendsNoCredentials(t *testing.T) {
	var got http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		answer(textType, "")(w, r)
	}))
	defer s.Close()
	p := newAuthority(t, "CA").issue(t, "client", nil)
	for name, client := range map[string]*rest.Config{
		"token":       {BearerToken: "secret"},
		"token file":  {BearerTokenFile: tempFile(t, "token", []byte("secret"))},
		"basic auth":  {Username: "user", Password: "secret"},
		"impersonate": {Impersonate: rest.ImpersonationConfig{UserName: "admin"}},
		"certificate": {TLSClientConfig: rest.TLSClientConfig{CertData: p.cert, KeyData: p.key}},
		"exec plugin": {ExecProvider: execConfig(`{"token":"secret"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(portOf(t, s.URL))
			c.Client, c.Insecure = client, true
			newFetcher(t, c).succeeds(t)
			for _, header := range []string{"Authorization", "Impersonate-User"} {
				if value := got.Get(header); value != "" {
					t.Errorf("%s is %q, want none", header, value)
				}
			}
		})
	}
}

func TestOtherCredentials(t *testing.T) {
	k := newKubelet(t, showAuthorization, nil)
	for name, tc := range map[string]struct {
		client rest.Config
		want   string
	}{
		"token":       {rest.Config{BearerToken: "secret"}, "Bearer secret"},
		"basic auth":  {rest.Config{Username: "user", Password: "secret"}, "Basic dXNlcjpzZWNyZXQ="},
		"exec plugin": {rest.Config{ExecProvider: execConfig(`{"token":"from-plugin"}`)}, "Bearer from-plugin"},
	} {
		t.Run(name, func(t *testing.T) {
			c := k.config(t)
			tc.client.CAData = k.authority.pem
			c.Client = &tc.client
			f := newFetcher(t, c)
			for range 2 {
				if got := f.succeeds(t); string(got.Body) != tc.want {
					t.Errorf("Authorization is %q, want %q", got.Body, tc.want)
				}
			}
		})
	}
}

// fakeTokens gives a token or an error, and counts refusals.
type fakeTokens struct {
	mu       sync.Mutex
	token    string
	err      error
	refusals int
}

func (f *fakeTokens) set(token string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.token, f.err = token, err
}

func (f *fakeTokens) Token() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.token, f.err
}

func (f *fakeTokens) Refused() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusals++
}

// Whatever credentials the server has, a kubelet sees the token of Tokens, or no request.
func TestTokensReplaceAllCredentials(t *testing.T) {
	clients := newAuthority(t, "client CA")
	p := clients.issue(t, "client", nil)
	for getter, proxy := range getters {
		for name, client := range map[string]rest.Config{
			"token":       {BearerToken: "secret"},
			"token file":  {BearerToken: "secret", BearerTokenFile: tempFile(t, "token", []byte("secret"))},
			"basic auth":  {Username: "user", Password: "secret"},
			"certificate": {TLSClientConfig: rest.TLSClientConfig{CertData: p.cert, KeyData: p.key}},
			"exec plugin": {ExecProvider: execConfig(`{"token":"secret"}`)},
			"impersonate": {BearerToken: "secret", Impersonate: rest.ImpersonationConfig{UserName: "admin"}},
		} {
			t.Run(getter+", "+name, func(t *testing.T) {
				var requests atomic.Int32
				k := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
					requests.Add(1)
					if len(r.TLS.PeerCertificates) > 0 || r.Header.Get("Impersonate-User") != "" {
						t.Errorf("the kubelet saw the certificates %v and the headers %v", r.TLS.PeerCertificates, r.Header)
					}
					if r.Header.Get("Authorization") == "Bearer old" {
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					showAuthorization(w, r)
				}, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
				c := k.config(t)
				client := client
				client.CAData, client.Proxy = k.authority.pem, proxy
				tokens := &fakeTokens{err: fmt.Errorf("the API server says no: %w", context.DeadlineExceeded)}
				c.Client, c.Tokens = &client, tokens
				f := newFetcher(t, c)
				f.fails(t, ReasonCredentials, "the API server says no")
				if n := requests.Load(); n != 0 {
					t.Errorf("%d requests without a token", n)
				}
				for _, token := range []string{"first", "second"} {
					tokens.set(token, nil)
					if got := f.succeeds(t); string(got.Body) != "Bearer "+token {
						t.Errorf("Authorization is %q, want that of token %s", got.Body, token)
					}
				}
				if tokens.refusals != 0 {
					t.Error("a token that was accepted is taken for refused")
				}
				tokens.set("old", nil)
				f.fails(t, ReasonUnauthorized)
				if tokens.refusals != 1 {
					t.Errorf("%d refusals were reported, want 1", tokens.refusals)
				}
				tokens.set("", errors.New("it has expired"))
				f.fails(t, ReasonCredentials, "it has expired")
			})
		}
	}
}

func TestInsecureSendsNoToken(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(showAuthorization))
	defer s.Close()
	c := testConfig(portOf(t, s.URL))
	c.Insecure, c.Tokens = true, &fakeTokens{token: "secret"}
	if got := newFetcher(t, c).succeeds(t); len(got.Body) > 0 {
		t.Errorf("Authorization is %q, want none", got.Body)
	}
}

func TestExecPluginCertificate(t *testing.T) {
	clients := newAuthority(t, "client CA")
	p := clients.issue(t, "plugin", nil)
	k := newKubelet(t, showClient, requireClient(clients))
	c := k.config(t)
	c.Client.ExecProvider = execConfig(fmt.Sprintf(`{"clientCertificateData":%q,"clientKeyData":%q}`, p.cert, p.key))
	if got := newFetcher(t, c).succeeds(t); string(got.Body) != "plugin" {
		t.Errorf("the kubelet saw %q", got.Body)
	}
}

func TestExecPluginFails(t *testing.T) {
	k := newKubelet(t, answer(textType, ""), nil)
	c := k.config(t)
	c.Client.ExecProvider = execConfig("")
	c.Client.ExecProvider.Command = filepath.Join(t.TempDir(), "missing")
	newFetcher(t, c).fails(t, ReasonCredentials, "getting credentials")
}

// execConfig is a plugin that prints the given status.
func execConfig(status string) *api.ExecConfig {
	return &api.ExecConfig{
		Command: "echo",
		Args: []string{
			`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":` + status + `}`,
		},
		APIVersion:      "client.authentication.k8s.io/v1",
		InteractiveMode: api.NeverExecInteractiveMode,
	}
}

func TestNewClientErrors(t *testing.T) {
	p := newAuthority(t, "CA").issue(t, "client", nil)
	other := newAuthority(t, "CA").issue(t, "other", nil)
	garbage := tempFile(t, "garbage", []byte("garbage"))
	missing := filepath.Join(t.TempDir(), "missing")
	for _, tc := range []struct {
		name   string
		client rest.Config
		want   string
	}{
		{"CA missing", rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: missing}}, "CA: open " + missing},
		{"CA garbage", rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: garbage}}, "CA " + garbage + ": "},
		{"CA data garbage", rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: []byte("x")}}, "CA: "},
		{"CA and insecure", rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: garbage, Insecure: true}}, "exclude each other"},
		{"key missing", rest.Config{TLSClientConfig: rest.TLSClientConfig{CertData: p.cert}}, "together"},
		{"key of another", rest.Config{TLSClientConfig: rest.TLSClientConfig{CertData: p.cert, KeyData: other.key}}, "client certificate and client key: "},
		{"certificate file missing", rest.Config{TLSClientConfig: rest.TLSClientConfig{CertFile: missing, KeyData: p.key}}, "client certificate: open " + missing},
		{"token missing", rest.Config{BearerTokenFile: missing}, "token: open " + missing},
		{"token empty", rest.Config{BearerTokenFile: tempFile(t, "empty", nil)}, "the file is empty"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := testConfig(10250)
			c.Client = &tc.client
			_, err := NewClient(c)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestConfigIsNotChanged(t *testing.T) {
	client := &rest.Config{BearerTokenFile: tempFile(t, "token", []byte("secret"))}
	c := testConfig(10250)
	c.Client = client
	newFetcher(t, c)
	if client.BearerTokenFile == "" || client.WrapTransport != nil || client.UserAgent != "" {
		t.Errorf("the caller's configuration was changed: %v", client)
	}
}
