// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"k8s.io/client-go/transport"
	"k8s.io/utils/clock"
)

// minIdleTime is what a kubelet itself allows an idle connection.
const minIdleTime = 90 * time.Second

// library asks kubelets with net/http, for configurations with a proxy or with
// credentials that want to see each request. Each Endpoint has an http.Transport of
// its own: one for all would use a connection for every node that states its address,
// though it was verified for one. When credentials change, a new one takes over, and
// what the old one has is closed once idle.
type library struct {
	*dialer
	clock   clock.PassiveClock
	wrapped http.RoundTripper // around this
}

func newLibrary(d *dialer, clock clock.PassiveClock) (*library, error) {
	l := &library{dialer: d, clock: clock}
	var err error
	l.wrapped, err = transport.HTTPWrappersForConfig(d.transport, l)
	return l, err
}

type transportKey struct{}

// get implements getter. It goes to the transport and not to an http.Client, so
// that no redirect is followed: the credentials are for this kubelet only.
func (l *library) get(ctx context.Context, deadline time.Time, e *Endpoint, at *location, want *resource) (Answer, Reason, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	sent, connected := l.clock.Now(), false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent, connected = l.clock.Now(), true },
	})
	t := e.takeTransport(l.newTransport)
	defer e.putTransport(t)
	ctx = context.WithValue(ctx, transportKey{}, t)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.url, nil)
	if err != nil {
		return Answer{}, ReasonNoAddress, err
	}
	req.Header.Set("Accept", want.accept)
	resp, err := l.wrapped.RoundTrip(req)
	if err != nil {
		return Answer{}, requestReason(err), l.explain(err, connected)
	}
	defer resp.Body.Close()

	h := head{status: resp.StatusCode, contentLength: resp.ContentLength}
	for name, f := range map[string]*field{
		"Content-Type": &h.contentType, "Content-Encoding": &h.contentEncoding, "Location": &h.location,
	} {
		*f = field{true, resp.Header.Get(name)}
	}
	format, reason, err := checkResponse(&h, resp.Body, want)
	if err != nil {
		return Answer{}, reason, err
	}
	answer, reason, err := (&bodyReader{ctx, deadline, l.placesFor(e), canceller(cancel)}).read(resp.Body)
	answer.Format, answer.RequestTime = format, sent
	return answer, reason, l.explain(err, connected)
}

// canceller is an interrupter that ends the request.
type canceller context.CancelFunc

func (c canceller) interrupt() { c() }

// RoundTrip implements http.RoundTripper, beneath client-go's wrappers.
func (l *library) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := req.Context().Value(transportKey{}).(*http.Transport).RoundTrip(req)
	if err != nil {
		return nil, transportError{err}
	}
	return resp, nil
}

// newTransport makes a transport with the credentials of now. It speaks HTTP/1.1
// only: a kubelet is asked one thing at a time, so that HTTP/2 would only cost
// memory and CPU, per connection. It does not ask for compression, which costs
// both sides more CPU than the bytes are worth in a cluster network.
func (l *library) newTransport(e *Endpoint) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	t := &http.Transport{
		Proxy:                  l.transport.Proxy,
		DialContext:            l.dialInTime,
		TLSClientConfig:        l.tlsConfig(e),
		TLSHandshakeTimeout:    l.config.Timeout,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        max(2*l.config.Resolution, minIdleTime),
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
	if t.Proxy != nil {
		t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return l.dialTLS(ctx, network, address, e)
		}
	}
	return t
}

// dialInTime bounds the time by itself: net/http goes on dialling after the request is
// given up.
func (l *library) dialInTime(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.Timeout)
	defer cancel()
	return l.dial(ctx, network, address)
}

// dialTLS makes the first TLS connection to an address: to a proxy, which is verified by
// its own name, or to the kubelet where the proxy is not for it. What goes through a
// proxy is verified as the kubelet's in any case.
func (l *library) dialTLS(ctx context.Context, network, address string, e *Endpoint) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.Timeout)
	defer cancel()
	raw, err := l.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := l.tlsConfig(e)
	if address != e.host {
		config.ServerName, _, _ = net.SplitHostPort(address)
		config.RootCAs = l.credentials.roots.Load()
		config.InsecureSkipVerify, config.VerifyConnection = l.transport.TLS.Insecure, nil
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}
