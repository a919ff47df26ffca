// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
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
	Labels    map[string]string // shared: not to be changed
	Timestamp time.Time
	Window    time.Duration
	Usage
}

// PodUsage is the usage of a pod's running containers, ordered by name.
type PodUsage struct {
	Namespace, Name string
	Labels          map[string]string // shared: not to be changed
	Timestamp       time.Time
	Window          time.Duration
	Containers      []ContainerUsage
}

// ContainerUsage is the usage of one container.
type ContainerUsage struct {
	Name string
	Usage
}

// Query selects what a list returns.
type Query struct {
	Namespace string          // of pods; "" is all
	Labels    labels.Selector // nil is all
	Fields    fields.Selector // on metadata.name and metadata.namespace; nil is all
}

// names are the fields that a field selector may speak of.
type names struct{ namespace, name string }

const (
	// FieldName and FieldNamespace are the fields that Query.Fields can select.
	FieldName      = "metadata.name"
	FieldNamespace = "metadata.namespace"
)

func (f names) Has(field string) bool { return field == FieldName || field == FieldNamespace }
func (f names) Get(field string) string {
	switch field {
	case FieldName:
		return f.name
	case FieldNamespace:
		return f.namespace
	}
	return ""
}

func (q *Query) matches(namespace, name string, set *labelSet) bool {
	if q.Fields != nil && !q.Fields.Empty() && !q.Fields.Matches(names{namespace, name}) {
		return false
	}
	return q.Labels == nil || q.Labels.Empty() || q.Labels.Matches(labels.Set(set.all()))
}

// exactly returns the value that a field must have, "" if it is free.
func (q *Query) exactly(field string) string {
	if q.Fields != nil {
		if v, ok := q.Fields.RequiresExactMatch(field); ok {
			return v
		}
	}
	return ""
}

// Pods returns the pods that match and can be served, ordered by namespace and
// name. It holds one shard's lock at a time.
func (s *Store) Pods(q Query) []PodUsage {
	q.Namespace = cmp.Or(q.Namespace, q.exactly(FieldNamespace))
	e := s.epoch()
	var found []PodUsage
	if name := q.exactly(FieldName); name != "" && q.Namespace != "" {
		sh := s.shardOf(q.Namespace, name)
		sh.mu.RLock()
		defer sh.mu.RUnlock()
		if p, _ := sh.find(q.Namespace, name); p != nil {
			found = p.appendTo(found, &q, e)
		}
		return found
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		for _, p := range sh.in(q.Namespace) {
			found = p.appendTo(found, &q, e)
		}
		sh.mu.RUnlock()
	}
	slices.SortFunc(found, func(a, b PodUsage) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return found
}

// Pod returns one pod, or *Unavailable.
func (s *Store) Pod(namespace, name string) (PodUsage, error) {
	e := s.epoch()
	found, w := s.pod(namespace, name, e)
	if w.reason != "" {
		return found, &Unavailable{Reason: w.reason, Message: s.explainPod(w, e)}
	}
	return found, nil
}

func (s *Store) pod(namespace, name string, e epoch) (PodUsage, withholding) {
	sh := s.shardOf(namespace, name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	p, _ := sh.find(namespace, name)
	if p == nil {
		return PodUsage{}, withholding{reason: NotListed}
	}
	r, reason := p.serve(e)
	if reason != "" {
		return PodUsage{}, p.withholding(r, reason, e)
	}
	return r.usage(), withholding{}
}

func (p *pod) appendTo(found []PodUsage, q *Query, e epoch) []PodUsage {
	if !p.listed || !q.matches(p.namespace(), p.name, p.labels) {
		return found
	}
	if r, reason := p.serve(e); reason == "" {
		found = append(found, r.usage())
	}
	return found
}

// serve returns the report that a pod is served from, or why it is withheld.
func (p *pod) serve(e epoch) (*report, Reason) {
	if !p.listed {
		return nil, NotListed
	}
	r := p.current(e)
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

// usage of a report that serve has passed.
func (r *report) usage() PodUsage {
	pod := PodUsage{
		Namespace:  r.pod.namespace(),
		Name:       r.pod.name,
		Labels:     r.pod.labels.all(),
		Containers: make([]ContainerUsage, 0, len(r.containers)),
	}
	var earliest *usage
	for i := range r.containers {
		c := &r.containers[i]
		if c.state == notRunning {
			continue
		}
		if earliest == nil || c.last.time < earliest.last.time {
			earliest = &c.usage
		}
		pod.Containers = append(pod.Containers, ContainerUsage{Name: c.name.Value(), Usage: c.values()})
	}
	pod.Timestamp, pod.Window = earliest.timestamp(), earliest.window()
	return pod
}

// Nodes returns the nodes that match and can be served, ordered by name.
func (s *Store) Nodes(q Query) []NodeUsage {
	e := s.epoch()
	var found []NodeUsage
	for _, n := range s.allNodes() {
		n.mu.Lock()
		if !n.removed && q.matches("", n.name, n.labels) && n.withheld(e) == "" {
			found = append(found, n.served())
		}
		n.mu.Unlock()
	}
	slices.SortFunc(found, func(a, b NodeUsage) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// Node returns one node, or *Unavailable.
func (s *Store) Node(name string) (NodeUsage, error) {
	n := s.node(name)
	if n == nil {
		return NodeUsage{}, &Unavailable{
			Reason:  NotListed,
			Message: "there is no such node, or the server's --node-selector leaves it out",
		}
	}
	e := s.epoch()
	n.mu.Lock()
	defer n.mu.Unlock()
	if reason := n.withheld(e); reason != "" {
		return NodeUsage{}, &Unavailable{Reason: reason, Message: explain(reason, n.usage.last.time, e) + n.failureClause()}
	}
	return n.served(), nil
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

func (n *node) served() NodeUsage {
	return NodeUsage{
		Name:      n.name,
		Labels:    n.labels.all(),
		Timestamp: n.usage.timestamp(),
		Window:    n.usage.window(),
		Usage:     n.usage.values(),
	}
}

func (s *Store) allNodes() []*node {
	s.nodesMu.RLock()
	defer s.nodesMu.RUnlock()
	all := make([]*node, 0, len(s.nodes))
	for _, n := range s.nodes {
		all = append(all, n)
	}
	return all
}
