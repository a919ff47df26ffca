// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"iter"
	"math/bits"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
)

// routes finds the watchers that a change is of interest to, without asking each:
// by namespace and then by something that their query asks for, so that a change
// costs no more for all the watchers that wait for others.
type routes[V Value] struct {
	namespaces map[string]*namespaceRoutes[V] // "" is for all namespaces
	calls      uint64                         // of find
}

// namespaceRoutes are the watchers of a namespace.
type namespaceRoutes[V Value] struct {
	watchers int
	// byTerm are those whose query names the value of a field or label, by it.
	byTerm map[term][]*Watcher[V]
	// byLabels are the others that select by label.
	byLabels labelRoutes[V]
	// all are those that do not.
	all []*Watcher[V]
}

// concern is what a change is to a watcher.
type concern[V Value] struct {
	watcher *Watcher[V]
	event   EventType
}

func newRoutes[V Value]() routes[V] {
	return routes[V]{namespaces: make(map[string]*namespaceRoutes[V])}
}

func (r *routes[V]) add(w *Watcher[V]) {
	n := r.namespaces[w.query.Namespace]
	if n == nil {
		n = &namespaceRoutes[V]{byTerm: make(map[term][]*Watcher[V])}
		r.namespaces[w.query.Namespace] = n
	}
	n.watchers++
	w.registered = true
	switch terms, ok := w.query.terms(); {
	case ok:
		for _, t := range terms {
			n.byTerm[t] = append(n.byTerm[t], w)
		}
	case w.query.selectsLabels():
		n.byLabels.add(w)
	default:
		n.all = append(n.all, w)
	}
}

// remove may be called again for the same watcher.
func (r *routes[V]) remove(w *Watcher[V]) {
	if !w.registered {
		return
	}
	w.registered = false
	n := r.namespaces[w.query.Namespace]
	switch terms, ok := w.query.terms(); {
	case ok:
		for _, t := range terms {
			if n.byTerm[t] = without(n.byTerm[t], w); n.byTerm[t] == nil {
				delete(n.byTerm, t)
			}
		}
	case w.query.selectsLabels():
		n.byLabels.remove(w)
	default:
		n.all = without(n.all, w)
	}
	if n.watchers--; n.watchers == 0 {
		delete(r.namespaces, w.query.Namespace)
	}
}

// find appends those whom a change of an object concerns, each once.
func (r *routes[V]) find(found []concern[V], k Key, t *transition) []concern[V] {
	if len(r.namespaces) == 0 {
		return found
	}
	r.calls++
	for _, namespace := range [...]string{k.Namespace, ""} {
		n := r.namespaces[namespace]
		if n == nil {
			continue
		}
		look := func(a attributes) {
			for w := range n.candidates(k, a) {
				if w.call == r.calls {
					continue
				}
				w.call = r.calls
				if event, ok := w.concern(k, t); ok {
					found = append(found, concern[V]{w, event})
				}
			}
		}
		if t.is {
			look(t.now)
		}
		if t.was && !t.sameAttributes() {
			look(t.old)
		}
	}
	return found
}

// candidates are those who may have asked for an object with these attributes.
func (n *namespaceRoutes[V]) candidates(k Key, a attributes) iter.Seq[*Watcher[V]] {
	return func(yield func(*Watcher[V]) bool) {
		for _, w := range n.all {
			yield(w)
		}
		n.byLabels.matching(a.labels, yield)
		if len(n.byTerm) == 0 {
			return
		}
		at := func(t term) {
			for _, w := range n.byTerm[t] {
				yield(w)
			}
		}
		at(term{nameTerm, k.Name})
		at(term{nodeTerm, a.node})
		for key, value := range a.labels.all() {
			at(term{key, value})
		}
	}
}

// concern returns what a change is to the watcher, false if nothing.
func (w *Watcher[V]) concern(k Key, t *transition) (EventType, bool) {
	if w.paging && k.Compare(w.query.After) > 0 {
		return 0, false
	}
	had := t.was && w.query.matches(k, t.old)
	has := t.is && w.query.matches(k, t.now)
	switch {
	case had && has:
		return Modified, true
	case has:
		return Added, true
	}
	return Deleted, had
}

// Terms of fields. No label begins so.
const (
	nameTerm = "\x00" + FieldName
	nodeTerm = "\x00" + FieldNodeName
)

// terms returns the terms of which whatever matches the query has exactly one,
// false if the query names no value.
func (q *Query) terms() ([]term, bool) {
	if name := q.exactly(FieldName); name != "" {
		return []term{{nameTerm, name}}, true
	}
	if node := q.exactly(FieldNodeName); node != "" {
		return []term{{nodeTerm, node}}, true
	}
	if choices := selectorTerms(q.Labels); len(choices) > 0 {
		return slices.MinFunc(choices, func(a, b []term) int { return cmp.Compare(len(a), len(b)) }), true
	}
	return nil, false
}

// labelRoutes are watchers whose selector can only be asked, such as "app" or
// "app notin (web)". Each is asked once for each set of labels: one bit says
// whether it matches, and a change costs no more for all those that do not.
type labelRoutes[V Value] struct {
	watchers []*Watcher[V] // nil where one was removed
	matches  map[*labelSet][]uint64
}

// maxLabelRoutes bounds the sets that are remembered, some of which may be out of
// use. When there are more, all are forgotten, and asked about again.
const maxLabelRoutes = 1 << 18

func (r *labelRoutes[V]) add(w *Watcher[V]) {
	if w.slot = slices.Index(r.watchers, nil); w.slot < 0 {
		w.slot = len(r.watchers)
		r.watchers = append(r.watchers, nil)
	}
	r.watchers[w.slot] = w
	for set := range r.matches {
		r.ask(w, set)
	}
}

func (r *labelRoutes[V]) remove(w *Watcher[V]) { r.watchers[w.slot] = nil }

func (r *labelRoutes[V]) ask(w *Watcher[V], set *labelSet) {
	bits := r.matches[set]
	for len(bits) <= w.slot/64 {
		bits = append(bits, 0)
	}
	bits[w.slot/64] &^= 1 << (w.slot % 64)
	if w.query.Labels.Matches(labels.Set(set.all())) {
		bits[w.slot/64] |= 1 << (w.slot % 64)
	}
	r.matches[set] = bits
}

// matching yields the watchers whose selector matches a set.
func (r *labelRoutes[V]) matching(set *labelSet, yield func(*Watcher[V]) bool) {
	if len(r.watchers) == 0 {
		return
	}
	if _, known := r.matches[set]; !known {
		if r.matches == nil || len(r.matches) == maxLabelRoutes {
			r.matches = make(map[*labelSet][]uint64)
		}
		for _, w := range r.watchers {
			if w != nil {
				r.ask(w, set)
			}
		}
	}
	for i, word := range r.matches[set] {
		for ; word != 0; word &= word - 1 {
			if w := r.watchers[64*i+bits.TrailingZeros64(word)]; w != nil {
				yield(w)
			}
		}
	}
}
