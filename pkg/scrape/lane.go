// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import "container/heap"

// lane is a queue of nodes by when they are due, and a number of places for
// scrapes that run at the same time. Guarded by Pool.mu.
type lane struct {
	queue  byDue
	places int
	busy   int
}

func (l *lane) hasPlace() bool { return l.busy < l.places }

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
