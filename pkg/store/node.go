// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

// node is a listed node: its own usage, and the reports of its pods.
type node struct {
	name string // never changes

	mu      sync.Mutex // taken before a shard's
	removed bool       // a scrape may still hold a node that was removed
	labels  *labelSet
	usage   usage
	scraped int64 // when its last successful scrape was sent, Unix nanoseconds
	failure error // of the newest scrape, nil if it succeeded

	public bool // its usage is served
	times

	// expires is a time, in Unix nanoseconds, before which nothing that is
	// served of what the node has reported gets too old.
	expires atomic.Int64

	// reports are the pods of the newest answer, ordered by namespace and name.
	// spare is the slice of the answer before, to build the next in.
	reports, spare []*report
	// order is how the newest answer's containers are ordered by namespace,
	// pod and name. A kubelet keeps its own order, so that it is nearly always
	// right for the next answer as well.
	order []int32
}

// putPods takes in the containers of a node's newest answer, by merging them
// with the reports that stand. It tells whether one lacks a second point. The
// node's lock is held.
func (s *Store) putPods(n *node, containers []exposition.Container, e epoch) (lacking bool) {
	order := n.sort(containers)
	old, reports := n.reports, n.spare[:0]
	for len(order) > 0 {
		first := &containers[order[0]]
		size := 1
		for size < len(order) && samePod(first, &containers[order[size]]) {
			size++
		}
		for len(old) > 0 && old[0].pod.compareSample(first) < 0 {
			s.removeReport(old[0], e)
			old = old[1:]
		}
		var r *report
		if len(old) > 0 && old[0].pod.compareSample(first) == 0 {
			r, old = old[0], old[1:]
		} else {
			r = s.addReport(n, string(first.Namespace), string(first.Pod))
		}
		sh := r.pod.shard
		sh.mu.Lock()
		before := r.pod.before()
		if r.update(containers, order[:size], e) {
			lacking = true
		}
		s.publishPod(r.pod, before, e)
		sh.mu.Unlock()
		reports = append(reports, r)
		order = order[size:]
	}
	for _, r := range old {
		s.removeReport(r, e)
	}
	clear(n.reports)
	n.reports, n.spare = reports, n.reports[:0]
	return lacking
}

// sort returns the indices of containers, ordered by namespace, pod and name.
func (n *node) sort(containers []exposition.Container) []int32 {
	if len(n.order) != len(containers) {
		n.order = slices.Grow(n.order[:0], len(containers))
		for i := range containers {
			n.order = append(n.order, int32(i))
		}
	}
	compare := func(i, j int32) int {
		a, b := &containers[i], &containers[j]
		if c := bytes.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		if c := bytes.Compare(a.Pod, b.Pod); c != 0 {
			return c
		}
		return bytes.Compare(a.Name, b.Name)
	}
	if !slices.IsSortedFunc(n.order, compare) {
		slices.SortFunc(n.order, compare)
	}
	return n.order
}

func samePod(a, b *exposition.Container) bool {
	return bytes.Equal(a.Pod, b.Pod) && bytes.Equal(a.Namespace, b.Namespace)
}

// compareSample orders pods and samples by namespace and name, without making
// strings of the sample's.
func (p *pod) compareSample(c *exposition.Container) int {
	if namespace := p.namespace(); namespace != string(c.Namespace) {
		return strings.Compare(namespace, string(c.Namespace))
	}
	if p.name == string(c.Pod) {
		return 0
	}
	return strings.Compare(p.name, string(c.Pod))
}

// addReport links a node to a pod that it did not report before.
func (s *Store) addReport(n *node, namespace, name string) *report {
	p := s.lock(Key{namespace, name})
	defer p.shard.mu.Unlock()
	r := &report{pod: p, node: n, next: p.reports}
	p.reports = r
	return r
}

// removeReport unlinks a node from a pod that it reports no longer.
func (s *Store) removeReport(r *report, e epoch) {
	r.pod.shard.mu.Lock()
	defer r.pod.shard.mu.Unlock()
	before := r.pod.before()
	r.pod.unlink(r)
	s.publishPod(r.pod, before, e)
	s.drop(r.pod)
}
