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
//     counter fell, has restarted: its older points are dropped, and so are they
//     if the counter has risen faster than exposition.MaxCores could make it.
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
//  11. A pod is served from what the node says where it runs according to the
//     API server. What others say of it is never served, so that no node speaks
//     for another's pods, and no window spans two nodes.
//
// Swap is kept where it is reported.
//
// Every change of what is served has a revision, so that it can be watched. A
// list shows the state of one revision, and a watch from a revision tells all
// that has changed since.
//
// All methods are safe for concurrent use. Locks are taken in this order: node,
// shard, and then at most one of catalog, feed, label sets and the map of nodes.
package store

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

// Store holds current values only. Pods are spread over shards with a lock
// each, so that readers and scrapes seldom meet.
type Store struct {
	clock   clock.PassiveClock
	maxAge  time.Duration
	seed    maphash.Seed
	labels  *labelSets
	shards  [shardCount]shard
	catalog *catalog

	nodesMu sync.RWMutex
	byName  map[string]*node
	ordered []*node // by name; nil when nodes have come or gone since it was made

	revisions revisions
	pods      *feed[PodUsage]
	nodes     *feed[NodeUsage]

	expires atomic.Int64 // before this, Unix nanoseconds, nothing expires
	looked  atomic.Int64 // when it was last looked at what has expired
	syncs   uint32       // calls of SyncPods, which do not overlap
}

// New returns an empty store that serves points until maxAge after their sample
// time.
func New(clk clock.PassiveClock, maxAge time.Duration) *Store {
	s := &Store{
		clock:   clk,
		maxAge:  maxAge,
		seed:    maphash.MakeSeed(),
		labels:  newLabelSets(),
		catalog: newCatalog(),
		byName:  make(map[string]*node),
	}
	s.revisions.start(clk.Now())
	s.pods = newFeed[PodUsage](&s.revisions)
	s.nodes = newFeed[NodeUsage](&s.revisions)
	s.expires.Store(never)
	return s
}

// Put takes in a node's answer to a request sent at requestTime. It copies what
// it keeps. The answer of a node that is not listed is dropped. lacking tells
// whether the node or a running container of it has one point so far, so that a
// newer answer would let more be served. What of the answer is refused is added to
// samples.Rejected.
func (s *Store) Put(nodeName string, samples *exposition.Samples, requestTime time.Time) (lacking bool) {
	n := s.node(nodeName)
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.removed {
		return false
	}
	e := s.epoch()
	e.prevScrape = n.scraped
	n.expires.Store(never)
	before := n.before()
	if n.usage.add(&samples.Node, e) {
		samples.Reject(exposition.RejectedRate, exposition.HasCPU, nil, 0)
	}
	if samples.Node.Has != 0 && e.expired(samples.Node.Time) { // and so are those of its pods, by the same clock
		samples.Reject(exposition.RejectedTimestamp, exposition.HasCPU, nil, 0)
	}
	n.scraped = requestTime.UnixNano()
	n.failure = nil
	s.publishNode(n, before, e)
	lacking = s.putPods(n, samples, e)
	return lacking || n.usage.lacksPoint()
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
	n := s.lockNode(name)
	defer n.mu.Unlock()
	before := n.before()
	s.labels.release(n.labels)
	n.labels = set
	s.publishNode(n, before, s.epoch())
}

// lockNode returns the node, new if there was none, with its lock held.
func (s *Store) lockNode(name string) *node {
	for {
		s.nodesMu.Lock()
		n, ok := s.byName[name]
		if !ok {
			n = &node{name: name}
			n.expires.Store(never)
			s.byName[name], s.ordered = n, nil
		}
		s.nodesMu.Unlock()
		n.mu.Lock()
		if !n.removed {
			return n
		}
		n.mu.Unlock()
	}
}

// RemoveNode drops a node and what it reported.
func (s *Store) RemoveNode(name string) {
	n := s.node(name)
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.removed {
		return
	}
	e := s.epoch()
	before := n.before()
	n.removed = true
	s.publishNode(n, before, e)
	s.labels.release(n.labels)
	for _, r := range n.reports {
		s.removeReport(r, e)
	}
	n.reports = nil
	// Only now that all is published, as in the catalog.
	s.nodesMu.Lock()
	defer s.nodesMu.Unlock()
	delete(s.byName, name)
	s.ordered = nil
}

// PodMetadata is what the API server says of a pod that runs.
type PodMetadata struct {
	Namespace, Name string
	UID             string
	Node            string // where it runs
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
	for p := range s.catalog.walk("", Key{}) {
		p.shard.mu.Lock()
		if p.synced != s.syncs {
			s.unlist(p)
		}
		p.shard.mu.Unlock()
	}
}

func (s *Store) setPod(m PodMetadata, sync uint32) {
	set := s.labels.acquire(m.Labels)
	uid, on := maphash.String(s.seed, m.UID), unique.Make(m.Node)
	p := s.lock(Key{m.Namespace, m.Name})
	defer p.shard.mu.Unlock()
	e := s.epoch()
	if p.listed && p.uid != uid {
		before := p.before()
		p.forget(on)
		s.publishPod(p, before, e)
	}
	p.synced = sync
	before, wasListed, old := p.before(), p.listed, p.labels
	same := wasListed && old == set
	p.listed, p.uid, p.runsOn, p.labels = true, uid, on, set
	if !same {
		s.catalog.list(p)
	}
	s.publishPod(p, before, e)
	if same {
		s.labels.release(set)
	} else if wasListed {
		s.catalog.unlist(p, old)
		s.labels.release(old)
	}
}

// RemovePod unlists a pod: it is deleted, or no longer running.
func (s *Store) RemovePod(namespace, name string) {
	if p := s.catalog.find(Key{namespace, name}); p != nil {
		p.shard.mu.Lock()
		defer p.shard.mu.Unlock()
		s.unlist(p)
	}
}

// unlist forgets the pod's points, for the next pod of this name is another one.
// The shard's lock is held for writing.
func (s *Store) unlist(p *pod) {
	if !p.listed {
		return
	}
	before, old := p.before(), p.labels
	nowhere := unique.Handle[string]{}
	p.forget(nowhere)
	p.listed, p.labels, p.runsOn = false, nil, nowhere
	s.publishPod(p, before, s.epoch())
	s.catalog.unlist(p, old)
	s.labels.release(old)
	s.drop(p)
}

func (s *Store) node(name string) *node {
	s.nodesMu.RLock()
	defer s.nodesMu.RUnlock()
	return s.byName[name]
}

func (s *Store) epoch() epoch {
	return epoch{now: s.clock.Now().UnixNano(), maxAge: int64(s.maxAge)}
}
