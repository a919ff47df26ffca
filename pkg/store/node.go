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

// maxStrangers is how many pods of a node's answer are kept that do not run there
// according to the API server: it may say so a moment later. A kubelet is built for
// 110 pods, and seldom runs more than 500.
const maxStrangers = 512

// putPods takes in the containers of a node's newest answer, by merging them
// with the reports that stand. It tells whether one lacks a second point. The
// node's lock is held.
func (s *Store) putPods(n *node, samples *exposition.Samples, e epoch) (lacking bool) {
	containers := samples.Containers
	order := n.sort(containers)
	old, reports, strangers := n.reports, n.spare[:0], 0
	for len(order) > 0 {
		first := &containers[order[0]]
		size := 1
		for size < len(order) && samePod(first, &containers[order[size]]) {
			size++
		}
		of := order[:size]
		order = order[size:]
		for len(old) > 0 && old[0].pod.compareSample(first) < 0 {
			s.removeReport(old[0], e)
			old = old[1:]
		}
		var r *report
		if len(old) > 0 && old[0].pod.compareSample(first) == 0 {
			r, old = old[0], old[1:]
		} else if r = s.addReport(n, Key{string(first.Namespace), string(first.Pod)}, strangers < maxStrangers); r == nil {
			samples.Reject(exposition.RejectedNotListed, 0, first, 0)
			continue
		}
		sh := r.pod.shard
		sh.mu.Lock()
		before := r.pod.before()
		lacks := r.update(samples, of, e)
		s.publishPod(r.pod, before, e)
		own := r.pod.isOn(n)
		elsewhere := r.pod.listed && !own
		sh.mu.Unlock()
		lacking = lacking || lacks && !elsewhere
		if elsewhere {
			samples.Reject(exposition.RejectedOtherNode, 0, first, 0)
		}
		if !own {
			if strangers++; strangers > maxStrangers {
				s.removeReport(r, e)
				samples.Reject(exposition.RejectedNotListed, 0, first, 0)
				continue
			}
		}
		reports = append(reports, r)
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

// addReport links a node to a pod that it did not report before. It returns nil if
// the pod does not run there and strangers are not taken.
func (s *Store) addReport(n *node, k Key, strangers bool) *report {
	if !strangers && !s.runsOn(k, n) {
		return nil
	}
	p := s.lock(k)
	defer p.shard.mu.Unlock()
	r := &report{pod: p, node: n, next: p.reports}
	p.reports = r
	return r
}

func (s *Store) runsOn(k Key, n *node) bool {
	p := s.catalog.find(k)
	if p == nil {
		return false
	}
	p.shard.mu.RLock()
	defer p.shard.mu.RUnlock()
	return p.isOn(n)
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
