// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"math"
	"slices"
	"sync/atomic"
)

// What is served changes in three steps with the object's lock held: before
// notes what is served, then the object is changed, then publish sees what that
// means for the API and gives it a revision.

// podBefore is what was served of a pod; its containers are in shard.before.
type podBefore struct {
	from       *report
	attributes attributes
}

// before notes what is served of the pod. Its shard's lock is held for writing.
func (p *pod) before() podBefore {
	if p.from == nil {
		return podBefore{}
	}
	p.shard.before = append(p.shard.before[:0], p.from.containers...)
	return podBefore{p.from, p.attributes()}
}

// attributes of a pod that is served.
func (p *pod) attributes() attributes { return attributes{p.labels, p.from.node.name} }

func (s *Store) publishPod(p *pod, before podBefore, e epoch) {
	p.from = nil
	if r, reason := p.serve(e); reason == "" {
		p.from = r
		s.serveUntil(r.node, r.earliest()+e.maxAge)
	}
	t := transition{was: before.from != nil, is: p.from != nil, old: before.attributes}
	if t.is {
		t.now = p.attributes()
	}
	if !t.was && !t.is || t.sameAttributes() && slices.Equal(p.shard.before, p.from.containers) {
		return
	}
	f := s.pods
	f.mu.Lock()
	defer f.mu.Unlock()
	after, publish := f.revise(p, p.times, &t)
	if publish {
		var old, now *PodUsage
		if t.was {
			u := p.usage(p.shard.before, t.old, times{after.revision, p.since}, nil)
			old = &u
		}
		if t.is {
			u := p.usage(p.from.containers, t.now, after, nil)
			now = &u
		}
		f.publish(&t, old, now)
	}
	p.times = after
}

// nodeBefore is what was served of a node.
type nodeBefore struct {
	public bool
	labels *labelSet
	usage  usage
}

// before notes what is served of the node. Its lock is held.
func (n *node) before() nodeBefore { return nodeBefore{n.public, n.labels, n.usage} }

func (s *Store) publishNode(n *node, before nodeBefore, e epoch) {
	n.public = !n.removed && n.withheld(e) == ""
	if n.public {
		s.serveUntil(n, n.usage.last.time+e.maxAge)
	}
	t := transition{
		was: before.public, is: n.public,
		old: attributes{labels: before.labels}, now: attributes{labels: n.labels},
	}
	if !t.was && !t.is || t.sameAttributes() && before.usage == n.usage {
		return
	}
	f := s.nodes
	f.mu.Lock()
	defer f.mu.Unlock()
	after, publish := f.revise(n, n.times, &t)
	if publish {
		var old, now *NodeUsage
		if t.was {
			u := n.served(&before.usage, before.labels, times{after.revision, n.since})
			old = &u
		}
		if t.is {
			u := n.served(&n.usage, n.labels, after)
			now = &u
		}
		f.publish(&t, old, now)
	}
	n.times = after
}

// never is when nothing expires.
const never = math.MaxInt64

// lower sets a to t if that is less.
func lower(a *atomic.Int64, t int64) {
	for {
		old := a.Load()
		if old <= t || a.CompareAndSwap(old, t) {
			return
		}
	}
}

// serveUntil sees that what a node has reported is looked at again when it
// expires, at a time in Unix nanoseconds.
func (s *Store) serveUntil(n *node, t int64) {
	lower(&n.expires, t)
	lower(&s.expires, t)
}

// Expire withdraws what is older than the maximum age. Whoever reads the store
// calls it; it has to be called by the clock too, for the sake of watchers.
func (s *Store) Expire() {
	e := s.epoch()
	setBack := s.looked.Swap(e.now)-e.now > e.maxAge // what there is, is of the future
	if e.now <= s.expires.Load() && !setBack {
		return
	}
	s.expires.Store(never)
	for _, n := range s.allNodes() {
		if e.now > n.expires.Load() || setBack {
			s.expireNode(n, e)
		}
		lower(&s.expires, n.expires.Load())
	}
}

func (s *Store) expireNode(n *node, e epoch) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expires.Store(never)
	s.publishNode(n, n.before(), e)
	for _, r := range n.reports {
		r.pod.shard.mu.Lock()
		s.publishPod(r.pod, r.pod.before(), e)
		r.pod.shard.mu.Unlock()
	}
}
