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
}

// transportError is an error of a connection, and not one of what gets
// credentials ready.
type transportError struct{ error }

func (e transportError) Unwrap() error { return e.error }

// dial connects within the timeout of a request: net/http goes on dialling after
// the request is given up.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.config.Timeout)
	defer cancel()
	if d.transport.DialHolder != nil {
		return d.transport.DialHolder.Dial(ctx, network, address)
	}
	dialer := net.Dialer{KeepAlive: keepAlive}
	return dialer.DialContext(ctx, network, address)
}

// tlsConfig says how a kubelet is verified, and with which certificate the
// client answers. The name that is verified is the address dialled, unless the
// configuration has a ServerName.
func (d *dialer) tlsConfig() *tls.Config {
	certificate := d.credentials.certificate.Load()
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            d.credentials.roots.Load(),
		ServerName:         d.transport.TLS.ServerName,
		InsecureSkipVerify: d.transport.TLS.Insecure,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return d.clientCertificate(certificate)
		},
	}
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

// explain adds to an error of a connection what it does not say itself.
func (d *dialer) explain(err error, connected bool) error {
	if err == nil {
		return nil
	}
	if isTimeout(err) {
		phase := "no connection in time"
		if connected {
			phase = "no complete answer in time"
		}
		return fmt.Errorf("%s: %w; --kubelet-request-timeout is %s", phase, err, d.config.Timeout)
	}
	return explainCertificate(err)
}
