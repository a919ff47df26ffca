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
	"syscall"
	"time"
)

// connection is a kept-alive connection to a kubelet. Between requests, and while a
// kubelet lets one wait, it has no goroutine and no large buffer.
type connection struct {
	raw        net.Conn
	stream     net.Conn        // raw, or TLS over it
	socket     syscall.RawConn // of raw, nil if it has none
	lent       *lent           // to stream, during an answer
	generation uint64          // of the credentials that it was made with
	sound      bool            // the next request can be sent on it

	ctx     context.Context // of the request, or of the last one
	unwatch func() bool

	// look and glance are peek, made once, and readable is what it has found.
	look     func(fd uintptr) bool
	glance   func(fd uintptr)
	readable bool
}

func newConnection(raw net.Conn, generation uint64) *connection {
	c := &connection{raw: raw, stream: raw, generation: generation}
	if s, ok := raw.(syscall.Conn); ok {
		c.socket, _ = s.SyscallConn() // there is none, then
	}
	c.look = c.peek
	c.glance = func(fd uintptr) { c.peek(fd) }
	return c
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
	return nil
}

// wait returns when there is something to read, or the connection has ended, and
// gives the connection a buffer to read it into.
func (c *connection) wait() error {
	if c.socket != nil {
		if err := c.socket.Read(c.look); err != nil {
			return c.explain(err)
		}
	}
	if stream, ok := c.stream.(*tls.Conn); ok {
		c.lent = lend(stream)
	}
	return nil
}

// quiet tells whether an idle connection is open and has nothing to read: what a
// kubelet sends unasked is not to be taken for an answer.
func (c *connection) quiet() bool {
	if c.socket == nil {
		return true
	}
	err := c.socket.Control(c.glance)
	return err == nil && !c.readable
}

// peek sees whether a read would return at once, and returns false if it would not.
func (c *connection) peek(fd uintptr) bool {
	var first [1]byte
	_, _, err := syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	c.readable = !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
	return c.readable
}

// end makes the connection idle, and returns false if it cannot be: the kubelet has
// sent something that is not read.
func (c *connection) end() bool {
	stream, ok := c.stream.(*tls.Conn)
	empty := !ok || !holds(stream)
	c.takeBack()
	return c.raw.SetDeadline(time.Time{}) == nil && empty
}

func (c *connection) takeBack() {
	if c.lent != nil {
		c.lent.takeBack()
		c.lent = nil
	}
}

// close closes the connection, of which nothing is read any more. There is no
// farewell on one that is not sound, which could take long.
func (c *connection) close() {
	if c.unwatch != nil {
		c.unwatch()
	}
	if c.sound {
		c.stream.Close()
	} else {
		c.raw.Close()
	}
	c.takeBack()
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	return n, c.explain(err)
}

// interrupt implements interrupter.
func (c *connection) interrupt() {
	// An error means that the connection has ended.
	_ = c.raw.SetReadDeadline(time.Unix(1, 0))
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
func (d *dialer) connect(ctx context.Context, deadline time.Time, e *Endpoint) (*connection, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	generation := d.generation.Load()
	raw, err := d.dial(ctx, "tcp", e.host)
	if err != nil {
		return nil, transportError{err}
	}
	c := newConnection(raw, generation)
	if d.config.Insecure {
		return c, nil
	}
	stream := tls.Client(raw, d.tlsConfig(e))
	if err := stream.HandshakeContext(ctx); err != nil {
		c.close()
		return nil, transportError{err}
	}
	forgetCertificates(stream)
	c.stream = stream
	return c, nil
}
