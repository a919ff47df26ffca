// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOldTLSIsRefused(t *testing.T) {
	k := newKubelet(t, answer(textType, ""), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 })
	newFetcher(t, k.config(t)).fails(t, ReasonTLS)
}

func TestPlainHTTPServer(t *testing.T) {
	s := httptest.NewServer(answer(textType, ""))
	defer s.Close()
	newFetcher(t, testConfig(portOf(t, s.URL))).fails(t, ReasonTLS, "does not look like a TLS handshake")
}

// requireClient has a kubelet ask for a certificate of the given CA.
func requireClient(clients *authority) func(*tls.Config) {
	return func(c *tls.Config) {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs = x509.NewCertPool()
		c.ClientCAs.AddCert(clients.certificate)
	}
}

// showClient answers with the name in the client's certificate.
func showClient(w http.ResponseWriter, r *http.Request) {
	answer(textType, r.TLS.PeerCertificates[0].Subject.CommonName)(w, r)
}

func TestClientCertificate(t *testing.T) {
	clients := newAuthority(t, "client CA")
	k := newKubelet(t, showClient, requireClient(clients))
	c := k.config(t)
	newFetcher(t, c).fails(t, ReasonTLS, "certificate required")

	p := clients.issue(t, "metrics-server", nil)
	c.Client.CertData, c.Client.KeyData = p.cert, p.key
	if got := newFetcher(t, c).succeeds(t); string(got.Body) != "metrics-server" {
		t.Errorf("the kubelet saw %q", got.Body)
	}
}
