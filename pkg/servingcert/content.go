// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// The keys of the Secret.
const (
	caCertKey  = "ca.crt"
	caKeyKey   = "ca.key"
	tlsCertKey = corev1.TLSCertKey
	tlsKeyKey  = corev1.TLSPrivateKeyKey
)

var dataKeys = []string{caCertKey, caKeyKey, tlsCertKey, tlsKeyKey}

// content is what the Secret has.
type content struct {
	authorities []authority
	serving     *serving // nil if there is none
}

// serving is a serving certificate and its key.
type serving struct {
	cert            *x509.Certificate
	certPEM, keyPEM []byte
}

// parseContent reads what is good in the data of a Secret. The error tells about all
// that is not.
func parseContent(data map[string][]byte) (content, error) {
	var c content
	var errs [3]error
	c.authorities, errs[0] = parseAuthorities(data[caCertKey])
	errs[1] = c.parseKeys(data[caKeyKey])
	c.serving, errs[2] = parseServing(data[tlsCertKey], data[tlsKeyKey])
	return c, errors.Join(errs[:]...)
}

func parseAuthorities(certs []byte) (all []authority, err error) {
	parsed, err := parseCerts(certs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", caCertKey, err)
	}
	for _, cert := range parsed {
		if !cert.IsCA {
			err = fmt.Errorf("%s: the certificate of %q is not an authority's", caCertKey, cert.Subject.CommonName)
			continue
		}
		if !contains(all, cert) {
			all = append(all, authority{cert: cert})
		}
	}
	return all, err
}

func parseCerts(text []byte) ([]*x509.Certificate, error) {
	if len(text) == 0 {
		return nil, errors.New("is missing or empty")
	}
	return certutil.ParseCertsPEM(text)
}

// parseKeys gives each key to its authority.
func (c *content) parseKeys(text []byte) error {
	if len(text) == 0 {
		return fmt.Errorf("%s: is missing or empty", caKeyKey)
	}
	var errs []error
	for block, rest := pem.Decode(text); ; block, rest = pem.Decode(rest) {
		if block == nil {
			if len(bytes.TrimSpace(rest)) > 0 {
				errs = append(errs, fmt.Errorf("%s: has something that is not PEM", caKeyKey))
			}
			return errors.Join(errs...)
		}
		key, err := keyutil.ParsePrivateKeyPEM(pem.EncodeToMemory(block))
		if err == nil {
			err = c.assignKey(key)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", caKeyKey, err))
		}
	}
}

func (c *content) assignKey(key crypto.PrivateKey) error {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return fmt.Errorf("a %T cannot sign", key)
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return fmt.Errorf("a %T cannot be compared", signer.Public())
	}
	i := slices.IndexFunc(c.authorities, func(a authority) bool { return public.Equal(a.cert.PublicKey) })
	if i < 0 {
		return fmt.Errorf("has a key of none of the authorities in %s", caCertKey)
	}
	c.authorities[i].key = signer
	return nil
}

func parseServing(cert, key []byte) (*serving, error) {
	if len(cert) == 0 || len(key) == 0 {
		return nil, fmt.Errorf("%s or %s is missing or empty", tlsCertKey, tlsKeyKey)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", tlsCertKey, tlsKeyKey, err)
	}
	return &serving{cert: pair.Leaf, certPEM: cert, keyPEM: key}, nil
}

// data is what parseContent reads.
func (c content) data() (map[string][]byte, error) {
	var keys []byte
	for _, a := range c.authorities {
		if a.key == nil {
			continue
		}
		key, err := encodeKey(a.key)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key...)
	}
	return map[string][]byte{
		caCertKey: c.bundle(), caKeyKey: keys, tlsCertKey: c.serving.certPEM, tlsKeyKey: c.serving.keyPEM,
	}, nil
}

// bundle is the certificates of all authorities.
func (c content) bundle() (text []byte) {
	for _, a := range c.authorities {
		text = append(text, certPEM(a.cert)...)
	}
	return text
}

func (c content) clone() content {
	c.authorities = slices.Clone(c.authorities)
	return c
}

func contains(authorities []authority, cert *x509.Certificate) bool {
	return slices.ContainsFunc(authorities, func(a authority) bool { return a.cert.Equal(cert) })
}
