// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// deadline is that of writing a response, until its outermost handler has returned. The
// handler that gives up requests which take too long, or whose client has gone, returns
// before those that it has called, and then the response is HTTP/2's no more, and a
// connection of HTTP/1.1 may be at its next one.
type deadline struct {
	mu         sync.Mutex
	controller *http.ResponseController // nil when the response is over
}

type deadlineKey struct{}

// withDeadline has to be around all other handlers.
func withDeadline(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		d := &deadline{controller: http.NewResponseController(w)}
		defer d.end()
		handler.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), deadlineKey{}, d)))
	})
}

// deadlineOf returns that of the response to a request. Without withDeadline, there is none
// to set.
func deadlineOf(req *http.Request) *deadline {
	if d, ok := req.Context().Value(deadlineKey{}).(*deadline); ok {
		return d
	}
	return &deadline{}
}

func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.controller = nil
}

// set is for all writes until it is called again; a zero time takes the deadline away.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.controller != nil {
		// The error is that the writer knows no deadlines, as in tests.
		_ = d.controller.SetWriteDeadline(t)
	}
}
