// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"unique"
)

// shardCount bounds how much a reader or writer holds up others: with 150,000
// pods, a shard has about 1,200.
const shardCount = 128

// shard holds the pods whose namespace and name hash to it, ordered by
// namespace and name: a namespace is one range, and no index beside the slice
// is needed.
type shard struct {
	mu   sync.RWMutex
	pods []*pod
}

// shardOf returns the shard of a pod.
func (s *Store) shardOf(namespace, name string) *shard {
	var h maphash.Hash
	h.SetSeed(s.seed)
	h.WriteString(namespace)
	h.WriteByte('/')
	h.WriteString(name)
	return &s.shards[h.Sum64()%shardCount]
}

// find returns the pod, nil if there is none, and its place. The lock is held.
func (sh *shard) find(namespace, name string) (*pod, int) {
	i, ok := slices.BinarySearchFunc(sh.pods, name, func(p *pod, name string) int { return p.compare(namespace, name) })
	if !ok {
		return nil, i
	}
	return sh.pods[i], i
}

// findOrAdd returns the pod, new if there was none. The lock is held for writing.
func (sh *shard) findOrAdd(namespace, name string) *pod {
	p, i := sh.find(namespace, name)
	if p == nil {
		p = &pod{ns: unique.Make(namespace), name: strings.Clone(name), shard: sh}
		sh.pods = slices.Insert(sh.pods, i, p)
	}
	return p
}

// drop removes the pod if neither the API server nor a node speaks of it. The
// lock is held for writing.
func (sh *shard) drop(p *pod) {
	if p.listed || p.reports != nil {
		return
	}
	if _, i := sh.find(p.namespace(), p.name); i < len(sh.pods) && sh.pods[i] == p {
		sh.pods = slices.Delete(sh.pods, i, i+1)
	}
}

// in returns the pods of a namespace, all if it is "". The lock is held.
func (sh *shard) in(namespace string) []*pod {
	if namespace == "" {
		return sh.pods
	}
	from, _ := slices.BinarySearchFunc(sh.pods, namespace, func(p *pod, ns string) int {
		return strings.Compare(p.namespace(), ns)
	})
	n := 0
	for from+n < len(sh.pods) && sh.pods[from+n].namespace() == namespace {
		n++
	}
	return sh.pods[from : from+n]
}
