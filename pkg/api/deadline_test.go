// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// deadlineWriter is a response that must not be touched when its handler has returned.
type deadlineWriter struct {
	*httptest.ResponseRecorder
	t    *testing.T
	over bool
	set  int
}

func (w *deadlineWriter) SetWriteDeadline(time.Time) error {
	if w.set++; w.over {
		w.t.Error("a deadline is set of a response that is over")
	}
	return nil
}

// A handler that has been given up, because its client has gone, writes on.
func TestDeadlineOfAResponseThatIsOver(t *testing.T) {
	for _, verb := range []string{"watch", "list"} {
		written, givenUp, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		handler := endStalled(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "before")
			close(written)
			<-givenUp
			_, _ = io.WriteString(w, "after")
		}), nil, StallLimit)
		ctx := genericapirequest.WithRequestInfo(t.Context(), &genericapirequest.RequestInfo{Verb: verb})
		w := &deadlineWriter{ResponseRecorder: httptest.NewRecorder(), t: t}
		withDeadline(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			go func() {
				defer close(ended)
				handler.ServeHTTP(rw, req)
			}()
			<-written
		})).ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		if w.set == 0 {
			t.Errorf("%s: no deadline is set while it is written", verb)
		}
		w.over = true
		close(givenUp)
		<-ended
	}
}
