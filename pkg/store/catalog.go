// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"iter"
	"slices"
	"strings"
	"sync"
	"unique"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/utils/third_party/forked/golang/btree"
)

// walkChunk is how many pods a walk takes under one lock.
const walkChunk = 512

// catalog says which pods there are: in the order of their keys, and by label.
// It changes when pods come, go or are relabelled, and not when they are
// scraped. A pod is in it before, and until after, what it serves is published:
// so a list that finds no pod there has a revision at which there was none. Its
// lock is taken after a shard's.
type catalog struct {
	mu         sync.RWMutex
	pods       *btree.BTree[*pod]
	namespaces map[string]*labelIndex
}

// labelIndex finds the listed pods of a namespace by label.
type labelIndex struct {
	groups map[*labelSet]*group
	byTerm map[term][]*group
}

// group are the pods of a namespace with the same labels, as the replicas of a
// workload mostly are.
type group struct {
	labels *labelSet
	pods   []*pod
}

func newCatalog() *catalog {
	return &catalog{
		pods:       btree.New(32, func(a, b *pod) bool { return a.key().Compare(b.key()) < 0 }),
		namespaces: make(map[string]*labelIndex),
	}
}

func pivot(k Key) *pod { return &pod{ns: unique.Make(k.Namespace), name: k.Name} }

// find returns nil if there is no such pod.
func (c *catalog) find(k Key) *pod {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, _ := c.pods.Get(pivot(k))
	return p
}

// add returns the pod of that name if there is one by now, and p if it was added.
func (c *catalog) add(p *pod) *pod {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, ok := c.pods.Get(p); ok {
		return other
	}
	c.pods.ReplaceOrInsert(p)
	return p
}

func (c *catalog) size() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.pods.Len()
}

func (c *catalog) remove(p *pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods.Delete(p)
}

// list indexes a listed pod by its labels.
func (c *catalog) list(p *pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	index := c.namespaces[p.namespace()]
	if index == nil {
		index = &labelIndex{groups: make(map[*labelSet]*group), byTerm: make(map[term][]*group)}
		c.namespaces[p.namespace()] = index
	}
	g := index.groups[p.labels]
	if g == nil {
		g = &group{labels: p.labels}
		index.groups[p.labels] = g
		for _, label := range p.labels.all() {
			t := term(label)
			index.byTerm[t] = append(index.byTerm[t], g)
		}
	}
	g.pods = append(g.pods, p)
}

// unlist removes a pod from the index, where it was with these labels.
func (c *catalog) unlist(p *pod, set *labelSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	index := c.namespaces[p.namespace()]
	g := index.groups[set]
	if g.pods = without(g.pods, p); g.pods != nil {
		return
	}
	for _, label := range set.all() {
		t := term(label)
		if index.byTerm[t] = without(index.byTerm[t], g); index.byTerm[t] == nil {
			delete(index.byTerm, t)
		}
	}
	if delete(index.groups, set); len(index.groups) == 0 {
		delete(c.namespaces, p.namespace())
	}
}

// without removes an element from a set that is kept as a slice, and returns nil
// when none is left.
func without[E comparable](set []E, e E) []E {
	i, last := slices.Index(set, e), len(set)-1
	if i < 0 {
		return set
	}
	set[i] = set[last]
	clear(set[last:])
	if last == 0 {
		return nil
	}
	return set[:last]
}

// walk goes through the pods of a namespace, all if it is "", that come after a
// key. It holds no lock while it hands a pod on; pods that come or go meanwhile
// may be handed on or not.
func (c *catalog) walk(namespace string, after Key) iter.Seq[*pod] {
	if after.Namespace < namespace {
		after = Key{Namespace: namespace}
	}
	return func(yield func(*pod) bool) {
		var chunk [walkChunk]*pod
		for from := after; ; {
			found := c.chunk(chunk[:0], namespace, from)
			for _, p := range found {
				if !yield(p) {
					return
				}
			}
			if len(found) < walkChunk {
				return
			}
			from = found[len(found)-1].key()
		}
	}
}

func (c *catalog) chunk(found []*pod, namespace string, after Key) []*pod {
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.pods.AscendGreaterOrEqual(pivot(after), func(p *pod) bool {
		if namespace != "" && p.namespace() != namespace {
			return false
		}
		if p.key() != after {
			found = append(found, p)
		}
		return len(found) < walkChunk
	})
	return found
}

// labelled returns the listed pods of a namespace, all if it is "", with labels
// that match, in any order; one that is being relabelled may be there twice. What
// it costs grows with the pods that have a label
// that the selector asks for; a selector that only says which labels there must
// not be, or that one must be there, costs a look at each distinct set of labels.
func (c *catalog) labelled(namespace string, selector labels.Selector) []*pod {
	terms := selectorTerms(selector)
	found := []*pod{}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if namespace != "" {
		return c.namespaces[namespace].appendMatching(found, selector, terms)
	}
	for _, index := range c.namespaces {
		found = index.appendMatching(found, selector, terms)
	}
	return found
}

// appendMatching looks where the fewest groups are. Each element of terms is a
// choice of which a match has exactly one.
func (x *labelIndex) appendMatching(found []*pod, selector labels.Selector, terms [][]term) []*pod {
	if x == nil {
		return found
	}
	var best []term
	fewest := len(x.groups)
	for _, choice := range terms {
		n := 0
		for _, t := range choice {
			n += len(x.byTerm[t])
		}
		if n <= fewest {
			best, fewest = choice, n
		}
	}
	add := func(g *group) {
		if selector.Matches(g.labels.all()) {
			found = append(found, g.pods...)
		}
	}
	if best == nil {
		for _, g := range x.groups {
			add(g)
		}
	}
	for _, t := range best {
		for _, g := range x.byTerm[t] {
			add(g)
		}
	}
	return found
}

// term is a label, as something that a selector can ask for by equality.
type term Label

// selectorTerms returns, for each requirement of a selector that names the
// values of a label, the terms of which a match has exactly one.
func selectorTerms(selector labels.Selector) (terms [][]term) {
	if selector == nil {
		return nil
	}
	requirements, selectable := selector.Requirements()
	if !selectable { // it matches nothing
		return [][]term{{}}
	}
	for _, r := range requirements {
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			choice := []term{}
			for value := range r.Values() {
				choice = append(choice, term{r.Key(), value})
			}
			terms = append(terms, choice)
		}
	}
	return terms
}

// Key is the namespace, "" of nodes, and the name of an object.
type Key struct{ Namespace, Name string }

// Compare orders by namespace, then by name.
func (k Key) Compare(other Key) int {
	if k.Namespace != other.Namespace {
		return strings.Compare(k.Namespace, other.Namespace)
	}
	return strings.Compare(k.Name, other.Name)
}
