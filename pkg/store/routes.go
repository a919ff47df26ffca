// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"iter"
	"math/bits"
	"slices"
)

// routes finds the watchers that a change is of interest to, without asking each:
// by namespace, then by something that their query asks for, and then by what
// their selector says of a set of labels. So a change costs no more for all the
// watchers that wait for others.
type routes[V Value] struct {
	namespaces map[string]map[term]*route[V] // "" is for all namespaces
	calls      uint64                        // of find
}

// route has the watchers of a namespace who ask for the same.
type route[V Value] struct {
	always []*Watcher[V] // whose selector asks for nothing else
	// asked are the others, nil where one was removed. Each is asked once for
	// each set of labels: bit i of matches says whether asked[i] matches it.
	asked   []*Watcher[V]
	some    int // of asked are not nil
	matches map[*labelSet][]uint64
}

// place is where a watcher is in routes.
type place struct {
	registered bool
	call       uint64 // the last call of find that has come upon it
}

// maxAnswers bounds the sets of labels of which a route remembers who matches,
// some of which may be out of use. When there are more, all are forgotten, and
// asked about again.
const maxAnswers = 1 << 16

// concern is what a change is to a watcher.
type concern[V Value] struct {
	watcher *Watcher[V]
	event   EventType
}

func newRoutes[V Value]() routes[V] {
	return routes[V]{namespaces: make(map[string]map[term]*route[V])}
}

func (r *routes[V]) add(w *Watcher[V]) {
	w.place.registered = true
	byTerm := r.namespaces[w.query.Namespace]
	if byTerm == nil {
		byTerm = make(map[term]*route[V])
		r.namespaces[w.query.Namespace] = byTerm
	}
	for _, t := range w.query.terms() {
		if byTerm[t] == nil {
			byTerm[t] = &route[V]{}
		}
		byTerm[t].add(w)
	}
}

// remove may be called again for the same watcher.
func (r *routes[V]) remove(w *Watcher[V]) {
	if !w.place.registered {
		return
	}
	w.place.registered = false
	byTerm := r.namespaces[w.query.Namespace]
	for _, t := range w.query.terms() {
		if byTerm[t].remove(w); byTerm[t].empty() {
			delete(byTerm, t)
		}
	}
	if len(byTerm) == 0 {
		delete(r.namespaces, w.query.Namespace)
	}
}

// find appends those whom a change of an object concerns, each once.
func (r *routes[V]) find(found []concern[V], k Key, t *transition) []concern[V] {
	if len(r.namespaces) == 0 {
		return found
	}
	r.calls++
	if t.is {
		found = r.findBy(t.now, found, k, t)
	}
	if t.leaves() {
		found = r.findBy(t.old, found, k, t)
	}
	return found
}

// findBy looks where those are who ask for what an object with these attributes
// has.
func (r *routes[V]) findBy(a attributes, found []concern[V], k Key, t *transition) []concern[V] {
	for _, namespace := range [...]string{k.Namespace, ""} {
		byTerm := r.namespaces[namespace]
		for has := range termsOf(k, a) {
			if route := byTerm[has]; route != nil {
				for w := range route.matching(a.labels) {
					if w.place.call == r.calls {
						continue
					}
					w.place.call = r.calls
					if event, ok := w.concern(k, t); ok {
						found = append(found, concern[V]{w, event})
					}
				}
			}
		}
		if k.Namespace == "" {
			break
		}
	}
	return found
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

// Terms that are no labels: those of watchers that ask for a field, and of those
// that name no value. No label begins so.
const (
	nameTerm = "\x00" + FieldName
	nodeTerm = "\x00" + FieldNodeName
)

var anything = term{}

// termsOf are the terms by which those may be found who ask for an object.
func termsOf(k Key, a attributes) iter.Seq[term] {
	return func(yield func(term) bool) {
		if !yield(anything) || !yield(term{nameTerm, k.Name}) || !yield(term{nodeTerm, a.node}) {
			return
		}
		for _, label := range a.labels.all() {
			if !yield(term(label)) {
				return
			}
		}
	}
}

// terms returns the terms of which whatever matches the query has exactly one.
func (q *Query) terms() []term {
	if name := q.exactly(FieldName); name != "" {
		return []term{{nameTerm, name}}
	}
	if node := q.exactly(FieldNodeName); node != "" {
		return []term{{nodeTerm, node}}
	}
	if choices := selectorTerms(q.Labels); len(choices) > 0 {
		return slices.MinFunc(choices, func(a, b []term) int { return cmp.Compare(len(a), len(b)) })
	}
	return []term{anything}
}

func (r *route[V]) add(w *Watcher[V]) {
	if !w.query.selectsLabels() {
		r.always = append(r.always, w)
		return
	}
	slot := slices.Index(r.asked, nil)
	if slot < 0 {
		slot = len(r.asked)
		r.asked = append(r.asked, nil)
	}
	r.asked[slot] = w
	r.some++
	for set := range r.matches {
		r.ask(slot, set)
	}
}

func (r *route[V]) remove(w *Watcher[V]) {
	if i := slices.Index(r.asked, w); i >= 0 {
		r.asked[i] = nil
		if r.some--; r.some == 0 {
			r.asked, r.matches = nil, nil
		}
		return
	}
	r.always = without(r.always, w)
}

func (r *route[V]) empty() bool { return r.some == 0 && len(r.always) == 0 }

func (r *route[V]) ask(slot int, set *labelSet) {
	answers := r.matches[set]
	for len(answers) <= slot/64 {
		answers = append(answers, 0)
	}
	answers[slot/64] &^= 1 << (slot % 64)
	if r.asked[slot].query.Labels.Matches(set.all()) {
		answers[slot/64] |= 1 << (slot % 64)
	}
	r.matches[set] = answers
}

// matching are the watchers whose selector matches a set of labels.
func (r *route[V]) matching(set *labelSet) iter.Seq[*Watcher[V]] {
	return func(yield func(*Watcher[V]) bool) {
		for _, w := range r.always {
			if !yield(w) {
				return
			}
		}
		if r.some == 0 {
			return
		}
		for i, word := range r.answers(set) {
			for ; word != 0; word &= word - 1 {
				if w := r.asked[64*i+bits.TrailingZeros64(word)]; w != nil && !yield(w) {
					return
				}
			}
		}
	}
}

// answers asks those who have not been asked about a set of labels.
func (r *route[V]) answers(set *labelSet) []uint64 {
	if answers, ok := r.matches[set]; ok {
		return answers
	}
	if r.matches == nil || len(r.matches) == maxAnswers {
		r.matches = make(map[*labelSet][]uint64)
	}
	r.matches[set] = nil
	for slot, w := range r.asked {
		if w != nil {
			r.ask(slot, set)
		}
	}
	return r.matches[set]
}
