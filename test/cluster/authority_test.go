// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"testing"
)

func TestCertificateAuthority(t *testing.T) {
	ca, err := NewCertificateAuthority("test-ca")
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCertificateAuthority("test-ca")
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(cert, key []byte, err error) *x509.Certificate {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf
	}
	serving := leaf(ca.IssueServing([]string{"a.example", "b.example"}, []net.IP{net.IPv4(127, 16, 0, 1)}))
	client := leaf(ca.IssueClient("alice", []string{"developers", "admins"}))

	verify := func(cert *x509.Certificate, ca *CertificateAuthority, name string, usage x509.ExtKeyUsage) error {
		_, err := cert.Verify(x509.VerifyOptions{Roots: ca.Pool(), DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	for _, name := range []string{"a.example", "b.example", "127.16.0.1"} {
		if err := verify(serving, ca, name, x509.ExtKeyUsageServerAuth); err != nil {
			t.Errorf("serving certificate for %s: %v", name, err)
		}
	}
	if verify(serving, ca, "127.16.0.2", x509.ExtKeyUsageServerAuth) == nil {
		t.Error("the serving certificate is valid for another address")
	}
	if verify(serving, other, "a.example", x509.ExtKeyUsageServerAuth) == nil {
		t.Error("the serving certificate is valid for another authority of the same name")
	}
	if verify(serving, ca, "", x509.ExtKeyUsageClientAuth) == nil {
		t.Error("the serving certificate is valid for a client")
	}
	if err := verify(client, ca, "", x509.ExtKeyUsageClientAuth); err != nil {
		t.Errorf("client certificate: %v", err)
	}
	slices.Sort(client.Subject.Organization)
	if client.Subject.CommonName != "alice" || !slices.Equal(client.Subject.Organization, []string{"admins", "developers"}) {
		t.Errorf("got subject %v", client.Subject)
	}
	if serving.SerialNumber.Cmp(client.SerialNumber) == 0 {
		t.Error("two certificates have the same serial number")
	}
	if _, _, err := ca.IssueServing(nil, nil); err == nil {
		t.Error("a serving certificate without a name was issued")
	}
}
