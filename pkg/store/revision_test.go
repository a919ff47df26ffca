// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestIssued(t *testing.T) {
	var r revisions
	r.start(start)
	first := r.first
	for i, want := range []uint64{1, 2, 3} {
		if got := r.next(); got != first+want*revisionStep {
			t.Errorf("the %dth revision is %d, want %d", i+1, got, first+want*revisionStep)
		}
	}
	tests := []struct {
		name     string
		revision uint64
		want     bool
	}{
		{"none", 0, false},
		{"the store's start", first, true},
		{"before it", first - revisionStep, false},
		{"its time without the residue", first &^ (revisionStep - 1), first%revisionStep == 0},
		{"a change", first + revisionStep, true},
		{"the newest", first + 3*revisionStep, true},
		{"the next", first + 4*revisionStep, false},
		{"one less", first + 3*revisionStep - 1, false},
		{"told later", first + 1, true},
		{"the newest, told later", first + 3*revisionStep + 1, true},
		{"two more", first + 2, false},
		{"another residue", (first + 2*revisionStep) ^ 1<<15, false},
		{"the greatest", math.MaxUint64, false},
	}
	for _, tt := range tests {
		if got := r.issued(tt.revision); got != tt.want {
			t.Errorf("%s: %d was issued: %v", tt.name, tt.revision, got)
		}
	}
}

// A store's first revision is its start, and fits what clients take for a number.
func TestFirstRevisionIsTheTime(t *testing.T) {
	s := New(clocktesting.NewFakePassiveClock(start), maxAge)
	if got := time.Unix(0, int64(s.Revision())).Sub(start); got < -revisionStep || got > revisionStep {
		t.Errorf("the first revision is %v off its start", got)
	}
	if s.Pods(Query{}).Revision != s.Revision() || s.Nodes(Query{}).Revision != s.Revision() {
		t.Error("the lists of an empty store are of another revision")
	}
	century := start.AddDate(100, 0, 0)
	if got := New(clocktesting.NewFakePassiveClock(century), maxAge).Revision(); got > math.MaxInt64 {
		t.Errorf("in %d, revisions are %d", century.Year(), got)
	}
}

// The next store goes on with greater revisions, and knows none of those before.
func TestRevisionsOfALaterStore(t *testing.T) {
	f := running(t)
	for i := range 10_000 { // in the 15 s that the store is old
		f.relabel(map[string]string{"i": fmt.Sprint(i)})
	}
	newest := f.Revision()
	later := New(f.clock, maxAge)
	if got := later.Revision(); got <= newest {
		t.Errorf("the next store begins at %d, the one before is at %d", got, newest)
	}
	for _, revision := range []uint64{f.revisions.first, newest} {
		if _, err := later.WatchPods(Query{}, Start{Revision: revision}); !errors.Is(err, ErrExpired) {
			t.Errorf("the next store takes revision %d for its own: %v", revision, err)
		}
		if _, err := later.WatchNodes(Query{}, Start{Revision: revision}); !errors.Is(err, ErrExpired) {
			t.Errorf("the next store takes revision %d for its own: %v", revision, err)
		}
	}
}

// Replicas that start at the same moment tell their revisions apart.
func TestRevisionsOfAnotherReplica(t *testing.T) {
	f := running(t)
	f.clock.SetTime(start)
	other := &fixture{T: t, clock: f.clock}
	for other.Store == nil || other.revisions.first == f.revisions.first { // one chance in 65,536
		other.Store = New(f.clock, maxAge)
	}
	if a, b := f.revisions.first, other.revisions.first; a/revisionStep != b/revisionStep {
		t.Fatalf("the first revisions, %d and %d, differ in more than what is random", a, b)
	}
	other.SetNode("n1", nil)
	other.relabel(web)
	for i := range 4 {
		second := float64(15 * i)
		other.scrape("n1", second, sample("a", second, 10+second, 1))
	}
	for _, revision := range []uint64{f.revisions.first, f.Revision()} {
		other.wantExpired(Query{}, revision)
	}
	for revision := other.revisions.first; revision <= other.Revision(); revision += revisionStep {
		f.wantExpired(Query{}, revision)
		if _, err := other.WatchPods(Query{}, Start{Revision: revision}); err != nil {
			t.Errorf("it does not know its own revision %d: %v", revision, err)
		}
	}
}

// Residues are drawn anew for each store.
func TestResiduesDiffer(t *testing.T) {
	residues := map[uint64]bool{}
	for range 64 {
		residues[New(clock.RealClock{}, maxAge).Revision()%revisionStep] = true
	}
	if len(residues) < 32 {
		t.Errorf("64 stores have %d residues", len(residues))
	}
}

// Pods and nodes share the revisions.
func TestRevisionsOfPodsAndNodes(t *testing.T) {
	f := running(t)
	pods, nodes := f.follow(Query{}, Start{}), f.followNodes(Query{}, Start{})
	last := f.Revision()
	for i := range 10 {
		second := float64(30 + 15*i)
		f.scrapeNode("n1", second, second)
		f.scrape("n1", second, sample("a", second, 10+second, 1))
		p, n := f.Pods(Query{}), f.Nodes(Query{})
		if p.Revision != n.Revision || p.Revision != f.Revision() || p.Revision <= last {
			t.Fatalf("pods are of revision %d, nodes of %d, the store is at %d; it was %d", p.Revision, n.Revision, f.Revision(), last)
		}
		last = p.Revision
		if _, err := pods.take(); err != nil {
			t.Error(err)
		}
		if _, err := nodes.take(); err != nil {
			t.Error(err)
		}
		if pods.upTo != last || nodes.upTo != last {
			t.Errorf("watchers are at %d and %d, the store at %d", pods.upTo, nodes.upTo, last)
		}
	}
}
