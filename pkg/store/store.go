// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package store keeps the last points of every node's and pod's CPU and memory,
// and makes of them the usage that the API serves.
//
// The numbers follow these rules:
//
//  1. CPU usage is (last counter − previous counter) / (last time − previous
//     time), memory the working set of the last point. A pod has the timestamp
//     and window of its container with the earliest timestamp.
//  2. Times are those of the samples (see package exposition).
//  3. A point with the time of the last one, or an older one, changes nothing.
//  4. A point closer than 5 s to the last replaces it and keeps the previous;
//     while there is no previous, the last is kept instead.
//  5. A container whose start time is later than its last point, or whose
//     counter fell, has restarted: its older points are dropped.
//  6. A container with one point, started after its node's previous successful
//     scrape and at least 10 s old, is served by its average since its start.
//  7. A container whose CPU counter and working set are both zero is not
//     running: it is left out. One that lacks CPU or memory is incomplete.
//  8. A pod is served whole: while a running container is incomplete or has no
//     window, the pod is withheld, for a partial sum would scale a workload
//     down by mistake.
//  9. A failed scrape changes nothing: points are served until the maximum age
//     after their sample time.
//  10. A pod that the API server does not list as Running, and a node that it
//     does not list, are not served; a pod that has left its node's answer is
//     gone with that answer.
//  11. Where two nodes report a pod of the same name, the later sample wins,
//     and no window spans both.
//
// Swap is kept where it is reported. All methods are safe for concurrent use.
package store

import (
	"hash/maphash"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

// Store holds current values only. Pods are spread over shards with a lock
// each, so that readers and scrapes seldom meet.
type Store struct {
	clock  clock.PassiveClock
	maxAge time.Duration
	seed   maphash.Seed
	labels *labelSets
	shards [shardCount]shard

	nodesMu sync.RWMutex
	nodes   map[string]*node

	syncs uint32 // calls of SyncPods, which do not overlap
}

// New returns an empty store that serves points until maxAge after their sample
// time.
func New(clk clock.PassiveClock, maxAge time.Duration) *Store {
	return &Store{
		clock:  clk,
		maxAge: maxAge,
		seed:   maphash.MakeSeed(),
		labels: newLabelSets(),
		nodes:  make(map[string]*node),
	}
}

// Put takes in a node's answer to a request sent at requestTime. It copies what
// it keeps. The answer of a node that is not listed is dropped.
func (s *Store) Put(nodeName string, samples *exposition.Samples, requestTime time.Time) {
	n := s.node(nodeName)
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.removed {
		return
	}
	e := s.epoch()
	e.prevScrape = n.scraped
	n.usage.add(&samples.Node, e)
	s.putPods(n, samples.Containers, e)
	n.scraped = requestTime.UnixNano()
	n.failure = nil
}

// ScrapeFailed remembers why a node's newest scrape failed, to say so to who
// asks for what is missing. err names the node. Points are not touched.
func (s *Store) ScrapeFailed(nodeName string, err error) {
	if n := s.node(nodeName); n != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.failure = err
	}
}

// SetNode lists a node, or changes its labels.
func (s *Store) SetNode(name string, labels map[string]string) {
	set := s.labels.acquire(labels)
	s.nodesMu.Lock()
	n, ok := s.nodes[name]
	if !ok {
		n = &node{name: name}
		s.nodes[name] = n
	}
	s.nodesMu.Unlock()

	n.mu.Lock()
	defer n.mu.Unlock()
	s.labels.release(n.labels)
	n.labels = set
}

// RemoveNode drops a node and what it reported.
func (s *Store) RemoveNode(name string) {
	s.nodesMu.Lock()
	n, ok := s.nodes[name]
	delete(s.nodes, name)
	s.nodesMu.Unlock()
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.removed = true
	s.labels.release(n.labels)
	for _, r := range n.reports {
		removeReport(r)
	}
	n.reports = nil
}

// PodMetadata is what the API server says of a pod that runs.
type PodMetadata struct {
	Namespace, Name string
	UID             string
	Labels          map[string]string
}

// SetPod lists a pod as running, or changes its labels. A new UID under a known
// name is another pod: what was reported of the one before is forgotten.
func (s *Store) SetPod(m PodMetadata) {
	s.setPod(m, 0)
}

// SyncPods lists exactly these pods as running. Calls must not overlap with each
// other.
func (s *Store) SyncPods(pods []PodMetadata) {
	s.syncs++
	for _, m := range pods {
		s.setPod(m, s.syncs)
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		var gone []*pod
		for _, p := range sh.pods {
			if p.listed && p.synced != s.syncs {
				gone = append(gone, p)
			}
		}
		for _, p := range gone {
			s.unlist(p)
		}
		sh.mu.Unlock()
	}
}

func (s *Store) setPod(m PodMetadata, sync uint32) {
	set := s.labels.acquire(m.Labels)
	uid := maphash.String(s.seed, m.UID)
	sh := s.shardOf(m.Namespace, m.Name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	p := sh.findOrAdd(m.Namespace, m.Name)
	if p.listed && p.uid != uid {
		p.forget()
	}
	s.labels.release(p.labels)
	p.listed, p.uid, p.labels, p.synced = true, uid, set, sync
}

// RemovePod unlists a pod: it is deleted, or no longer running.
func (s *Store) RemovePod(namespace, name string) {
	sh := s.shardOf(namespace, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if p, _ := sh.find(namespace, name); p != nil && p.listed {
		s.unlist(p)
	}
}

// unlist forgets the pod's points, for the next pod of this name is another one.
// The shard's lock is held for writing.
func (s *Store) unlist(p *pod) {
	s.labels.release(p.labels)
	p.listed, p.labels = false, nil
	p.forget()
	p.shard.drop(p)
}

func (s *Store) node(name string) *node {
	s.nodesMu.RLock()
	defer s.nodesMu.RUnlock()
	return s.nodes[name]
}

func (s *Store) epoch() epoch {
	return epoch{now: s.clock.Now().UnixNano(), maxAge: int64(s.maxAge)}
}
