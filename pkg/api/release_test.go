// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Lists give their memory back when the handler has ended, however it has.
func TestReleaseLists(t *testing.T) {
	for name, end := range map[string]func(){"answers": func() {}, "panics": func() { panic(http.ErrAbortHandler) }} {
		t.Run(name, func(t *testing.T) {
			released := 0
			handler := ReleaseLists(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				whenAnswered(req.Context(), func() { released++ })
				if released != 0 {
					t.Error("released before the answer")
				}
				end()
			}))
			func() {
				defer func() { _ = recover() }()
				handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
			}()
			if released != 1 {
				t.Errorf("released %d times", released)
			}
		})
	}
}

// Requests for anything but lists have nothing to release.
func TestReleaseNothing(t *testing.T) {
	answered := false
	ReleaseLists(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered = true })).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if !answered {
		t.Error("not answered")
	}
	whenAnswered(t.Context(), func() { t.Error("released outside of a request") })
}
