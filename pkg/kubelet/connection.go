// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// connection is a kept-alive connection to a kubelet. Between requests it has no
// goroutine and no buffer.
type connection struct {
	raw        net.Conn
	stream     net.Conn    // raw, or TLS over it
	records    *recordConn // between the two, if there is TLS
	generation uint64      // of the credentials that it was made with
	sound      bool        // the next request can be sent on it

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
	return nil
}

// end makes the connection idle.
func (c *connection) end() error {
	if c.records != nil {
		c.records.release()
	}
	return c.raw.SetDeadline(time.Time{})
}

func (c *connection) close() {
	if c.unwatch != nil {
		c.unwatch()
	}
	if c.records != nil {
		c.records.release()
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
	c.records = &recordConn{Conn: raw}
	stream := tls.Client(c.records, config)
	if err := stream.HandshakeContext(ctx); err != nil {
		c.close()
		return nil, transportError{err}
	}
	c.stream = stream
	return c, nil
}

// recordConn is what crypto/tls reads from. It reads as much as there is at a
// time, into a buffer that it has only while there is something in it, and hands
// on one TLS record at a time: crypto/tls keeps a buffer of twice what it was once
// handed, for as long as the connection lives.
type recordConn struct {
	net.Conn
	header   [recordHeaderSize]byte
	buf      *[]byte // nil while nothing is buffered
	from, to int     // what is unread of it
	left     int     // bytes of the current record that are still to be handed on
}

const (
	recordHeaderSize = 5 // type, version and length (RFC 8446, section 5.1)
	// receiveSize is enough for the answer of most nodes.
	receiveSize = 64 << 10
)

var receiveBuffers = sync.Pool{New: func() any {
	buf := make([]byte, receiveSize)
	return &buf
}}

func (r *recordConn) Read(p []byte) (int, error) {
	if r.left == 0 {
		if err := r.nextRecord(); err != nil {
			return 0, err
		}
	}
	if r.from == r.to {
		if err := r.fill(1); err != nil {
			return 0, err
		}
	}
	n := copy(p, (*r.buf)[r.from:min(r.to, r.from+r.left)])
	r.from += n
	r.left -= n
	return n, nil
}

// nextRecord waits for the header of a record.
func (r *recordConn) nextRecord() error {
	if r.buf == nil { // nothing but the header's own bytes is held while waiting
		if _, err := io.ReadFull(r.Conn, r.header[:]); err != nil {
			return err
		}
		r.buf = receiveBuffers.Get().(*[]byte)
		r.from, r.to = 0, copy(*r.buf, r.header[:])
	} else if err := r.fill(recordHeaderSize); err != nil {
		return err
	}
	r.left = recordHeaderSize + int(binary.BigEndian.Uint16((*r.buf)[r.from+3:]))
	return nil
}

// fill reads until n bytes are buffered.
func (r *recordConn) fill(n int) error {
	buf := *r.buf
	if r.from == r.to {
		r.from, r.to = 0, 0
	} else if len(buf)-r.from < n {
		r.from, r.to = 0, copy(buf, buf[r.from:r.to])
	}
	for r.to-r.from < n {
		m, err := r.Conn.Read(buf[r.to:])
		if r.to += m; err != nil && r.to-r.from < n {
			return err
		}
	}
	return nil
}

// release gives the buffer back if there is nothing in it.
func (r *recordConn) release() {
	if r.buf != nil && r.from == r.to {
		receiveBuffers.Put(r.buf)
		r.buf = nil
	}
}
