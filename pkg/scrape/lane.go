// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"container/heap"
	"slices"
)

// lane is a queue of nodes by when they are due, and a number of places for
// scrapes that run at the same time. Guarded by Pool.mu.
type lane struct {
	queue   byDue
	places  int
	running []*target
}

func (l *lane) hasPlace() bool { return len(l.running) < l.places }

// enter takes a place.
func (l *lane) enter(t *target) {
	t.lane = l
	l.running = append(l.running, t)
}

// leave gives the place back.
func (l *lane) leave(t *target) {
	i := slices.Index(l.running, t)
	l.running = slices.Delete(l.running, i, i+1)
}

// first returns the node that is due first, nil if none waits.
func (l *lane) first() *target {
	if len(l.queue) == 0 {
		return nil
	}
	return l.queue[0]
}

func (l *lane) push(t *target) {
	t.lane = l
	heap.Push(&l.queue, t)
}

func (l *lane) remove(t *target) { heap.Remove(&l.queue, t.index) }

// byDue is a heap.
type byDue []*target

func (q byDue) Len() int           { return len(q) }
func (q byDue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q byDue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *byDue) Push(x any) {
	t := x.(*target)
	t.index = len(*q)
	*q = append(*q, t)
}

func (q *byDue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return t
}
