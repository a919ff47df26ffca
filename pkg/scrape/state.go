// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"time"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

// State is how the scrapes of a node go.
type State struct {
	Node string
	// Address is the host and port that are dialled, "" if the node has none.
	Address string
	// CertificateExpires is the end of the serving certificate that the kubelet has
	// shown last, zero if it has shown none.
	CertificateExpires time.Time
	// WarmingUp tells whether the node is scraped again soon, because it has just
	// come or works again.
	WarmingUp bool
	// Succeeded is when the last scrape that has not failed ended, zero if all have.
	Succeeded time.Time
	// Duration of the last scrape, 0 if there was none.
	Duration time.Duration
	// Failures in a row, the last scrape's among them, and the time of the first.
	Failures     int
	FailingSince time.Time
	// Err of the last scrape, and its reason in one word as in metrics and logs; nil
	// and "" if it has not failed.
	Err    error
	Reason string
	// Refused is the reason why something was left out of the last answer, "" if
	// nothing was, with an example; and since when that goes on.
	Refused, RefusedExample string
	RefusingSince           time.Time
}

// States returns that of each node, in no order. It stops scraping for no longer
// than it takes to copy.
func (p *Pool) States() []State {
	type copied struct {
		*kubelet.Endpoint
		refused refusal
	}
	p.mu.Lock()
	states := make([]State, 0, len(p.targets))
	rest := make([]copied, 0, len(p.targets))
	for _, t := range p.targets {
		states = append(states, State{
			Node:          t.name,
			WarmingUp:     !t.warmUp.over(),
			Succeeded:     t.succeeded,
			Duration:      t.took,
			Failures:      t.failing.scrapes,
			FailingSince:  t.failing.since,
			Err:           t.failure,
			RefusingSince: t.refusing.since,
		})
		rest = append(rest, copied{t.endpoint, t.refused})
	}
	p.mu.Unlock()
	for i := range states {
		s := &states[i]
		if e := rest[i].Endpoint; e != nil {
			s.Address, s.CertificateExpires = e.Address(), e.CertificateExpires()
		}
		if s.Err != nil {
			s.Reason = reasonOf(s.Err)
		}
		if r := rest[i].refused; r != (refusal{}) {
			s.Refused, s.RefusedExample = r.reason.String(), r.example
		}
	}
	return states
}
