// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// revisionStep is the distance between two revisions: 15 bits that tell stores
// apart, and one for later.
const revisionStep = 1 << 16

// revisions numbers the changes of a store. The first number is the time of its
// start in nanoseconds since the Unix epoch, but for the lowest 16 bits, of which
// all but the last are random and the same in all numbers of the store. So the
// revisions of a store are greater than those of the one before (as long as that
// had fewer than 15,000 changes a second, which is 2^16 ns each), and neither they
// nor those of another replica are taken for its own, but for one chance in 32,768
// if replicas start at the same time.
type revisions struct {
	first  uint64
	newest atomic.Uint64
}

func (r *revisions) start(now time.Time) {
	r.first = uint64(now.UnixNano())&^(revisionStep-1) | rand.Uint64N(revisionStep)&^1
	r.newest.Store(r.first)
}

func (r *revisions) next() uint64 { return r.newest.Add(revisionStep) }

// later is the revision of an object that is told as it was after a change, but
// with a newer sample: it is between that change and the next, so that to no
// client a revision of an object stands for two states of it.
func later(revision uint64) uint64 { return revision | 1 }

// issued tells whether this store has reached the revision.
func (r *revisions) issued(revision uint64) bool {
	return revision >= r.first && revision <= later(r.newest.Load()) && (revision-r.first)%revisionStep <= 1
}
