// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"math"
	"slices"
	"sync"
	"time"
)

// tally adds up what reads have found.
type tally struct {
	workload *workload
	classes  []class
	told     map[int]*lie

	mu                 sync.Mutex
	nodeTally          objects
	podTally           objects
	hpaPods, hpaWanted int
	hpaReads, hpaWhole int
	// wrong counts values of nodes that do not lie, and passed those of lying ones,
	// by lie.
	wrong, passed map[string]int
	firstWrong    error
	reads, failed int
	firstFailure  error
}

// objects are nodes, or pods, by the class of their node.
type objects struct {
	there  [numClasses]int
	served [numClasses]int
	ages   [numClasses][]time.Duration
	lists  int
	least  float64 // part of all that was served in a list
}

func newTally(w *workload, classes []class, told map[int]*lie) *tally {
	t := &tally{workload: w, classes: classes, told: told, wrong: map[string]int{}, passed: map[string]int{}}
	t.nodeTally.least, t.podTally.least = 1, 1
	for node, c := range classes {
		t.nodeTally.there[c]++
		for pod := node; pod < w.pods(); pod += w.nodes {
			t.podTally.there[c]++
		}
	}
	return t
}

func (t *tally) addNodes(found []answer, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(&t.nodeTally, found, err, func(node int) int { return node })
}

func (t *tally) addPods(found []answer, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(&t.podTally, found, err, t.workload.node)
}

// add adds a list of all. One that failed has served nothing.
func (t *tally) add(o *objects, found []answer, err error, nodeOf func(int) int) {
	t.note(err)
	o.lists++
	seen := make(map[int]bool, len(found))
	for _, a := range found {
		t.judge(a, nodeOf)
		if a.number < 0 || seen[a.number] {
			continue
		}
		seen[a.number] = true
		c := t.classes[nodeOf(a.number)]
		o.served[c]++
		if a.wrong == nil { // else it is no age of a sample
			o.ages[c] = append(o.ages[c], a.age)
		}
	}
	o.least = min(o.least, float64(len(seen))/float64(sum(o.there[:])))
}

func (t *tally) addHPA(want int, found []answer, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(err)
	for _, a := range found {
		t.judge(a, t.workload.node)
	}
	t.hpaReads++
	t.hpaPods += len(found)
	t.hpaWanted += want
	if len(found) == want {
		t.hpaWhole++
	}
}

func (t *tally) note(err error) {
	t.reads++
	if err != nil {
		t.failed++
		if t.firstFailure == nil {
			t.firstFailure = err
		}
	}
}

// unknown is the class of what there is not.
const unknown = "unknown"

func (t *tally) judge(a answer, nodeOf func(int) int) {
	if a.wrong == nil {
		return
	}
	name := unknown
	if a.number >= 0 {
		node := nodeOf(a.number)
		if l := t.told[node]; l != nil {
			t.passed[l.name]++
			return
		}
		name = t.classes[node].String()
	}
	t.wrong[name]++
	if t.firstWrong == nil {
		t.firstWrong = a.wrong
	}
}

// share of all that was served, in the mean of all lists.
func (o *objects) share() string {
	return part(sum(o.served[:]), o.lists*sum(o.there[:]))
}

func sum(counts []int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}

func total(counts map[string]int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}

// quantile is the least age that at least a part q of them does not exceed. It
// sorts them.
func quantile(ages []time.Duration, q float64) time.Duration {
	slices.Sort(ages)
	return ages[max(0, int(math.Ceil(q*float64(len(ages))))-1)]
}
