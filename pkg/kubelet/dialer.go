// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"k8s.io/client-go/transport"
)

const keepAlive = 30 * time.Second

// dialer connects to kubelets with the credentials of now.
type dialer struct {
	config      Config
	transport   *transport.Config
	credentials *credentials
	// generation counts how often the credentials of connections have changed.
	generation atomic.Uint64
	// steady and failing are places for the bodies of endpoints by how their last
	// fetch ended.
	steady, failing *places
}

func newDialer(c Config, t *transport.Config, credentials *credentials) *dialer {
	return &dialer{
		config: c, transport: t, credentials: credentials,
		steady: newPlaces(steadyPlaces, turn), failing: newPlaces(failingPlaces, turn),
	}
}

func (d *dialer) placesFor(e *Endpoint) *places {
	if e.failed {
		return d.failing
	}
	return d.steady
}

// transportError is an error of a connection, and not one of what gets
// credentials ready.
type transportError struct{ error }

func (e transportError) Unwrap() error { return e.error }

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d.transport.DialHolder != nil {
		return d.transport.DialHolder.Dial(ctx, network, address)
	}
	dialer := net.Dialer{KeepAlive: keepAlive}
	return dialer.DialContext(ctx, network, address)
}

// tlsConfig says how the kubelet of an endpoint is verified, and with which
// certificate the client answers. It has no cache of sessions: each connection is
// verified by the certificate that the kubelet has now.
func (d *dialer) tlsConfig(e *Endpoint) *tls.Config {
	certificate := d.credentials.certificate.Load()
	address, _, _ := net.SplitHostPort(e.host)
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: address,
		// crypto/tls would verify for one name only. VerifyConnection sees every
		// handshake, and before the client shows its own certificate.
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return d.clientCertificate(certificate)
		},
	}
	roots := d.credentials.roots.Load()
	config.VerifyConnection = func(s tls.ConnectionState) error {
		e.certificateExpires.Store(s.PeerCertificates[0].NotAfter.Unix())
		if d.transport.TLS.Insecure {
			return nil
		}
		return verifyCertificate(s.PeerCertificates, roots, &e.node)
	}
	return config
}

// clientCertificate returns configured, or what an exec plugin has. An empty
// certificate is how crypto/tls is told that there is none.
func (d *dialer) clientCertificate(configured *tls.Certificate) (*tls.Certificate, error) {
	if configured != nil {
		return configured, nil
	}
	if holder := d.transport.TLS.GetCertHolder; holder != nil {
		certificate, err := holder.GetCert()
		if err != nil || certificate != nil {
			return certificate, err
		}
	}
	return &tls.Certificate{}, nil
}

// explain says of a timeout what it was that took too long.
func (d *dialer) explain(err error, connected bool) error {
	if err == nil || !isTimeout(err) {
		return err
	}
	phase := "no connection in time"
	if connected {
		phase = "no complete answer in time"
	}
	return fmt.Errorf("%s: %w; --kubelet-request-timeout is %s", phase, err, d.config.Timeout)
}
