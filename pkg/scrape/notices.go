// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

const (
	// maxNoticed is how many nodes operators are told of one by one at the same time.
	// If more have no metrics, it is an outage, and they are told of that.
	maxNoticed = 20
	// fewUnavailable is with how many nodes without metrics an outage is over.
	fewUnavailable = maxNoticed / 2
)

// Events takes what operators are to find where they look for what is wrong with a
// cluster. No method may block: the pool is locked meanwhile.
type Events interface {
	// NodeUnavailable is called when scrapes of a node have failed since a time for
	// so long that nothing of it is served any more. The error is that of the last
	// scrape, and the reason its cause in one word.
	NodeUnavailable(n kubelet.Node, since time.Time, reason string, err error)
	// NodeAvailable is called when a node that was unavailable has answered.
	NodeAvailable(n kubelet.Node, since time.Time)
	// OutageBegins is called when more nodes are unavailable than NodeUnavailable is
	// called for, and again when there are twice as many.
	OutageBegins(Outage)
	// OutageEnds is called when no more than a few nodes are unavailable.
	OutageEnds(since time.Time, few int)
}

// Outage is many nodes without metrics.
type Outage struct {
	// Since is a time before the pool, and any other that scrapes the same nodes, has
	// told of the outage.
	Since time.Time
	// Unavailable is how many nodes have no metrics, of all Nodes that are scraped.
	Unavailable, Nodes int
	Reasons            Reasons
}

// Reasons is how many nodes fail for which reason.
type Reasons map[string]int

// Names are the reasons in order.
func (r Reasons) Names() []string { return slices.Sorted(maps.Keys(r)) }

func (r Reasons) String() string {
	var list []string
	for _, name := range r.Names() {
		list = append(list, fmt.Sprint(name, "=", r[name]))
	}
	return strings.Join(list, " ")
}

// notices decides what Events are told. However many nodes fail, however often and
// however long, it is little. Guarded by Pool.mu.
type notices struct {
	events Events // nil if nobody is to be told
	maxAge time.Duration
	recent []notice // at most maxNoticed
	outage bool     // nodes are told of all together
	since  time.Time
	told   int       // so many in the outage when that was told last
	next   time.Time // when they are counted next
}

// notice is that a node was told of. It keeps its place until the node answers or is
// removed, and for quiet at least.
type notice struct {
	target *target
	at     time.Time
}

// isUnavailable tells whether nothing of a node can be served: its points, the last
// of which came before since, are too old.
func (n *notices) isUnavailable(t *target, now time.Time) bool {
	return t.failing.scrapes >= lastingFailures && now.Sub(t.failing.since) >= n.maxAge && !now.Before(t.newUntil)
}

// failed takes in a scrape that has failed.
func (n *notices) failed(t *target, now time.Time) {
	if n.events == nil || t.noticed || n.outage || !n.isUnavailable(t, now) {
		return
	}
	n.recent = slices.DeleteFunc(n.recent, func(o notice) bool { return !o.target.noticed && now.Sub(o.at) >= quiet })
	if slices.ContainsFunc(n.recent, func(o notice) bool { return o.target == t }) {
		return // it has worked for a moment
	}
	if len(n.recent) == maxNoticed {
		n.outage, n.since, n.told, n.next = true, now.Add(-n.maxAge), 0, now.Add(time.Minute)
		return
	}
	n.recent = append(n.recent, notice{t, now})
	t.noticed = true
	n.events.NodeUnavailable(t.node, t.failing.since, reasonOf(t.failure), t.failure)
}

// answered takes in a scrape that has not failed, before the trouble is forgotten.
func (n *notices) answered(t *target) {
	if t.noticed {
		t.noticed = false
		n.events.NodeAvailable(t.node, t.failing.since)
	}
}

// count looks once a minute how an outage goes.
func (n *notices) count(targets map[string]*target, now time.Time) {
	if !n.outage || now.Before(n.next) {
		return
	}
	n.next = now.Add(time.Minute)
	o := Outage{Since: n.since, Nodes: len(targets), Reasons: Reasons{}}
	for _, t := range targets {
		if n.isUnavailable(t, now) {
			o.Unavailable++
			o.Reasons[reasonOf(t.failure)]++
		}
	}
	switch {
	case n.told == 0 && o.Unavailable <= maxNoticed: // a few that failed one after the other
		n.outage = false
	case o.Unavailable <= fewUnavailable:
		n.outage = false
		n.events.OutageEnds(n.since, fewUnavailable)
	case o.Unavailable >= 2*n.told:
		n.told = o.Unavailable
		n.events.OutageBegins(o)
	}
}
