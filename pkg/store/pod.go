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
	// runsOn is the node where the API server says that it runs, while listed.
	runsOn unique.Handle[string]
	synced uint32 // the last SyncPods that had it
	labels *labelSet

	// from is the report that is served, nil if none is. It was chosen when the
	// pod was changed or has expired, and is published.
	from *report
	times

	// reports are what nodes say of it: one, but for the moments in which a
	// pod of the same name has moved from one node to another, and for nodes that
	// lie. Their points are never mixed.
	reports *report
}

// report is the usage of a pod as one node sees it.
type report struct {
	pod        *pod
	node       *node
	next       *report // of the same pod, by another node
	containers []container
}

type container struct {
	name unique.Handle[string]
	usage
}

func (p *pod) namespace() string { return p.ns.Value() }

func (p *pod) key() Key { return Key{p.namespace(), p.name} }

// forget drops all points, but not the nodes that report them: the next pod of this
// name is another one. Where it runs on another node than this one, that has spoken of
// it already if of any, and keeps its points.
func (p *pod) forget(next unique.Handle[string]) {
	for r := p.reports; r != nil; r = r.next {
		if next == p.runsOn || next == (unique.Handle[string]{}) || r.node.name != next.Value() {
			r.containers = nil
		}
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

// current returns the report of the node where the pod runs, nil if there is none.
// What others say of it is never served.
func (p *pod) current() *report {
	for r := p.reports; r != nil; r = r.next {
		if p.isOn(r.node) {
			return r
		}
	}
	return nil
}

// isOn tells whether the API server says that the pod runs on the node.
func (p *pod) isOn(n *node) bool { return p.listed && p.runsOn.Value() == n.name }

// standing is what the node may say of the pod. The shard's lock is held.
func (p *pod) standing(n *node) standing {
	own := p.isOn(n)
	return standing{own: own, elsewhere: p.listed && !own}
}

// update takes in a node's answer: samples are those of this pod, ordered by
// container name, as order's indices into all there are. It tells whether one lacks
// a second point.
func (r *report) update(samples *exposition.Samples, order []int32, e epoch) (lacking bool) {
	all := samples.Containers
	if !r.sameContainers(all, order) {
		r.replaceContainers(all, order)
	}
	for i, at := range order {
		u := &r.containers[i].usage
		if u.add(&all[at].Usage, e) {
			samples.Reject(exposition.RejectedRate, exposition.HasCPU, &all[at], 0)
		}
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
