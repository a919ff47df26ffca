// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"unicode/utf8"
)

// containerSet finds the container that a series names. The kubelet writes the
// series of every family in the same order, with the same bytes for the labels,
// so the next container is nearly always the one after the last.
type containerSet struct {
	list []Container
	// encoded holds, for each container, the labels as the answer first wrote
	// them, or nothing if other bytes came between them. The same bytes again
	// name the same container.
	encoded [][]byte
	// next is the index of the container that is expected next.
	next int
	// table is an open-addressing hash table of list, with a power of two of
	// slots. Its hash is seeded, so that a kubelet cannot choose names that
	// collide.
	table []slot
	seed  maphash.Seed
}

// slot is a place in the table. The index is that of the container plus one;
// 0 is free.
type slot struct {
	hash  uint32
	index uint32
}

const minSlots = 64

// reset empties the set. The table keeps the size that the last answer needed.
func (s *containerSet) reset() {
	if cap(s.list) > maxKeptContainers {
		*s = containerSet{seed: s.seed}
	}
	if s.seed == (maphash.Seed{}) {
		s.seed = maphash.MakeSeed()
	}
	s.resizeTable(max(minSlots, 1<<bits.Len(uint(2*len(s.list)))))
	s.list = s.list[:0]
	s.encoded = s.encoded[:0]
	s.next = 0
}

// resizeTable leaves an empty table of that many slots.
func (s *containerSet) resizeTable(slots int) {
	if cap(s.table) < slots {
		s.table = make([]slot, slots)
		return
	}
	s.table = s.table[:slots]
	clear(s.table)
}

// expected gives the encoded labels of the container that is expected next, or
// nothing if it is not known.
func (s *containerSet) expected() []byte {
	if s.next < len(s.encoded) {
		return s.encoded[s.next]
	}
	return nil
}

// take gives the container that is expected next and moves on.
func (s *containerSet) take() *Usage {
	u := &s.list[s.next].Usage
	s.next++
	return u
}

// find gives the container that the labels name, added if new. It gives nil if
// they cannot name one.
func (s *containerSet) find(l *labels, encoded []byte) (*Usage, *Error) {
	if !l.nameContainer() {
		return nil, nil
	}
	if s.next < len(s.list) && s.list[s.next].hasNames(l) {
		return s.take(), nil
	}
	hash := s.hash(l.namespace, l.pod, l.container)
	i := s.lookup(hash, l)
	if s.table[i].index != 0 {
		s.next = int(s.table[i].index) - 1
		return s.take(), nil
	}
	if !utf8.Valid(l.namespace) || !utf8.Valid(l.pod) || !utf8.Valid(l.container) {
		return nil, nil
	}
	if len(s.list) == MaxContainers {
		return nil, tooLargeError("containers", MaxContainers)
	}
	s.list = append(s.list, Container{Namespace: l.namespace, Pod: l.pod, Name: l.container})
	s.encoded = append(s.encoded, encoded)
	s.table[i] = slot{hash: hash, index: uint32(len(s.list))}
	if 2*len(s.list) > len(s.table) {
		s.rehash()
	}
	s.next = len(s.list) - 1
	return s.take(), nil
}

// lookup gives the slot of the container, or the free one where it belongs.
func (s *containerSet) lookup(hash uint32, l *labels) int {
	mask := len(s.table) - 1
	i := int(hash) & mask
	for s.table[i].index != 0 {
		if s.table[i].hash == hash && s.list[s.table[i].index-1].hasNames(l) {
			break
		}
		i = (i + 1) & mask
	}
	return i
}

// rehash doubles the table.
func (s *containerSet) rehash() {
	s.resizeTable(2 * len(s.table))
	mask := len(s.table) - 1
	for n := range s.list {
		c := &s.list[n]
		hash := s.hash(c.Namespace, c.Pod, c.Name)
		i := int(hash) & mask
		for s.table[i].index != 0 {
			i = (i + 1) & mask
		}
		s.table[i] = slot{hash: hash, index: uint32(n + 1)}
	}
}

// hash mixes the hashes of the names so that swapping two of them matters.
func (s *containerSet) hash(namespace, pod, container []byte) uint32 {
	h := maphash.Bytes(s.seed, pod)
	h ^= bits.RotateLeft64(maphash.Bytes(s.seed, namespace), 21)
	h ^= bits.RotateLeft64(maphash.Bytes(s.seed, container), 42)
	return uint32(h)
}

func (c *Container) hasNames(l *labels) bool {
	return bytes.Equal(c.Pod, l.pod) && bytes.Equal(c.Name, l.container) && bytes.Equal(c.Namespace, l.namespace)
}
