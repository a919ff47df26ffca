// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"
)

// StallLimit is how long a list or watch may wait for its client to read.
const StallLimit = 30 * time.Second

var errStalled = errors.New("the client does not read")

// endStalled ends lists and watches whose client has not read for a time. Without it, a
// write waits for as long as the connection lives.
func endStalled(handler http.Handler, m *Metrics, limit time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		if !ok || info.Verb != "watch" && info.Verb != "list" {
			handler.ServeHTTP(w, req)
			return
		}
		timed := &timedWriter{
			ResponseWriter: w, controller: http.NewResponseController(w), deadline: deadlineOf(req), limit: limit, stalled: func() {},
		}
		if info.Verb == "list" {
			handler.ServeHTTP(responsewriter.WrapForHTTP1Or2(&pieceWriter{timed}), req)
			// The limit stays: what is left in the buffers of HTTP/2 is written when
			// all handlers have returned.
			return
		}
		timed.stalled = sync.OnceFunc(func() { m.terminatedWatch(req.Context(), info.Resource, info.Namespace, errStalled) })
		handler.ServeHTTP(responsewriter.WrapForHTTP1Or2(timed), req)
		timed.limitWrites(false) // for the connection's next request
	})
}

// pieceWriter writes in pieces, each with the whole of the time: a table may be
// written at once, and take a slow client minutes.
type pieceWriter struct{ *timedWriter }

func (w *pieceWriter) Write(p []byte) (n int, err error) {
	for piece := range slices.Chunk(p, pieceSize) {
		written, err := w.timedWriter.Write(piece)
		if n += written; err != nil {
			return n, err
		}
	}
	return n, nil
}

// timedWriter limits the time of each write to the connection, from the first
// byte until what was written is flushed.
type timedWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
	deadline   *deadline
	limit      time.Duration
	stalled    func()
}

// Unwrap implements responsewriter.UserProvidedDecorator.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// limitWrites starts the time anew, or takes the limit away: with HTTP/2, it would
// end a stream that has nothing to write, too.
func (w *timedWriter) limitWrites(on bool) {
	var end time.Time
	if on {
		end = time.Now().Add(w.limit)
	}
	w.deadline.set(end)
}

func (w *timedWriter) Write(p []byte) (int, error) {
	start := time.Now()
	w.limitWrites(true)
	n, err := w.ResponseWriter.Write(p)
	w.failed(err, start)
	return n, err
}

// Flush implements http.Flusher.
func (w *timedWriter) Flush() {
	start := time.Now()
	w.limitWrites(true)
	_ = w.controller.Flush() // it is not always said that it failed
	if time.Since(start) >= w.limit {
		w.stalled()
	}
	w.limitWrites(false)
}

// failed looks whether a failed write has used up its time. The error does not
// tell, with HTTP/2.
func (w *timedWriter) failed(err error, start time.Time) {
	if err != nil && time.Since(start) >= w.limit {
		w.stalled()
	}
}

// LimitWrites limits the time of each write to a connection, of at most 16 KiB
// with TLS: the limit of a stream or a response cannot end it while the
// connection as a whole is stuck.
func LimitWrites(l net.Listener, limit time.Duration) net.Listener {
	return limitedListener{l, limit}
}

type limitedListener struct {
	net.Listener
	limit time.Duration
}

func (l limitedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return limitedConn{conn, l.limit}, nil
}

type limitedConn struct {
	net.Conn
	limit time.Duration
}

func (c limitedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
