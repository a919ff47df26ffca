// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// connection is a kept-alive connection to a kubelet. Between requests it has no
// goroutine and no buffer.
type connection struct {
	raw        net.Conn
	stream     net.Conn // raw, or TLS over it
	lent       *lent    // to the latter, during a request
	generation uint64   // of the credentials that it was made with
	sound      bool     // the next request can be sent on it

	ctx     context.Context // of the request, or of the last one
	unwatch func() bool
}

// begin readies the connection for a request. It is closed when ctx ends, also
// after the request: those of an endpoint mostly have the same, so that it need
// not be watched anew each time.
func (c *connection) begin(ctx context.Context, deadline time.Time) error {
	if c.ctx == nil || c.ctx.Done() != ctx.Done() {
		if c.unwatch != nil {
			c.unwatch()
		}
		c.unwatch = context.AfterFunc(ctx, func() { c.raw.Close() })
	}
	c.ctx = ctx
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.raw.SetDeadline(deadline); err != nil {
		return unansweredError{transportError{err}}
	}
	if stream, ok := c.stream.(*tls.Conn); ok {
		c.lent = lend(stream)
	}
	return nil
}

// end makes the connection idle, and returns false if it cannot be: the kubelet has
// sent something that is not read.
func (c *connection) end() bool {
	empty := true
	if c.lent != nil {
		empty = c.lent.takeBack()
		c.lent = nil
	}
	return c.raw.SetDeadline(time.Time{}) == nil && empty
}

func (c *connection) close() {
	if c.unwatch != nil {
		c.unwatch()
	}
	c.stream.Close()
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	return n, c.explain(err)
}

func (c *connection) Write(p []byte) (int, error) {
	n, err := c.stream.Write(p)
	return n, c.explain(err)
}

// explain says of an error whether the request was given up or out of time.
func (c *connection) explain(err error) error {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return context.DeadlineExceeded
	}
	return transportError{err}
}

// unansweredError is the end of a connection before the first byte of an answer.
type unansweredError struct{ error }

func (e unansweredError) Unwrap() error { return e.error }

// connect makes a connection with the credentials of now.
func (d *dialer) connect(ctx context.Context, deadline time.Time, host string) (*connection, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	c := &connection{generation: d.generation.Load()}
	raw, err := d.dial(ctx, "tcp", host)
	if err != nil {
		return nil, transportError{err}
	}
	c.raw, c.stream = raw, raw
	if d.config.Insecure {
		return c, nil
	}
	config := d.tlsConfig()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(host)
	}
	stream := tls.Client(raw, config)
	if err := stream.HandshakeContext(ctx); err != nil {
		c.close()
		return nil, transportError{err}
	}
	c.stream = stream
	return c, nil
}
