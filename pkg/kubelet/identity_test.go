// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
)

// n1 is dialled at 127.0.0.1.
var n1 = Node{
	Name: "n1",
	Addresses: addresses("InternalIP", "127.0.0.1", "InternalIP", "fd00::1", "ExternalIP", "203.0.113.7",
		"InternalDNS", "n1.internal", "Hostname", "host-1"),
	Hostname: "label-1",
}

// kubeletSubject is that of the CSR of a kubelet.
func kubeletSubject(node string) pkix.Name {
	return pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}
}

// only has a certificate be for the given names and addresses, and no others.
func only(subject pkix.Name, names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject, c.DNSNames, c.IPAddresses = subject, nil, nil
		for _, name := range names {
			if ip := net.ParseIP(name); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, name)
			}
		}
	}
}

// newKubeletWith has a certificate that is altered first.
func newKubeletWith(t *testing.T, change func(*x509.Certificate)) *fakeKubelet {
	t.Helper()
	k := newKubelet(t, answer(textType, ""), nil)
	k.TLS.Certificates[0] = k.authority.issue(t, "node", change).tls(t)
	return k
}

// getters are the ways to make requests. What is verified must not depend on them.
var getters = map[string]func(*http.Request) (*url.URL, error){"direct": nil, "library": noProxy}

func TestKubeletCertificates(t *testing.T) {
	admin := pkix.Name{CommonName: "kubelet"} // of a certificate that an administrator made
	other := newAuthority(t, "other CA")
	selfMade, selfMadeKey, err := certutil.GenerateSelfSignedCertKey("n1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		issue  func(*x509.Certificate)
		pair   *pair // instead of what the CA issues
		client func(*rest.Config)
		want   Reason // "" if it is accepted
		parts  []string
	}{
		{name: "address that is dialled", issue: only(admin, "127.0.0.1")},
		{name: "other address of the node", issue: only(admin, "203.0.113.7")},
		{name: "IPv6 address of the node", issue: only(admin, "fd00::1")},
		{name: "DNS name of the node", issue: only(admin, "n1.internal")},
		{name: "hostname of the node", issue: only(admin, "HOST-1")},
		{name: "hostname in the node's label", issue: only(admin, "label-1")},
		{name: "name of the node", issue: only(admin, "n1")},
		{name: "wildcard for the node's DNS name", issue: only(admin, "*.internal")},
		{name: "subject of the CSR, no names", issue: only(kubeletSubject("n1"))},
		{name: "subject of the CSR, names that the node has no more", issue: only(kubeletSubject("n1"), "n1.old", "192.0.2.9")},
		{
			name: "subject of the CSR, no extended key usage",
			issue: func(c *x509.Certificate) {
				only(kubeletSubject("n1"))(c)
				c.ExtKeyUsage = nil
			},
		},
		{name: "subject without the group, with the address", issue: only(pkix.Name{CommonName: "system:node:n1"}, "127.0.0.1")},
		{
			name:  "subject without the group, no names",
			issue: only(pkix.Name{CommonName: "system:node:n1"}),
			want:  ReasonTLSName,
			parts: []string{"has no subject alternative names", `subject "CN=system:node:n1"`},
		},
		{
			name:  "common name only",
			issue: only(pkix.Name{CommonName: "127.0.0.1"}),
			want:  ReasonTLSName,
			parts: []string{`subject "CN=127.0.0.1"`},
		},
		{
			name:  "group only",
			issue: only(pkix.Name{CommonName: "n1", Organization: []string{"system:nodes"}}),
			want:  ReasonTLSName,
		},
		{
			name:  "another node's names",
			issue: only(admin, "n2", "10.0.0.2"),
			want:  ReasonTLSName,
			parts: []string{
				`not that of this node, which would be for 127.0.0.1, fd00::1, 203.0.113.7, n1.internal, host-1, n1, label-1, ` +
					`or have the subject "CN=system:node:n1,O=system:nodes"; `,
				"the certificate is for DNS:n2, IP:10.0.0.2, ", `issuer "CN=cluster CA"`, "; see that no other node states its addresses",
			},
		},
		{
			name:  "another node's subject",
			issue: only(kubeletSubject("n2"), "n2", "10.0.0.2"),
			want:  ReasonTLSName,
			parts: []string{`the certificate is that of another node, "n2"; `, `subject "CN=system:node:n2,O=system:nodes"`},
		},
		{
			name:  "another node's subject, with the address that is dialled",
			issue: only(kubeletSubject("n2"), "127.0.0.1", "n1"),
			want:  ReasonTLSName,
			parts: []string{`the certificate is that of another node, "n2"; `, `subject "CN=system:node:n2,O=system:nodes"`},
		},
		{
			name:  "another node's subject without the group, with the address that is dialled",
			issue: only(pkix.Name{CommonName: "system:node:n2"}, "127.0.0.1"),
			want:  ReasonTLSName,
		},
		{
			name:  "begin of the node's name",
			issue: only(kubeletSubject("n")),
			want:  ReasonTLSName,
		},
		{
			name:  "no host in a URI",
			issue: func(c *x509.Certificate) { only(admin)(c); c.URIs = []*url.URL{{Scheme: "spiffe", Host: "n1"}} },
			want:  ReasonTLSName,
			parts: []string{"the certificate is for URI:spiffe://n1, "},
		},
		{
			name: "expired",
			issue: func(c *x509.Certificate) {
				c.NotAfter = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
				c.NotBefore = start.AddDate(-10, 0, 0)
			},
			want:  ReasonTLSExpired,
			parts: []string{"is after 2020-01-02T03:04:05Z", "to 2020-01-02T03:04:05Z; renew"},
		},
		{
			name:  "not valid yet",
			issue: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) },
			want:  ReasonTLSExpired,
			parts: []string{"not yet valid", "clocks"},
		},
		{
			name: "for clients only",
			issue: func(c *x509.Certificate) {
				only(kubeletSubject("n1"), "127.0.0.1")(c)
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			},
			want:  ReasonTLSUsage,
			parts: []string{"incompatible key usage", "serverAuth"},
		},
		{
			name:  "another CA",
			pair:  new(other.issue(t, "", only(kubeletSubject("n1"), "127.0.0.1"))),
			want:  ReasonTLSUnknownAuthority,
			parts: []string{"signed by unknown authority; the certificate is for IP:127.0.0.1", `issuer "CN=other CA"`, "serverTLSBootstrap"},
		},
		{
			name:   "a CA of the system's",
			client: func(c *rest.Config) { c.CAData = nil },
			want:   ReasonTLSUnknownAuthority,
		},
		{
			name: "self-signed, as a kubelet makes it",
			pair: &pair{cert: selfMade, key: selfMadeKey},
			want: ReasonTLSUnknownAuthority,
			parts: []string{"it is self-signed; the certificate is for DNS:n1, IP:127.0.0.1, ", `subject "CN=n1@`, `issuer "CN=n1-ca@`,
				"serverTLSBootstrap", "--kubelet-certificate-authority", "--kubelet-insecure-tls"},
		},
		{
			name:  "self-signed",
			pair:  new(newAuthority(t, "n1").own(t)),
			want:  ReasonTLSUnknownAuthority,
			parts: []string{"it is self-signed", "--kubelet-certificate-authority"},
		},
		{
			name:   "self-signed, not verified",
			pair:   &pair{cert: selfMade, key: selfMadeKey},
			client: func(c *rest.Config) { c.CAData, c.Insecure = nil, true },
		},
		{
			name:   "another node's, not verified",
			issue:  only(kubeletSubject("n2"), "n2"),
			client: func(c *rest.Config) { c.CAData, c.Insecure = nil, true },
		},
	} {
		for name, proxy := range getters {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				k := newKubeletWith(t, tc.issue)
				if tc.pair != nil {
					k.TLS.Certificates[0] = tc.pair.tls(t)
				}
				c := k.config(t)
				c.Client.Proxy = proxy
				if tc.client != nil {
					tc.client(c.Client)
				}
				f := newFetcherOf(t, c, n1)
				_, err := f.fetch()
				if tc.want != "" {
					t.Log(err)
					expectError(t, err, tc.want, tc.parts...)
				} else if err != nil {
					t.Error(err)
				}
				if got, want := f.endpoint.CertificateExpires(), notAfter(t, k); !got.Equal(want) {
					t.Errorf("the certificate expires at %v, want %v", got, want)
				}
			})
		}
	}
}

// notAfter is the end of the certificate that a kubelet shows.
func notAfter(t *testing.T, k *fakeKubelet) time.Time {
	t.Helper()
	leaf, err := x509.ParseCertificate(k.TLS.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.NotAfter
}

// What a kubelet puts into a certificate floods no log.
func TestRefusalIsBounded(t *testing.T) {
	long := strings.Repeat("a", 5000)
	k := newKubeletWith(t, only(pkix.Name{CommonName: "evil\r\n\u202e" + long}, slices.Repeat([]string{long, "a\x1bb"}, 10)...))
	node := n1
	for range 100 {
		node.Addresses = append(node.Addresses, addresses("InternalDNS", "x\n"+long)...)
	}
	_, err := newFetcherOf(t, k.config(t), node).fetch()
	expectError(t, err, ReasonTLSName, `a\x1bb`, ` and 12 more`, `CN=evil\r\n\u202eaaa`)
	if size := len(err.Error()); size > 4000 {
		t.Errorf("the error has %d bytes", size)
	}
}

// Two nodes that state the same address have no connection in common: one that was
// verified for the first is not used for the second.
func TestSameAddressOfTwoNodes(t *testing.T) {
	for name, proxy := range getters {
		t.Run(name, func(t *testing.T) {
			k := newKubeletWith(t, only(kubeletSubject("n1")))
			c := k.config(t)
			c.Client.Proxy = proxy
			f := newFetcherOf(t, c, n1)
			f.succeeds(t)
			thief := n1
			thief.Name = "thief"
			endpoint, err := f.Endpoint(thief)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err = f.Fetch(t.Context(), endpoint); err == nil || !strings.Contains(err.Error(), `that of another node, "n1"`) {
					t.Fatalf("got %v", err)
				}
				f.succeeds(t)
			}
			if accepted, _ := k.counts(); accepted != 3 {
				t.Errorf("%d connections were made, want one for the first node, and one for each refusal", accepted)
			}
		})
	}
}

// A node whose identities change gets another Endpoint, and with it connections that
// are verified anew.
func TestIdentitiesChange(t *testing.T) {
	for name, proxy := range getters {
		t.Run(name, func(t *testing.T) {
			k := newKubeletWith(t, only(pkix.Name{}, "label-1"))
			c := k.config(t)
			c.Client.Proxy = proxy
			f := newFetcherOf(t, c, n1)
			f.succeeds(t)
			renamed := n1
			renamed.Hostname = "label-2"
			if renamed.Equal(n1) {
				t.Fatal("the nodes are equal")
			}
			f.endpoint.Close()
			var err error
			if f.endpoint, err = f.Endpoint(renamed); err != nil {
				t.Fatal(err)
			}
			f.fails(t, ReasonTLSName, "label-2", "DNS:label-1")
		})
	}
}

// Sessions are not resumed, and if they were, the certificate of the first handshake
// would be verified again.
func TestResumedSessionIsVerified(t *testing.T) {
	k := newKubeletWith(t, only(kubeletSubject("n1")))
	f := newFetcherOf(t, k.config(t), n1)
	connect := func(config *tls.Config) (resumed bool, err error) {
		t.Helper()
		config.ServerName = "n1" // the key in the cache
		conn, err := tls.Dial("tcp", k.Listener.Addr().String(), config)
		if err != nil {
			return false, err
		}
		defer conn.Close()
		// A ticket comes with the first answer.
		fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatal(err)
		}
		return conn.ConnectionState().DidResume, nil
	}
	cache := tls.NewLRUClientSessionCache(1)
	for i, wantResumed := range []bool{false, true} {
		config := f.dialer.tlsConfig(f.endpoint)
		if config.ClientSessionCache != nil {
			t.Fatal("sessions are resumed")
		}
		config.ClientSessionCache = cache
		if resumed, err := connect(config); err != nil || resumed != wantResumed {
			t.Fatalf("connection %d: resumed %t, %v", i, resumed, err)
		}
	}
	thief := n1
	thief.Name = "thief"
	endpoint, err := f.Endpoint(thief)
	if err != nil {
		t.Fatal(err)
	}
	config := f.dialer.tlsConfig(endpoint)
	config.ClientSessionCache = cache
	if _, err := connect(config); tlsReason(err) != ReasonTLSName {
		t.Errorf("got %v", err)
	}
}

// A proxy that is reached over TLS is verified by its own name, and the kubelet behind
// it as without one.
func TestProxyOverTLS(t *testing.T) {
	k := newKubeletWith(t, only(kubeletSubject("n1")))
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(tunnel))
	proxy.Config.ErrorLog = discardLog
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{k.authority.issue(t, "proxy", nil).tls(t)}}
	proxy.StartTLS()
	defer proxy.Close()
	c := k.config(t)
	c.Client.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	for range 2 {
		newFetcherOf(t, c, n1).succeeds(t)
	}
	node := n1
	node.Name = "n2"
	_, err := newFetcherOf(t, c, node).fetch()
	if tlsReason(err) != ReasonTLSName {
		t.Errorf("the kubelet of another node: %v", err)
	}
	proxy.TLS.Certificates[0] = k.authority.issue(t, "proxy", only(kubeletSubject("n1"))).tls(t)
	newFetcherOf(t, c, n1).fails(t, ReasonTLS, "127.0.0.1")
}

// tunnel serves CONNECT. It copies in memory: for two TCP connections Go takes pipes,
// which it keeps open for the next.
func tunnel(w http.ResponseWriter, r *http.Request) {
	target, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer target.Close()
	client, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer client.Close()
	io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		defer target.Close()
		_, _ = io.Copy(struct{ io.Writer }{target}, struct{ io.Reader }{client}) // until one of them leaves
	}()
	_, _ = io.Copy(struct{ io.Writer }{client}, struct{ io.Reader }{target})
}
