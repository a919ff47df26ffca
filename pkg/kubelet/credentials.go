// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/transport"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// refreshInterval is how often files are looked at. Looking is three small
// reads; the kubelet itself updates a mounted Secret or token once a minute.
const refreshInterval = 10 * time.Second

// credentials holds what is shown to kubelets and what they are verified
// against, as last read from files.
//
// The files are read by a fetch that finds them due, not by a watch: that needs
// no goroutine and works the same on every file system.
type credentials struct {
	clock         clock.PassiveClock
	ca, cert, key source
	tokenFile     *tokenFile  // nil unless tokens is one
	tokens        TokenSource // nil if kubelets are sent no token, or a fixed one

	// What was last read, nil where nothing is configured.
	roots       atomic.Pointer[x509.CertPool]
	certificate atomic.Pointer[tls.Certificate]

	// refreshing is held by the one fetch that reads the files; it guards what
	// follows.
	refreshing             sync.Mutex
	refreshed              time.Time
	failure                string
	caPEM, certPEM, keyPEM []byte
}

// newCredentials reads the files of config for the first time. A token file is
// taken out of config and handled here: client-go would go by its own clock.
// tokens may be nil.
func newCredentials(config *transport.Config, tokens TokenSource, clock clock.PassiveClock) (*credentials, error) {
	c := &credentials{
		clock:     clock,
		ca:        source{data: config.TLS.CAData, file: config.TLS.CAFile, what: "CA"},
		cert:      source{data: config.TLS.CertData, file: config.TLS.CertFile, what: "client certificate"},
		key:       source{data: config.TLS.KeyData, file: config.TLS.KeyFile, what: "client key"},
		tokens:    tokens,
		refreshed: clock.Now(),
	}
	if c.ca.isSet() && config.TLS.Insecure {
		return nil, errors.New("a CA and insecure TLS exclude each other")
	}
	if c.cert.isSet() != c.key.isSet() {
		return nil, errors.New("a client certificate and its key must be given together")
	}
	if config.BearerTokenFile != "" {
		c.tokenFile = &tokenFile{file: config.BearerTokenFile}
		c.tokens = c.tokenFile
		config.BearerToken, config.BearerTokenFile = "", ""
		if err := c.tokenFile.read(); err != nil {
			return nil, err
		}
	}
	if c.tokens != nil {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &tokenTransport{c.tokens, next} })
	}
	if _, err := c.readTLS(); err != nil {
		return nil, err
	}
	return c, nil
}

// refresh reads the files again if that is due, and tells whether new connections
// are needed to use what was read.
func (c *credentials) refresh() (changed bool) {
	if !c.refreshing.TryLock() {
		return false
	}
	defer c.refreshing.Unlock()
	now := c.clock.Now()
	if now.Sub(c.refreshed) < refreshInterval {
		return false
	}
	c.refreshed = now
	changed, err := c.readTLS()
	if c.tokenFile != nil {
		err = utilerrors.NewAggregate([]error{err, c.tokenFile.read()})
	}
	c.report(err)
	if changed {
		klog.InfoS("The CA or client certificate for kubelets has changed; connecting anew")
	}
	return changed
}

// report logs a failure when it begins or changes, and when it ends.
func (c *credentials) report(err error) {
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	if failure == c.failure {
		return
	}
	c.failure = failure
	if err != nil {
		klog.ErrorS(err, "Credentials for kubelets cannot be read again; the last good ones stay in use")
		return
	}
	klog.InfoS("Credentials for kubelets can be read again")
}

// readTLS reads the CA and the client certificate. What cannot be used leaves
// the other and the last good one as they are.
func (c *credentials) readTLS() (changed bool, err error) {
	caChanged, caErr := c.readCA()
	certChanged, certErr := c.readCertificate()
	return caChanged || certChanged, utilerrors.NewAggregate([]error{caErr, certErr})
}

func (c *credentials) readCA() (changed bool, err error) {
	if !c.ca.isSet() {
		return false, nil
	}
	ca, err := c.ca.read()
	if err != nil || c.caPEM != nil && bytes.Equal(ca, c.caPEM) {
		return false, err
	}
	roots, err := certutil.NewPoolFromBytes(ca)
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.ca, err)
	}
	c.caPEM = ca
	c.roots.Store(roots)
	return true, nil
}

func (c *credentials) readCertificate() (changed bool, err error) {
	if !c.cert.isSet() {
		return false, nil
	}
	cert, certErr := c.cert.read()
	key, keyErr := c.key.read()
	if err := utilerrors.NewAggregate([]error{certErr, keyErr}); err != nil {
		return false, err
	}
	if bytes.Equal(cert, c.certPEM) && bytes.Equal(key, c.keyPEM) {
		return false, nil
	}
	// Halfway through a rotation the two do not match.
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("%s and %s: %w", c.cert, c.key, err)
	}
	c.certPEM, c.keyPEM = cert, key
	c.certificate.Store(&pair)
	return true, nil
}

// source is PEM text that is given as such or in a file.
type source struct {
	data []byte
	file string
	// what names it in errors.
	what string
}

func (s source) isSet() bool { return len(s.data) > 0 || s.file != "" }

func (s source) String() string {
	if len(s.data) > 0 {
		return s.what
	}
	return s.what + " " + s.file
}

// read returns the text, or nothing where none is given.
func (s source) read() ([]byte, error) {
	if len(s.data) > 0 || s.file == "" {
		return s.data, nil
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.what, err)
	}
	return text, nil
}
