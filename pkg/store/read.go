// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// Usage is CPU and memory in use at Timestamp: CPU as the average over the
// Window that ends there, memory and swap as of that moment.
type Usage struct {
	CPU     uint64 // nanocores
	Memory  uint64 // working set, bytes
	Swap    uint64 // bytes
	HasSwap bool   // the kubelet reports swap
}

// NodeUsage is the usage of one node.
type NodeUsage struct {
	Name      string
	Timestamp time.Time
	Window    time.Duration
	Usage

	labels  *labelSet
	changed times
}

// PodUsage is the usage of a pod's running containers, ordered by name.
type PodUsage struct {
	Namespace, Name string
	Timestamp       time.Time
	Window          time.Duration
	Containers      []ContainerUsage

	selectable attributes
	changed    times
}

// ContainerUsage is the usage of one container.
type ContainerUsage struct {
	Name string
	Usage
}

// attributes are what selectors can ask for beside namespace and name.
type attributes struct {
	labels *labelSet
	node   string // of a pod, the node that reports it
}

// Key is the node's.
func (n NodeUsage) Key() Key { return Key{Name: n.Name} }

// Revision is that of the node's last change.
func (n NodeUsage) Revision() uint64 { return n.changed.revision }

// Labels are shared: they are not to be changed.
func (n NodeUsage) Labels() Labels { return n.labels.all() }

func (n NodeUsage) attributes() attributes { return attributes{labels: n.labels} }
func (n NodeUsage) times() times           { return n.changed }

// Key is the pod's.
func (p PodUsage) Key() Key { return Key{p.Namespace, p.Name} }

// Revision is that of the pod's last change.
func (p PodUsage) Revision() uint64 { return p.changed.revision }

// Labels are shared: they are not to be changed.
func (p PodUsage) Labels() Labels { return p.selectable.labels.all() }

// Node is the name of the node that reports the pod.
func (p PodUsage) Node() string { return p.selectable.node }

func (p PodUsage) attributes() attributes { return p.selectable }
func (p PodUsage) times() times           { return p.changed }

// revised returns the same with another revision.
func revised[V Value](v V, revision uint64) V {
	switch u := any(&v).(type) {
	case *PodUsage:
		u.changed.revision = revision
	case *NodeUsage:
		u.changed.revision = revision
	}
	return v
}

// Query selects what a list or watch returns.
type Query struct {
	Namespace string          // of pods; "" is all
	Labels    labels.Selector // nil is all
	Fields    fields.Selector // on the fields below; nil is all
	// After and Limit make a page of a list: at most Limit objects, all if it is
	// 0, that come after a key.
	After Key
	Limit int
	// Admission is asked for what a list holds; nil admits all.
	Admission Admission
}

// Admission bounds what lists hold.
type Admission interface {
	// Admit is asked before a list has more objects than it was asked for before,
	// but not for the first few: whether it may have so many, of all that there are.
	Admit(objects, all int) bool
}

// unasked is how many objects a list may have without asking.
const unasked = 64

func (q *Query) admit(objects, all int) bool {
	return q.Admission == nil || objects <= unasked || q.Admission.Admit(objects, all)
}

// The fields that Query.Fields can select by.
const (
	FieldName      = "metadata.name"
	FieldNamespace = "metadata.namespace"
	FieldNodeName  = "spec.nodeName" // of pods
)

// fieldSet are the fields of an object.
type fieldSet struct {
	Key
	node string
}

func (f fieldSet) Has(field string) bool {
	return field == FieldName || field == FieldNamespace || field == FieldNodeName
}

func (f fieldSet) Get(field string) string {
	switch field {
	case FieldName:
		return f.Name
	case FieldNamespace:
		return f.Namespace
	case FieldNodeName:
		return f.node
	}
	return ""
}

// normalized has the namespace that the fields ask for.
func (q Query) normalized() Query {
	q.Namespace = cmp.Or(q.Namespace, q.exactly(FieldNamespace))
	return q
}

func (q *Query) matches(k Key, a attributes) bool {
	if q.Namespace != "" && q.Namespace != k.Namespace {
		return false
	}
	if q.Fields != nil && !q.Fields.Empty() && !q.Fields.Matches(fieldSet{k, a.node}) {
		return false
	}
	return !q.selectsLabels() || q.Labels.Matches(a.labels.all())
}

// matchesAll tells whether there is nothing that does not match.
func (q *Query) matchesAll() bool {
	return q.Namespace == "" && !q.selectsLabels() && (q.Fields == nil || q.Fields.Empty())
}

func (q *Query) selectsLabels() bool { return q.Labels != nil && !q.Labels.Empty() }

// exactly returns the value that a field must have, "" if it is free.
func (q *Query) exactly(field string) string {
	if q.Fields != nil {
		if v, ok := q.Fields.RequiresExactMatch(field); ok {
			return v
		}
	}
	return ""
}

// Revision is that of the store's newest change.
func (s *Store) Revision() uint64 { return s.revisions.newest.Load() }

// Pods returns the pods that match and are served.
func (s *Store) Pods(q Query) List[PodUsage] {
	s.Expire()
	q = q.normalized()
	return s.pods.list(&q, s.walkPods)
}

// WatchPods follows the pods that match. The error is ErrExpired.
func (s *Store) WatchPods(q Query, start Start) (*Watcher[PodUsage], error) {
	s.Expire()
	return s.pods.watch(q.normalized(), start, s.walkPods)
}

// walkPods goes through the pods that may match, in the order of their keys.
func (s *Store) walkPods(q *Query) iter.Seq[object[PodUsage]] {
	var walk iter.Seq[*pod]
	if key := (Key{q.Namespace, q.exactly(FieldName)}); key.Namespace != "" && key.Name != "" {
		walk = func(yield func(*pod) bool) {
			if p := s.catalog.find(key); p != nil && key.Compare(q.After) > 0 {
				yield(p)
			}
		}
	} else if name := q.exactly(FieldNodeName); name != "" {
		walk = inOrder(s.reported(name), q.After)
	} else if found := s.labelled(q); found != nil {
		walk = inOrder(found, q.After)
	} else {
		walk = s.catalog.walk(q.Namespace, q.After)
	}
	return func(yield func(object[PodUsage]) bool) {
		for p := range walk {
			if !yield(p) {
				return
			}
		}
	}
}

// labelled returns the pods that a label selector selects, nil if walking through
// all is less work: without such a selector, and for a page of a list of very many.
func (s *Store) labelled(q *Query) []*pod {
	if !q.selectsLabels() {
		return nil
	}
	found := s.catalog.labelled(q.Namespace, q.Labels)
	if q.Limit > 0 && len(found)/q.Limit > s.catalog.size()/max(1, len(found)) {
		return nil
	}
	return found
}

// reported returns the pods that a node reports.
func (s *Store) reported(nodeName string) (pods []*pod) {
	if n := s.node(nodeName); n != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, r := range n.reports {
			pods = append(pods, r.pod)
		}
	}
	return pods
}

func inOrder(pods []*pod, after Key) iter.Seq[*pod] {
	compare := func(p *pod, k Key) int { return p.key().Compare(k) }
	slices.SortFunc(pods, func(a, b *pod) int { return compare(a, b.key()) })
	pods = slices.Compact(pods)
	i, found := slices.BinarySearchFunc(pods, after, compare)
	if found {
		i++
	}
	return slices.Values(pods[i:])
}

// Pod returns one pod, or *Unavailable.
func (s *Store) Pod(namespace, name string) (PodUsage, error) {
	s.Expire()
	u, w := s.pod(Key{namespace, name})
	if w.reason != "" {
		return u, &Unavailable{Reason: w.reason, Message: s.explainPod(w, s.epoch())}
	}
	return u, nil
}

func (s *Store) pod(k Key) (PodUsage, withholding) {
	p := s.catalog.find(k)
	if p == nil {
		return PodUsage{}, withholding{reason: NotListed}
	}
	p.shard.mu.RLock()
	defer p.shard.mu.RUnlock()
	if p.from == nil {
		return PodUsage{}, p.withholding(s.epoch())
	}
	return p.usage(p.from.containers, p.attributes(), p.times, nil), withholding{}
}

// read implements object.
func (p *pod) read(q *Query, room *room) (PodUsage, bool) {
	p.shard.mu.RLock()
	defer p.shard.mu.RUnlock()
	if p.from == nil || !q.matches(p.key(), p.attributes()) {
		return PodUsage{}, false
	}
	return p.usage(p.from.containers, p.attributes(), p.times, room), true
}

// withheldNow says why a pod is not served. Served it may be again with the next
// change only: until then, a point of the future that has come near is stale.
func (p *pod) withheldNow(e epoch) (*report, Reason) {
	r, reason := p.serve(e)
	return r, cmp.Or(reason, Stale)
}

// serve returns the report that a pod is served from, or why it is withheld.
func (p *pod) serve(e epoch) (*report, Reason) {
	if !p.listed {
		return nil, NotListed
	}
	r := p.current()
	if r == nil || len(r.containers) == 0 {
		return r, NotScraped
	}
	running := false
	for i := range r.containers {
		u := &r.containers[i].usage
		if u.state == notRunning {
			continue
		}
		if reason := u.withheld(e); reason != "" {
			return r, reason
		}
		running = true
	}
	if !running {
		return r, NoneRunning
	}
	return r, ""
}

// withheld says why a usage cannot be served, "" if it can.
func (u *usage) withheld(e epoch) Reason {
	switch {
	case u.state != complete:
		return Incomplete
	case u.last.time != 0 && e.expired(u.last.time):
		return Stale
	case !u.hasWindow():
		return NoWindow
	}
	return ""
}

func (u *usage) values() Usage {
	return Usage{CPU: u.cpu(), Memory: u.memory, Swap: u.swap, HasSwap: u.hasSwap}
}

// earliest is the sample time of the running container whose is the earliest.
func (r *report) earliest() int64 {
	t := int64(never)
	for i := range r.containers {
		if c := &r.containers[i]; c.state != notRunning {
			t = min(t, c.last.time)
		}
	}
	return t
}

// usage makes what is served of containers that serve has passed.
func (p *pod) usage(containers []container, a attributes, t times, room *room) PodUsage {
	u := PodUsage{
		Namespace: p.namespace(), Name: p.name, selectable: a, changed: t,
		Containers: room.take(len(containers)),
	}
	var earliest *usage
	for i := range containers {
		c := &containers[i]
		if c.state == notRunning {
			continue
		}
		if earliest == nil || c.last.time < earliest.last.time {
			earliest = &c.usage
		}
		u.Containers = append(u.Containers, ContainerUsage{Name: c.name.Value(), Usage: c.values()})
	}
	u.Timestamp, u.Window = earliest.timestamp(), earliest.window()
	return u
}

// room is where the containers of a list's pods are: some hundred pods share one
// piece of memory. A nil room makes one for each pod.
type room struct {
	pieces [][]ContainerUsage
	size   int              // of the newest piece
	used   int              // pieces
	free   []ContainerUsage // of the piece used last
}

// maxRoom is how many containers a piece has at most.
const maxRoom = 1024

func (r *room) take(n int) []ContainerUsage {
	if r == nil {
		return make([]ContainerUsage, 0, n)
	}
	for len(r.free) < n {
		if r.used == len(r.pieces) {
			r.size = min(max(2*r.size, 8), maxRoom)
			r.pieces = append(r.pieces, make([]ContainerUsage, max(n, r.size)))
		}
		r.free = r.pieces[r.used]
		r.used++
	}
	taken := r.free[:0:n]
	r.free = r.free[n:]
	return taken
}

// Nodes returns the nodes that match and are served.
func (s *Store) Nodes(q Query) List[NodeUsage] {
	s.Expire()
	return s.nodes.list(&q, s.walkNodes)
}

// WatchNodes follows the nodes that match. The error is ErrExpired.
func (s *Store) WatchNodes(q Query, start Start) (*Watcher[NodeUsage], error) {
	s.Expire()
	return s.nodes.watch(q, start, s.walkNodes)
}

func (s *Store) walkNodes(q *Query) iter.Seq[object[NodeUsage]] {
	return func(yield func(object[NodeUsage]) bool) {
		for _, n := range s.allNodes() {
			if n.name > q.After.Name && !yield(n) {
				return
			}
		}
	}
}

// Node returns one node, or *Unavailable.
func (s *Store) Node(name string) (NodeUsage, error) {
	s.Expire()
	n := s.node(name)
	if n == nil {
		return NodeUsage{}, &Unavailable{
			Reason:  NotListed,
			Message: "there is no such node, or the server's --node-selector leaves it out",
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.public {
		e := s.epoch()
		reason := n.withheldNow(e)
		return NodeUsage{}, &Unavailable{Reason: reason, Message: explain(reason, n.usage.last.time, e) + n.failureClause()}
	}
	return n.served(&n.usage, n.labels, n.times), nil
}

// withheld says why a node cannot be served. Its lock is held.
func (n *node) withheld(e epoch) Reason {
	if n.scraped == 0 {
		return NotScraped
	}
	if n.usage.state == notRunning { // a node whose counters are all zero says nothing
		return Incomplete
	}
	return n.usage.withheld(e)
}

// withheldNow is what pod.withheldNow is for pods.
func (n *node) withheldNow(e epoch) Reason { return cmp.Or(n.withheld(e), Stale) }

func (n *node) key() Key { return Key{Name: n.name} }

// read implements object.
func (n *node) read(q *Query, _ *room) (NodeUsage, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.public || !q.matches(n.key(), attributes{labels: n.labels}) {
		return NodeUsage{}, false
	}
	return n.served(&n.usage, n.labels, n.times), true
}

func (n *node) served(u *usage, set *labelSet, t times) NodeUsage {
	return NodeUsage{
		Name: n.name, Timestamp: u.timestamp(), Window: u.window(), Usage: u.values(), labels: set, changed: t,
	}
}

// allNodes are ordered by name, and not to be changed.
func (s *Store) allNodes() []*node {
	s.nodesMu.RLock()
	ordered := s.ordered
	s.nodesMu.RUnlock()
	if ordered != nil {
		return ordered
	}
	s.nodesMu.Lock()
	defer s.nodesMu.Unlock()
	if s.ordered == nil { // no other reader was first
		s.ordered = slices.SortedFunc(maps.Values(s.byName), func(a, b *node) int { return strings.Compare(a.name, b.name) })
	}
	return s.ordered
}
