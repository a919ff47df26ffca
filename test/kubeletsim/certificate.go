// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Signer issues the nodes' serving certificates. CA is one; a test that has a CA
// already can pass it instead.
type Signer interface {
	// Sign gives the DER encoding of a certificate with the contents of the
	// template and the given public key.
	Sign(template *x509.Certificate, publicKey crypto.PublicKey) ([]byte, error)
}

// certificateKind is which certificate a node serves.
type certificateKind int

const (
	right certificateKind = iota
	wrongName
	wrongCA
	expired
	selfSigned
	subjectOnly
	nameOnly
	clientOnly
)

// SubjectOnly serves a certificate that names the node in its subject only, as one that
// a kubelet requested before its addresses changed.
func SubjectOnly() Fault {
	return newFault("certificate with the node's subject only", func(f *faults) { f.certificate = subjectOnly })
}

// NameOnly serves a certificate that is for the node's name, not for its address, and
// whose subject says nothing: one that an administrator made.
func NameOnly() Fault {
	return newFault("certificate for the node's name only", func(f *faults) { f.certificate = nameOnly })
}

// ClientOnly serves a certificate that is not for servers.
func ClientOnly() Fault {
	return newFault("certificate for clients only", func(f *faults) { f.certificate = clientOnly })
}

// validity is by the machine's clock, not by the simulation's: TLS clients go by
// that.
const validity = 365 * 24 * time.Hour

// issuer makes the nodes' certificates.
type issuer struct {
	signer Signer
	// otherCA is made when the first node shows a certificate of another CA.
	otherCA func() (*CA, error)
}

func newIssuer(s Signer) *issuer {
	return &issuer{signer: s, otherCA: sync.OnceValues(func() (*CA, error) { return NewCA("another CA") })}
}

// issue makes a serving certificate as a kubelet's: named after the node, valid
// for its name and its address.
func (i *issuer) issue(kind certificateKind, name string, address netip.Addr) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(nodeSubject(name))
	if err != nil {
		return nil, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = []string{name}
	template.IPAddresses = []net.IP{address.AsSlice()}
	switch kind {
	case wrongName:
		template.Subject = nodeSubject("wrong.invalid")
		template.DNSNames = []string{"wrong.invalid"}
		template.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} // reserved for documentation
	case expired:
		template.NotAfter = template.NotBefore.Add(time.Minute)
	case subjectOnly:
		template.DNSNames, template.IPAddresses = nil, nil
	case nameOnly:
		template.Subject, template.IPAddresses = pkix.Name{}, nil
	case clientOnly:
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := i.sign(kind, template, key)
	if err != nil {
		return nil, fmt.Errorf("signing the serving certificate of node %s: %w", name, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// nodeSubject is what a kubelet asks for.
func nodeSubject(name string) pkix.Name {
	return pkix.Name{Organization: []string{"system:nodes"}, CommonName: "system:node:" + name}
}

func (i *issuer) sign(kind certificateKind, template *x509.Certificate, key *ecdsa.PrivateKey) ([]byte, error) {
	switch kind {
	case selfSigned:
		return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	case wrongCA:
		other, err := i.otherCA()
		if err != nil {
			return nil, err
		}
		return other.Sign(template, key.Public())
	default:
		return i.signer.Sign(template, key.Public())
	}
}

// newTemplate has what all our certificates share.
func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		// Clocks differ a little.
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.Add(validity),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}, nil
}

// servingCertificate makes the node's certificate at its first handshake: most
// nodes of a large simulation need it only once, and some never.
func (n *Node) servingCertificate() (*tls.Certificate, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.certificate == nil {
		c, err := n.issuer.issue(n.faults.certificate, n.name, n.address)
		if err != nil {
			return nil, err
		}
		n.certificate = c
	}
	return n.certificate, nil
}
