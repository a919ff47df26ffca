// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import "time"

// startsPerSecond is how many nodes are scraped for the first time in a second, at
// most. A first scrape costs a TLS handshake on both sides, and may have the kubelet
// ask the API server who we are and what we may do.
const startsPerSecond = 500

// lastingFailures in a row are more than a passing failure.
const lastingFailures = 2

// warmUpScrapes are when a node is scraped again after its first answer, as long as
// something lacks a second point. A kubelet stamps containers at the time of the
// request, so that they have a window after the first of these, and nodes and pods
// every 10 s, so that they have one after the second.
var warmUpScrapes = [...]time.Duration{6 * time.Second, 11 * time.Second}

// warmUp has a node that has just come served in seconds, and not after two rounds.
// So it does with one that answers after a lasting failure: its points, if there were
// any, may be too old by then.
type warmUp struct {
	cold    bool      // the next answer is a first one
	began   time.Time // when the first answer had come; zero if none is being followed up
	lacking bool      // something lacked a second point in the last answer
	failed  bool      // there has been a lasting failure
}

// answer takes in a scrape that has succeeded, and ended now: the samples of a slow
// answer may be as new as that.
func (w *warmUp) answer(lacking bool, now time.Time) {
	if w.cold {
		w.cold, w.began = false, now
	}
	w.lacking = lacking
}

// fail takes in a scrape that has failed, and how many have in a row.
func (w *warmUp) fail(failures int) {
	if failures >= lastingFailures {
		w.cold, w.began, w.failed = true, time.Time{}, true
	}
}

// over tells whether another scrape soon would gain nothing, or cannot be hoped for.
func (w *warmUp) over() bool { return w.began.IsZero() && (!w.cold || w.failed) }

// next returns when the next scrape is due. There is none if the warm-up is over with
// this call.
func (w *warmUp) next(now time.Time) (due time.Time, ok bool) {
	if w.cold { // a first failure: the node may have just started, as we have
		return now.Add(warmUpScrapes[0]), true
	}
	if w.lacking {
		for _, after := range warmUpScrapes {
			if due := w.began.Add(after); due.After(now) {
				return due, true
			}
		}
	}
	w.began = time.Time{}
	return time.Time{}, false
}

// starts spreads the first scrapes of nodes that come at the same time.
type starts struct{ next time.Time }

// take returns the first moment from now on that is free.
func (s *starts) take(now time.Time) time.Time {
	due := s.next
	if due.Before(now) {
		due = now
	}
	s.next = due.Add(time.Second / startsPerSecond)
	return due
}
