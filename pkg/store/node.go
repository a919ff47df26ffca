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
// according to the API server: it may say so a moment later, and says nothing yet when
// we have just started. Few kubelets run more than 500.
const maxStrangers = 1024

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
		}
		r, is := s.putPod(n, r, samples, of, strangers < maxStrangers, e)
		switch {
		case is.elsewhere:
			samples.Reject(exposition.RejectedOtherNode, 0, first, 0)
		case r == nil:
			samples.Reject(exposition.RejectedNotListed, 0, first, 0)
		case is.lacking:
			lacking = true
		}
		if !is.own {
			strangers++
		}
		if r != nil {
			reports = append(reports, r)
		}
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

// standing is what a node's answer about a pod is worth.
type standing struct {
	own       bool // the pod runs on the node
	elsewhere bool // it runs on another one
	lacking   bool // a container of it has one point so far
}

// putPod takes in what a node says of a pod, in the report that it has of it, nil for
// none so far. It returns the report, nil if there is none now: one of a pod that does
// not run there is kept only if strangers are.
func (s *Store) putPod(n *node, r *report, samples *exposition.Samples, of []int32, strangers bool, e epoch) (*report, standing) {
	if r == nil {
		first := &samples.Containers[of[0]]
		k := Key{string(first.Namespace), string(first.Pod)}
		if is := s.standing(k, n); !is.own && !strangers {
			return nil, is
		}
		r = s.addReport(n, k)
	}
	p := r.pod
	p.shard.mu.Lock()
	before := p.before()
	is := p.standing(n)
	is.lacking = r.update(samples, of, e)
	s.publishPod(p, before, e)
	p.shard.mu.Unlock()
	if !is.own && !strangers {
		s.removeReport(r, e)
		return nil, is
	}
	return r, is
}

// standing is that of a pod which the node has no report of.
func (s *Store) standing(k Key, n *node) standing {
	p := s.catalog.find(k)
	if p == nil {
		return standing{}
	}
	p.shard.mu.RLock()
	defer p.shard.mu.RUnlock()
	return p.standing(n)
}

// addReport links a node to a pod that it did not report before.
func (s *Store) addReport(n *node, k Key) *report {
	p := s.lock(k)
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
