// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"crypto/x509"
	"net/http"
	"strings"
)

// User is who sends a request: the name and groups of a client certificate, or
// a bearer token.
type User struct {
	Name   string
	Groups []string
	Token  string
}

// authenticate tries the client certificate and then the token, as a kubelet
// does.
func (s *Simulation) authenticate(c *nodeConn, r *http.Request) (User, bool) {
	if len(r.TLS.PeerCertificates) > 0 {
		// A connection's certificate is the same for all its requests.
		c.verify.Do(func() { c.user, c.verified = s.verify(r.TLS.PeerCertificates) })
		if c.verified {
			return c.user, true
		}
	}
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if found && s.options.Authenticate != nil && s.options.Authenticate(token) {
		return User{Token: token}, true
	}
	return User{}, false
}

func (s *Simulation) verify(chain []*x509.Certificate) (User, bool) {
	if s.options.ClientCAs == nil {
		return User{}, false
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         s.options.ClientCAs,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	subject := chain[0].Subject
	return User{Name: subject.CommonName, Groups: subject.Organization}, err == nil
}
