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
	was, is := before.from != nil, p.from != nil
	same := was && is && before.attributes == p.attributes()
	if !was && !is || same && slices.Equal(p.shard.before, p.from.containers) {
		return
	}
	f := s.pods
	f.mu.Lock()
	defer f.mu.Unlock()
	after := times{revision: f.revise(p), since: p.since}
	if !same {
		after.since = after.revision
	}
	f.served += btoi(is) - btoi(was)
	if f.watchers.watched() || was && !same {
		var old, new *PodUsage
		if was {
			u := p.usage(p.shard.before, before.attributes, times{after.revision, p.since})
			old = &u
		}
		if is {
			u := p.usage(p.from.containers, p.attributes(), after)
			new = &u
		}
		f.publish(old, new)
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
	same := before.public && n.public && before.labels == n.labels
	if !before.public && !n.public || same && before.usage == n.usage {
		return
	}
	f := s.nodes
	f.mu.Lock()
	defer f.mu.Unlock()
	after := times{revision: f.revise(n), since: n.since}
	if !same {
		after.since = after.revision
	}
	f.served += btoi(n.public) - btoi(before.public)
	if f.watchers.watched() || before.public && !same {
		var old, new *NodeUsage
		if before.public {
			u := n.served(&before.usage, before.labels, times{after.revision, n.since})
			old = &u
		}
		if n.public {
			u := n.served(&n.usage, n.labels, after)
			new = &u
		}
		f.publish(old, new)
	}
	n.times = after
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
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
	if e.now <= s.expires.Load() {
		return
	}
	s.expires.Store(never)
	for _, n := range s.allNodes() {
		if e.now > n.expires.Load() {
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
