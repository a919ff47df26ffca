// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/transport"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// direct asks kubelets over connections of its own.
//
// It speaks what it takes of HTTP/1.1, because of what net/http costs with
// thousands of kubelets: two goroutines and two buffers for each connection, which
// would be most of the server's memory, and handing every request from one
// goroutine to another, which takes more CPU time than to decode the answer.
type direct struct {
	*dialer
	clock     clock.PassiveClock
	headers   map[*resource]*atomic.Pointer[headerText]
	exchanges sync.Pool // *exchange
}

// headerText are the headers of the requests for a resource, as they are sent.
type headerText struct {
	token string // that is in it
	text  []byte
}

func newDirect(d *dialer, clock clock.PassiveClock) *direct {
	return &direct{
		dialer:    d,
		clock:     clock,
		headers:   map[*resource]*atomic.Pointer[headerText]{metricsResource: {}, summaryResource: {}},
		exchanges: sync.Pool{New: func() any { return newExchange() }},
	}
}

// get implements getter.
func (d *direct) get(ctx context.Context, deadline time.Time, e *Endpoint, at *location, want *resource) (Answer, Reason, error) {
	text, err := d.headerText(want)
	if err != nil {
		return Answer{}, ReasonCredentials, err
	}
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}
	x := d.exchanges.Get().(*exchange)
	defer d.release(x)
	x.request = append(append(x.request[:0], at.requestLine...), text...)

	conn := e.take(d.generation.Load())
	for {
		reused := conn != nil
		if !reused {
			if conn, err = d.connect(ctx, deadline, e); err != nil {
				return Answer{}, requestReason(err), d.explain(err, false)
			}
		}
		answer, reason, err := d.exchange(ctx, x, conn, deadline, e, want)
		e.put(conn, d.generation.Load())
		if err == nil {
			return answer, "", nil
		}
		if !reused || !errors.As(err, new(unansweredError)) {
			return Answer{}, reason, d.explain(err, true)
		}
		conn = nil // the kubelet closed it while it was idle
	}
}

// exchange sends the request and reads its answer. The connection is sound
// afterwards only if all of the answer was read.
func (d *direct) exchange(ctx context.Context, x *exchange, conn *connection, deadline time.Time, e *Endpoint, want *resource) (Answer, Reason, error) {
	conn.sound = false
	if err := conn.begin(ctx, deadline); err != nil {
		return Answer{}, requestReason(err), err
	}
	sent := d.clock.Now()
	if err := x.ask(conn); err != nil {
		return Answer{}, requestReason(err), err
	}
	format, reason, err := checkResponse(&x.head, &x.body, want)
	if err != nil {
		x.finish(conn)
		return Answer{}, reason, err
	}
	answer, reason, err := (&bodyReader{ctx, deadline, d.placesFor(e), conn}).read(&x.body)
	if err != nil {
		return Answer{}, reason, err
	}
	x.finish(conn)
	answer.Format, answer.RequestTime = format, sent
	return answer, "", nil
}

// release keeps an exchange for another request, without what was its connection.
func (d *direct) release(x *exchange) {
	x.reader.Reset(nil)
	d.exchanges.Put(x)
}

// headerText returns the headers of a request. client-go makes them, again when
// the token has changed.
func (d *direct) headerText(want *resource) ([]byte, error) {
	var token string
	if tokens := d.credentials.tokens; tokens != nil {
		var err error
		if token, err = tokens.Token(); err != nil {
			return nil, err
		}
	}
	h := d.headers[want]
	if known := h.Load(); known != nil && known.token == token {
		return known.text, nil
	}
	// Without a logger, for client-go would log it as a request.
	ctx := klog.NewContext(context.Background(), klog.Logger{})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://kubelet/", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", want.accept)
	var text bytes.Buffer
	rt, err := transport.HTTPWrappersForConfig(d.transport, roundTripper(func(req *http.Request) (*http.Response, error) {
		return &http.Response{Body: http.NoBody}, req.Header.Write(&text)
	}))
	if err != nil {
		return nil, err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text.WriteString("\r\n")
	h.Store(&headerText{token, text.Bytes()})
	return text.Bytes(), nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
