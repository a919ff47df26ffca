// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/transport"
)

const (
	// maxHeaderBytes is far above what a kubelet sends (under 1 KiB).
	maxHeaderBytes = 64 << 10
	// minIdleTime is what a kubelet itself allows an idle connection.
	minIdleTime = 90 * time.Second
	keepAlive   = 30 * time.Second
)

// connections is the connections to all kubelets. When credentials change, a new
// http.Transport takes over, and what the old one has is closed once idle.
type connections struct {
	config      Config
	transport   *transport.Config
	credentials *credentials
	current     atomic.Pointer[http.Transport]
}

func newConnections(c Config, t *transport.Config, credentials *credentials) *connections {
	cs := &connections{config: c, transport: t, credentials: credentials}
	cs.current.Store(cs.newTransport())
	return cs
}

// transportError is an error of a connection, and not one of the wrappers that
// get credentials ready.
type transportError struct{ error }

func (e transportError) Unwrap() error { return e.error }

func (c *connections) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.current.Load().RoundTrip(req)
	if err != nil {
		return nil, transportError{err}
	}
	return resp, nil
}

// renew has later requests use new connections.
func (c *connections) renew() {
	c.current.Swap(c.newTransport()).CloseIdleConnections()
}

func (c *connections) close() {
	c.current.Load().CloseIdleConnections()
}

// newTransport makes a transport with the credentials of now. It speaks HTTP/1.1
// only: a kubelet is asked one thing at a time, so that HTTP/2 would only cost
// memory and CPU, per connection. It does not ask for compression, which costs
// both sides more CPU than the bytes are worth in a cluster network.
func (c *connections) newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  c.transport.Proxy,
		DialContext:            c.dial,
		TLSClientConfig:        c.tlsConfig(),
		TLSHandshakeTimeout:    c.config.Timeout,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        max(2*c.config.Resolution, minIdleTime),
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
}

// dial connects within the timeout of a request: a transport goes on dialling
// after the request is given up.
func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	if c.transport.DialHolder != nil {
		return c.transport.DialHolder.Dial(ctx, network, address)
	}
	dialer := net.Dialer{KeepAlive: keepAlive}
	return dialer.DialContext(ctx, network, address)
}

// tlsConfig says how a kubelet is verified, and with which certificate the
// client answers. The name that is verified is the address dialled, unless the
// configuration has a ServerName.
func (c *connections) tlsConfig() *tls.Config {
	certificate := c.credentials.certificate.Load()
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            c.credentials.roots.Load(),
		ServerName:         c.transport.TLS.ServerName,
		InsecureSkipVerify: c.transport.TLS.Insecure,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.clientCertificate(certificate)
		},
	}
}

// clientCertificate returns configured, or what an exec plugin has. An empty
// certificate is how crypto/tls is told that there is none.
func (c *connections) clientCertificate(configured *tls.Certificate) (*tls.Certificate, error) {
	if configured != nil {
		return configured, nil
	}
	if holder := c.transport.TLS.GetCertHolder; holder != nil {
		certificate, err := holder.GetCert()
		if err != nil || certificate != nil {
			return certificate, err
		}
	}
	return &tls.Certificate{}, nil
}
