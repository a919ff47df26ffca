// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"unique"

	"k8s.io/apimachinery/pkg/labels"
)

// Label is one label of an object.
type Label struct{ Key, Value string }

// Labels are an object's, in the order of their keys. They take less than half of a map, and
// are written in this order.
type Labels []Label

var _ labels.Labels = Labels{}

// Map returns a copy, nil if there are none.
func (l Labels) Map() map[string]string {
	if len(l) == 0 {
		return nil
	}
	m := make(map[string]string, len(l))
	for _, label := range l {
		m[label.Key] = label.Value
	}
	return m
}

// Lookup implements labels.Labels.
func (l Labels) Lookup(key string) (value string, exists bool) {
	i, found := slices.BinarySearchFunc(l, key, func(l Label, key string) int { return strings.Compare(l.Key, key) })
	if !found {
		return "", false
	}
	return l[i].Value, true
}

// Get implements labels.Labels.
func (l Labels) Get(key string) string {
	value, _ := l.Lookup(key)
	return value
}

// Has implements labels.Labels.
func (l Labels) Has(key string) bool {
	_, exists := l.Lookup(key)
	return exists
}

// equal tells whether the labels are those of the map.
func (l Labels) equal(m map[string]string) bool {
	if len(l) != len(m) {
		return false
	}
	for _, label := range l {
		if value, ok := m[label.Key]; !ok || value != label.Value {
			return false
		}
	}
	return true
}

// labelsOf copies a map. Equal keys are the same string: there are few of them.
func labelsOf(m map[string]string) Labels {
	l := make(Labels, 0, len(m))
	for key, value := range m {
		l = append(l, Label{unique.Make(key).Value(), value})
	}
	slices.SortFunc(l, func(a, b Label) int { return strings.Compare(a.Key, b.Key) })
	return l
}

// labelSet is a set of labels shared by all pods or nodes that carry the same.
// It is never changed.
type labelSet struct {
	labels Labels
	hash   uint64
	refs   int // guarded by labelSets.mu
}

// labelSets holds each distinct set once: most pods of a cluster share theirs
// with the other replicas.
type labelSets struct {
	seed maphash.Seed
	mu   sync.Mutex
	sets map[uint64][]*labelSet // by hash; nearly always one each
}

func newLabelSets() *labelSets {
	return &labelSets{seed: maphash.MakeSeed(), sets: make(map[uint64][]*labelSet)}
}

// acquire returns the shared set equal to labels. Each acquire is paid back by
// one release. An empty set is nil.
func (l *labelSets) acquire(labels map[string]string) *labelSet {
	if len(labels) == 0 {
		return nil
	}
	hash := l.hash(labels)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, set := range l.sets[hash] {
		if set.labels.equal(labels) {
			set.refs++
			return set
		}
	}
	set := &labelSet{labels: labelsOf(labels), hash: hash, refs: 1}
	l.sets[hash] = append(l.sets[hash], set)
	return set
}

func (l *labelSets) release(set *labelSet) {
	if set == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if set.refs--; set.refs > 0 {
		return
	}
	same := l.sets[set.hash]
	i := slices.Index(same, set)
	if same = slices.Delete(same, i, i+1); len(same) == 0 {
		delete(l.sets, set.hash)
	} else {
		l.sets[set.hash] = same
	}
}

// hash does not depend on the order of the map.
func (l *labelSets) hash(labels map[string]string) uint64 {
	var sum uint64
	for k, v := range labels {
		var h maphash.Hash
		h.SetSeed(l.seed)
		h.WriteString(k)
		h.WriteByte(0)
		h.WriteString(v)
		sum += h.Sum64()
	}
	return sum
}

// all returns the labels, nil for the empty set.
func (set *labelSet) all() Labels {
	if set == nil {
		return nil
	}
	return set.labels
}
