// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// certificateError is a serving certificate that is refused, and why.
type certificateError struct {
	reason Reason
	text   string
}

func (e *certificateError) Error() string { return e.text }

// verifyCertificate returns a *certificateError unless the first certificate of the
// chain is signed by one of the roots, nil being those of the system, is valid now and
// for servers, and is the node's.
func verifyCertificate(chain []*x509.Certificate, roots *x509.CertPool, n *Node) error {
	leaf := chain[0]
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		reason, why := certificateReason(err), truncate(err.Error())
		if reason == ReasonTLSUnknownAuthority && selfSigned(leaf) {
			why += ": it is self-signed"
		}
		return &certificateError{reason, why + "; " + describe(leaf)}
	}
	if n.owns(leaf) {
		return nil
	}
	why := fmt.Sprintf("the certificate is not that of this node, which would be for %s, or have the subject %q",
		list(n.names()), "CN="+nodeUserPrefix+n.Name+",O="+nodesGroup)
	if other := nodeOf(leaf); other != "" && other != n.Name {
		why = fmt.Sprintf(`the certificate is that of another node, "%s"`, escape(other))
	}
	return &certificateError{ReasonTLSName, why + "; " + describe(leaf)}
}

// certificateReason says why crypto/x509 refuses a certificate.
func certificateReason(err error) Reason {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority):
		return ReasonTLSUnknownAuthority
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ReasonTLSExpired
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return ReasonTLSUsage
	}
	return ReasonTLS
}

// selfSigned tells whether nobody but the kubelet vouches for a certificate. Without a
// certificate, a kubelet makes itself a CA, and a certificate of that: of "n1-ca@time"
// for "n1@time".
func selfSigned(c *x509.Certificate) bool {
	host, _, made := strings.Cut(c.Subject.CommonName, "@")
	return bytes.Equal(c.RawIssuer, c.RawSubject) ||
		made && strings.HasPrefix(c.Issuer.CommonName, host+"-ca@")
}

// describe says what a certificate holds.
func describe(c *x509.Certificate) string {
	names := "has no subject alternative names"
	if listed := list(certificateNames(c)); listed != "" {
		names = "is for " + listed
	}
	return fmt.Sprintf(`the certificate %s, subject "%s", issuer "%s", valid from %s to %s`, names,
		escape(c.Subject.String()), escape(c.Issuer.String()),
		c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
}

func certificateNames(c *x509.Certificate) []string {
	var names []string
	for _, name := range c.DNSNames {
		names = append(names, "DNS:"+name)
	}
	for _, ip := range c.IPAddresses {
		names = append(names, "IP:"+ip.String())
	}
	for _, uri := range c.URIs {
		names = append(names, "URI:"+uri.String())
	}
	return names
}
