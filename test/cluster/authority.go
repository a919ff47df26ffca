// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// certificateLifetime is far longer than a cluster of tests lives.
const certificateLifetime = 365 * 24 * time.Hour

// CertificateAuthority signs certificates with ECDSA P-256 keys. Its own key
// never leaves memory unless a component needs it. It is safe for concurrent
// use.
type CertificateAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCertificateAuthority makes a self-signed authority, for example one that
// a server must not trust.
func NewCertificateAuthority(commonName string) (*CertificateAuthority, error) {
	now := time.Now()
	return NewCertificateAuthorityBetween(commonName, now.Add(-time.Hour), now.Add(certificateLifetime))
}

// NewCertificateAuthorityBetween makes a self-signed authority that is valid at certain
// times only.
func NewCertificateAuthorityBetween(commonName string, notBefore, notAfter time.Time) (*CertificateAuthority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(pkix.Name{CommonName: commonName})
	if err != nil {
		return nil, err
	}
	template.NotBefore, template.NotAfter = notBefore, notAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.BasicConstraintsValid = true
	template.IsCA = true
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &CertificateAuthority{cert: cert, key: key}, nil
}

// CertPEM returns the authority's certificate: a CA bundle of one.
func (a *CertificateAuthority) CertPEM() []byte {
	return certPEM(a.cert)
}

// Pool returns a pool that holds the authority's certificate only.
func (a *CertificateAuthority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// IssueServing returns the PEM of a serving certificate and of its key. Its
// common name is the first of the names, or else the first of the addresses.
func (a *CertificateAuthority) IssueServing(dnsNames []string, ips []net.IP) (cert, key []byte, err error) {
	var commonName string
	switch {
	case len(dnsNames) > 0:
		commonName = dnsNames[0]
	case len(ips) > 0:
		commonName = ips[0].String()
	default:
		return nil, nil, fmt.Errorf("a serving certificate needs at least one DNS name or IP address")
	}
	template, err := newTemplate(pkix.Name{CommonName: commonName})
	if err != nil {
		return nil, nil, err
	}
	template.DNSNames, template.IPAddresses = dnsNames, ips
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return a.issue(template)
}

// IssueClient returns the PEM of a client certificate and of its key. For
// Kubernetes the common name is the user and the organizations are its groups.
func (a *CertificateAuthority) IssueClient(commonName string, organizations []string) (cert, key []byte, err error) {
	template, err := newTemplate(pkix.Name{CommonName: commonName, Organization: organizations})
	if err != nil {
		return nil, nil, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issue(template)
}

func (a *CertificateAuthority) issue(template *x509.Certificate) (cert, key []byte, err error) {
	template.KeyUsage = x509.KeyUsageDigitalSignature
	private, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	signed, err := sign(template, a.cert, private.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyutil.MarshalPrivateKeyToPEM(private)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the key of %q: %w", template.Subject.CommonName, err)
	}
	return certPEM(signed), key, nil
}

// KeyPEM returns the authority's private key, for components that sign themselves.
func (a *CertificateAuthority) KeyPEM() ([]byte, error) {
	key, err := keyutil.MarshalPrivateKeyToPEM(a.key)
	if err != nil {
		return nil, fmt.Errorf("encode the key of authority %q: %w", a.cert.Subject.CommonName, err)
	}
	return key, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate an ECDSA key: %w", err)
	}
	return key, nil
}

// newTemplate starts an hour back, so that a clock that is set meanwhile does
// no harm.
func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(certificateLifetime),
	}, nil
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %q: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: cert.Raw})
}
