// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

func TestServerVerification(t *testing.T) {
	for _, tc := range []struct {
		name   string
		issue  func(*x509.Certificate)
		client func(*Config)
		want   Reason // "" for success
		parts  []string
	}{
		{name: "signed by the CA"},
		{
			name:   "unknown authority",
			client: func(c *Config) { c.Client.CAData = nil },
			want:   ReasonTLSUnknownAuthority,
			parts:  []string{"--kubelet-certificate-authority", "--kubelet-insecure-tls"},
		},
		{
			name:   "unknown authority, not verified",
			client: func(c *Config) { c.Client.CAData, c.Client.Insecure = nil, true },
		},
		{
			name: "other names",
			issue: func(c *x509.Certificate) {
				c.DNSNames, c.IPAddresses = []string{"node-7", "bad\x1bname"}, []net.IP{net.IPv4(10, 0, 0, 7)}
			},
			want:  ReasonTLSName,
			parts: []string{"127.0.0.1", "DNS:node-7", "IP:10.0.0.7", "--kubelet-preferred-address-types"},
		},
		{
			name:  "many names",
			issue: func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, slices.Repeat([]string{"a.b"}, 20) },
			want:  ReasonTLSName,
			parts: []string{"DNS:a.b and 12 more"},
		},
		{
			name:  "no names",
			issue: func(c *x509.Certificate) { c.IPAddresses = nil },
			want:  ReasonTLSName,
			parts: []string{"no subject alternative names"},
		},
		{
			name:   "configured name",
			issue:  func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"kubelets"}, nil },
			client: func(c *Config) { c.Client.ServerName = "kubelets" },
		},
		{
			name:  "expired",
			issue: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
			want:  ReasonTLSExpired,
			parts: []string{"renew"},
		},
		{
			name:  "not valid yet",
			issue: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) },
			want:  ReasonTLSExpired,
			parts: []string{"clocks"},
		},
		{
			name:  "not for servers",
			issue: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
			want:  ReasonTLS,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := newKubelet(t, answer(textType, ""), nil)
			k.TLS.Certificates[0] = k.authority.issue(t, "node", tc.issue).tls(t)
			c := k.config(t)
			if tc.client != nil {
				tc.client(&c)
			}
			f := newFetcher(t, c)
			if tc.want == "" {
				f.succeeds(t)
				return
			}
			f.fails(t, tc.want, tc.parts...)
		})
	}
}

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
