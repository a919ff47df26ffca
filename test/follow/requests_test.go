// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"fmt"
	"net/http"
	"sync"
)

// The kinds of requests.
const (
	listRequest      = "list"
	pageRequest      = "further page"
	watchListRequest = "list by watch"
	watchRequest     = "watch"
)

// requests counts what a client asks for, and how that fails.
type requests struct {
	mu     sync.Mutex
	counts map[string]int
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// wrap is for rest.Config.Wrap.
func (r *requests) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		query := req.URL.Query()
		switch {
		case query.Get("sendInitialEvents") == "true":
			r.add(watchListRequest)
		case query.Get("watch") != "":
			r.add(watchRequest)
		case query.Get("continue") != "":
			r.add(pageRequest)
		default:
			r.add(listRequest)
		}
		resp, err := next.RoundTrip(req)
		if err != nil {
			r.add("connection error")
		} else if resp.StatusCode != http.StatusOK {
			r.add(fmt.Sprint("status ", resp.StatusCode))
		}
		return resp, err
	})
}

func (r *requests) add(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	r.counts[kind]++
}

func (r *requests) count(kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[kind]
}

// begun is how many lists and watches have begun.
func (r *requests) begun() int {
	return r.count(listRequest) + r.count(pageRequest) + r.count(watchListRequest) + r.count(watchRequest)
}

// relists is how often everything was asked for but for the first time.
func (r *requests) relists() int { return r.count(listRequest) + r.count(watchListRequest) - 1 }

func (r *requests) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return countsText(r.counts)
}
