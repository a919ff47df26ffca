// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"unique"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

// pod is what is known of one namespace/name: from the API server whether it
// runs and its labels, from kubelets its usage. It exists as long as either of
// them speaks of it. Guarded by the mutex of its shard, but for the fields that
// never change.
type pod struct {
	ns    unique.Handle[string] // namespace, shared by its pods; never changes
	name  string                // never changes
	shard *shard                // never changes

	dropped bool   // not in the catalog any more
	listed  bool   // the API server lists it as Running
	uid     uint64 // hash of its UID while listed
	synced  uint32 // the last SyncPods that had it
	labels  *labelSet

	// from is the report that is served, nil if none is. It was chosen when the
	// pod was changed or has expired, and is published.
	from *report
	times

	// reports are what nodes say of it: one, but for the moments in which a
	// pod of the same name has moved from one node to another. Their points are
	// never mixed.
	reports *report
}

// report is the usage of a pod as one node sees it.
type report struct {
	pod        *pod
	node       *node
	next       *report // of the same pod, by another node
	containers []container
	newest     int64 // time of the newest point
}

type container struct {
	name unique.Handle[string]
	usage
}

func (p *pod) namespace() string { return p.ns.Value() }

func (p *pod) key() Key { return Key{p.namespace(), p.name} }

// forget drops all points, but not the nodes that report them.
func (p *pod) forget() {
	for r := p.reports; r != nil; r = r.next {
		r.containers, r.newest = nil, 0
	}
}

// unlink takes a report away.
func (p *pod) unlink(r *report) {
	for at := &p.reports; *at != nil; at = &(*at).next {
		if *at == r {
			*at = r.next
			return
		}
	}
}

// current returns the report with the newest point that has not expired, any if
// all have, and nil if no node reports the pod.
func (p *pod) current(e epoch) *report {
	best := p.reports
	if best == nil || best.next == nil {
		return best
	}
	for r := best.next; r != nil; r = r.next {
		if e.expired(best.newest) || r.newest > best.newest && !e.expired(r.newest) {
			best = r
		}
	}
	return best
}

// update takes in a node's answer: samples are those of this pod, ordered by
// container name, as order's indices into all. It tells whether one lacks a
// second point.
func (r *report) update(all []exposition.Container, order []int32, e epoch) (lacking bool) {
	if !r.sameContainers(all, order) {
		r.replaceContainers(all, order)
	}
	r.newest = 0
	for i, at := range order {
		u := &r.containers[i].usage
		u.add(&all[at].Usage, e)
		r.newest = max(r.newest, u.last.time)
		lacking = lacking || u.lacksPoint()
	}
	return lacking
}

func (r *report) sameContainers(all []exposition.Container, order []int32) bool {
	if len(r.containers) != len(order) {
		return false
	}
	for i, at := range order {
		if r.containers[i].name.Value() != string(all[at].Name) {
			return false
		}
	}
	return true
}

// replaceContainers makes the report's containers those of the answer, keeping
// the points of those that stay.
func (r *report) replaceContainers(all []exposition.Container, order []int32) {
	old := r.containers
	r.containers = make([]container, len(order))
	for i, at := range order {
		name := unique.Make(string(all[at].Name))
		r.containers[i].name = name
		for j := range old {
			if old[j].name == name {
				r.containers[i].usage = old[j].usage
			}
		}
	}
}
