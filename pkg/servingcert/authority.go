// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

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
	"strings"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	// authorityLifetimes is how many serving certificates an authority outlives.
	authorityLifetimes = 10
	// authorityName begins the common name of each authority, which has the time of
	// its making, too: some verifiers look an issuer up by its name alone.
	authorityName = "metrics-server-ca@"
	// maxBackdate is for clocks that differ.
	maxBackdate = time.Hour
)

// authority is a CA. Without a key it is only trusted.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newAuthority makes one that may sign for names of Services, and for no others.
func newAuthority(now time.Time, validity time.Duration) (authority, error) {
	key, err := newKey()
	if err != nil {
		return authority{}, err
	}
	template, err := newTemplate(fmt.Sprint(authorityName, now.Unix()), now, authorityLifetimes*validity)
	if err != nil {
		return authority{}, err
	}
	template.KeyUsage = x509.KeyUsageCertSign
	template.IsCA, template.MaxPathLenZero = true, true
	template.PermittedDNSDomainsCritical, template.PermittedDNSDomains = true, []string{"svc"}
	template.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	return authority{cert: cert, key: key}, nil
}

// issue makes a serving certificate that does not outlive the authority.
func (a authority) issue(now time.Time, validity time.Duration, names []string) (*serving, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := newTemplate("metrics-server", now, validity)
	if err != nil {
		return nil, err
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = names
	cert, err := sign(template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &serving{cert: cert, certPEM: certPEM(cert), keyPEM: keyPEM}, nil
}

// ours tells whether an authority was made by newAuthority, of this or of another
// replica. It is no proof.
func ours(cert *x509.Certificate) bool {
	return cert.IsCA && strings.HasPrefix(cert.Subject.CommonName, authorityName)
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate an ECDSA key: %w", err)
	}
	return key, nil
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyutil.PrivateKeyBlockType, Bytes: der}), nil
}

// newTemplate starts a little back, so that a certificate is valid at once where
// the clock is behind.
func newTemplate(commonName string, now time.Time, validity time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-min(validity/20, maxBackdate)),
		NotAfter:              now.Add(validity),
		BasicConstraintsValid: true,
	}, nil
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %q: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: cert.Raw})
}

// lifetime is how long a certificate is valid in all.
func lifetime(cert *x509.Certificate) time.Duration {
	return cert.NotAfter.Sub(cert.NotBefore)
}

func expired(cert *x509.Certificate, now time.Time) bool {
	return now.After(cert.NotAfter)
}
