// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"k8s.io/client-go/transport"
	"k8s.io/utils/clock"
)

// minIdleTime is what a kubelet itself allows an idle connection.
const minIdleTime = 90 * time.Second

// library asks kubelets with net/http, for configurations with a proxy or with
// credentials that want to see each request. When credentials change, a new
// http.Transport takes over, and what the old one has is closed once idle.
type library struct {
	*dialer
	clock   clock.PassiveClock
	wrapped http.RoundTripper // around this
	current atomic.Pointer[http.Transport]
}

func newLibrary(d *dialer, clock clock.PassiveClock) (*library, error) {
	l := &library{dialer: d, clock: clock}
	l.current.Store(l.newTransport())
	var err error
	l.wrapped, err = transport.HTTPWrappersForConfig(d.transport, l)
	return l, err
}

// get implements getter. It goes to the transport and not to an http.Client, so
// that no redirect is followed: the credentials are for this kubelet only.
func (l *library) get(ctx context.Context, deadline time.Time, _ *Endpoint, at *location, want *resource) (Answer, Reason, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	sent, connected := l.clock.Now(), false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent, connected = l.clock.Now(), true },
	})
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
	answer, reason, err := readAnswer(resp.Body)
	answer.Format, answer.RequestTime = format, sent
	return answer, reason, l.explain(err, connected)
}

// RoundTrip implements http.RoundTripper, beneath client-go's wrappers.
func (l *library) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.current.Load().RoundTrip(req)
	if err != nil {
		return nil, transportError{err}
	}
	return resp, nil
}

// renew implements getter.
func (l *library) renew() { l.current.Swap(l.newTransport()).CloseIdleConnections() }

// close implements getter.
func (l *library) close() { l.current.Load().CloseIdleConnections() }

// newTransport makes a transport with the credentials of now. It speaks HTTP/1.1
// only: a kubelet is asked one thing at a time, so that HTTP/2 would only cost
// memory and CPU, per connection. It does not ask for compression, which costs
// both sides more CPU than the bytes are worth in a cluster network.
func (l *library) newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  l.transport.Proxy,
		DialContext:            l.dial,
		TLSClientConfig:        l.tlsConfig(),
		TLSHandshakeTimeout:    l.config.Timeout,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        max(2*l.config.Resolution, minIdleTime),
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
}
