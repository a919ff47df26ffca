// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"sync"
	"time"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// outage is a number of scrapes of a node that fail in a row.
type outage struct {
	node        *kubeletsim.Node
	left        int
	first, last time.Time // scrape that failed
}

// outages end where enough scrapes have failed, however fast they come: a server
// may well try again early.
type outages struct {
	mu  sync.Mutex
	all []*outage
	err error
}

// begin has the next scrapes of a node fail.
func (o *outages) begin(n *kubeletsim.Node, length int) error {
	o.mu.Lock()
	o.all = append(o.all, &outage{node: n, left: length})
	o.mu.Unlock()
	return n.SetFaults(kubeletsim.Status(failure))
}

// observe is for kubeletsim.
func (o *outages) observe(n *kubeletsim.Node, r kubeletsim.Request) {
	if r.Status != failure {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, out := range o.all {
		if out.node != n || out.left == 0 {
			continue
		}
		out.last = time.Now()
		if out.first.IsZero() {
			out.first = out.last
		}
		if out.left--; out.left == 0 {
			if err := n.SetFaults(); err != nil {
				o.err = err
			}
		}
	}
}

// take returns what there was, and forgets it.
func (o *outages) take() ([]*outage, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all, err := o.all, o.err
	o.all, o.err = nil, nil
	return all, err
}
