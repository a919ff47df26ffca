// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"errors"
	"sync"
	"time"
)

// readyDelay is what aggregators need as a rule to learn of a bundle.
const readyDelay = 5 * time.Second

var (
	errNotStored    = errors.New("the serving certificate is not in its Secret yet; the log tells why")
	errNotPublished = errors.New("the APIServices do not trust the serving certificate yet; the log tells why")
	errSettling     = errors.New("the APIServices have come to trust the serving certificate a moment ago")
)

// readiness is reached once and for all: a replica that is cut off later serves what
// it has.
type readiness struct {
	mu        sync.Mutex
	stored    bool
	published bool
	from      time.Time
	reached   bool
}

// set says from when on the server is ready, if its certificate is published.
func (r *readiness) set(from time.Time, published bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored, r.published, r.from = true, published, from
}

func (r *readiness) check(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.reached:
		return nil
	case !r.stored:
		return errNotStored
	case !r.published:
		return errNotPublished
	case now.Before(r.from):
		return errSettling
	}
	r.reached = true
	return nil
}
