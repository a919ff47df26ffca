// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
)

// ReleaseLists has lists give their memory back when handler has answered. It is for
// the innermost handler: one further out may return while an inner one still writes,
// as that of timeouts does.
func ReleaseLists(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var release func()
		defer func() {
			if release != nil {
				release()
			}
		}()
		handler.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), releaseKey{}, &release)))
	})
}

type releaseKey struct{}

// whenAnswered has release called when the request of the context has been answered.
// Without ReleaseLists it is not called.
func whenAnswered(ctx context.Context, release func()) {
	if f, ok := ctx.Value(releaseKey{}).(*func()); ok {
		*f = release
	}
}
