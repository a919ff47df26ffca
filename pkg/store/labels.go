// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"
)

// labelSet is a set of labels shared by all pods or nodes that carry the same.
// It is never changed.
type labelSet struct {
	labels map[string]string
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
		if maps.Equal(set.labels, labels) {
			set.refs++
			return set
		}
	}
	set := &labelSet{labels: maps.Clone(labels), hash: hash, refs: 1}
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

// all returns the labels, nil for the empty set. The map is shared.
func (set *labelSet) all() map[string]string {
	if set == nil {
		return nil
	}
	return set.labels
}
