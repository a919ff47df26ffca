// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"crypto/x509"
	"net"
	"testing"
	"time"
)

// Someone with the key of an authority can pose as a Service, and as nothing else.
func TestAuthorityIsConstrained(t *testing.T) {
	now := time.Now()
	a, err := newAuthority(now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	for name, want := range map[string]bool{
		"metrics-server.kube-system.svc": true, "kubernetes.default.svc.cluster.local": false, "example.com": false, "svc.example.com": false,
	} {
		s, err := a.issue(now, time.Hour, []string{name})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now})
		if (err == nil) != want {
			t.Errorf("%s verifies: %v, want %t", name, err, want)
		}
	}
	for _, ip := range []net.IP{net.IPv4(10, 0, 0, 1), net.ParseIP("fd00::1")} {
		template, err := newTemplate("kube-apiserver", now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		template.IPAddresses = []net.IP{ip}
		key, err := newKey()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := sign(template, a.cert, key.Public(), a.key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{DNSName: ip.String(), Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
			t.Errorf("it can sign for %s", ip)
		}
	}
	intermediate, err := newTemplate("intermediate", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	intermediate.IsCA, intermediate.KeyUsage = true, x509.KeyUsageCertSign
	other, err := newAuthority(now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := sign(intermediate, a.cert, other.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	served, err := authority{cert: cert, key: other.key}.issue(now, time.Hour, []string{"metrics-server.kube-system.svc"})
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	if _, err := served.cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: pool, CurrentTime: now}); err == nil {
		t.Error("an authority below it is trusted")
	}
}
