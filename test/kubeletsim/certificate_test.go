// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"testing"
)

func TestCertificateKinds(t *testing.T) {
	ca := newCA(t)
	for _, tc := range []struct {
		kind             certificateKind
		subject          string
		name, address    bool
		server, verified bool
	}{
		{right, "CN=system:node:n,O=system:nodes", true, true, true, true},
		{wrongName, "CN=system:node:wrong.invalid,O=system:nodes", false, false, true, true},
		{wrongCA, "CN=system:node:n,O=system:nodes", true, true, true, false},
		{selfSigned, "CN=system:node:n,O=system:nodes", true, true, true, false},
		{expired, "CN=system:node:n,O=system:nodes", true, true, true, false},
		{subjectOnly, "CN=system:node:n,O=system:nodes", false, false, true, true},
		{nameOnly, "", true, false, true, true},
		{clientOnly, "CN=system:node:n,O=system:nodes", true, true, false, true},
	} {
		address := netip.MustParseAddr("127.16.0.0")
		pair, err := newIssuer(ca).issue(tc.kind, "n", address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Verify(x509.VerifyOptions{Roots: ca.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if got := c.Subject.String(); got != tc.subject || (err == nil) != tc.verified ||
			(c.VerifyHostname("n") == nil) != tc.name || (c.VerifyHostname(address.String()) == nil) != tc.address ||
			slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) != tc.server {
			t.Errorf("kind %d: subject %q, names %v %v, usage %v, %v", tc.kind, got, c.DNSNames, c.IPAddresses, c.ExtKeyUsage, err)
		}
	}
}

// A client that goes by the address it dials takes none of these.
func TestCertificateFaults(t *testing.T) {
	f := newFaultFixture(t)
	for _, fault := range []Fault{SubjectOnly(), NameOnly(), ClientOnly()} {
		f.get(resourceMetricsPath)
		f.setFaults(fault)
		if answer, err := f.request(t.Context(), resourceMetricsPath); err == nil {
			t.Errorf("%s: status %d", fault, answer.status)
		}
		f.setFaults()
	}
}
