// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"hash/maphash"
	"strings"
	"sync"
	"unique"
)

// shardCount bounds how much readers and writers hold up each other.
const shardCount = 128

// shard guards the pods whose namespace and name hash to it.
type shard struct {
	mu sync.RWMutex
	// before are the containers that were served of the pod that is being
	// changed.
	before []container
}

// shardOf returns the shard of a pod.
func (s *Store) shardOf(k Key) *shard {
	var h maphash.Hash
	h.SetSeed(s.seed)
	h.WriteString(k.Namespace)
	h.WriteByte('/')
	h.WriteString(k.Name)
	return &s.shards[h.Sum64()%shardCount]
}

// lock returns the pod, new if there was none, with its shard locked.
func (s *Store) lock(k Key) *pod {
	for {
		p := s.catalog.find(k)
		if p == nil {
			p = s.catalog.add(&pod{ns: unique.Make(k.Namespace), name: strings.Clone(k.Name), shard: s.shardOf(k)})
		}
		p.shard.mu.Lock()
		if !p.dropped {
			return p
		}
		p.shard.mu.Unlock()
	}
}

// drop forgets the pod if neither the API server nor a node speaks of it. The
// shard's lock is held.
func (s *Store) drop(p *pod) {
	if !p.listed && p.reports == nil && !p.dropped {
		p.dropped = true
		s.catalog.remove(p)
	}
}
