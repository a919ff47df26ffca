// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"errors"
	"slices"
)

// ErrFellBehind ends a watcher that has not taken its events in time. It can go
// on with another watch, from the last revision that it has seen.
var ErrFellBehind = errors.New("too many events were waiting to be taken")

// EventType says what has become of an object.
type EventType uint8

const (
	// Added: the object is served, or matches, from now on.
	Added EventType = iota
	// Modified: it has a newer sample, other labels or another node.
	Modified
	// Deleted: it is not served, or does not match, any more. The value is what
	// was served last, with the revision of the change.
	Deleted
	// Synced: all objects that there were at the beginning have been Added. There
	// is no value.
	Synced
)

// Event is a change of an object. It is shared by watchers, and not to be changed.
type Event[V Value] struct {
	Type  EventType
	Value V
}

// Start says where a watch begins.
type Start struct {
	// Revision is the one after which it begins, which a list or a value has
	// told. 0 is now.
	Revision uint64
	// Current adds all objects that there are now before what changes. Revision
	// is then not read.
	Current bool
}

// Watcher hands on the changes of the objects that match a query.
type Watcher[V Value] struct {
	feed  *feed[V]
	query Query
	walk  walker[V]
	ready chan struct{}
	slot  int    // its place in labelRoutes
	call  uint64 // the last call of routes.find that has come upon it

	// Guarded by the feed's lock.
	registered bool
	waiting    []*Event[V]
	ended      error
	// While the objects of the beginning are read page by page, query.After is
	// the last that was, and what comes after it is not reported: its page will
	// tell.
	paging bool
}

// watch registers a watcher.
func (f *feed[V]) watch(q Query, start Start, walk walker[V]) (*Watcher[V], error) {
	q.Limit, q.After = 0, Key{}
	w := &Watcher[V]{feed: f, query: q, walk: walk, ready: make(chan struct{}, 1)}
	if !start.Current && start.Revision != 0 {
		return w, w.replay(start.Revision)
	}
	w.paging = start.Current
	w.query.Limit = walkChunk
	w.signal()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers.add(w)
	return w, nil
}

// replay registers the watcher with the changes since a revision waiting. Each
// object is told in its newest state only: as Modified, if it was served and
// matched at that revision, as Added else; and as Deleted when it has left since.
func (w *Watcher[V]) replay(revision uint64) error {
	f := w.feed
	if !f.revisions.issued(revision) {
		return ErrExpired
	}
	err := ErrExpired
	var changed List[V]
	f.settle(&changed, &w.query, revision, func() {
		changes, ok := f.since(revision)
		if !ok {
			return
		}
		var events []*Event[V]
		known := map[Key]bool{} // what the watcher has, of what has left at some time
		for c := range changes {
			if c.left == nil {
				continue
			}
			old := &c.left.old
			key := (*old).Key()
			if (*old).times().since <= revision {
				known[key] = w.query.matches(key, (*old).attributes())
			}
			if known[key] && (c.left.now == nil || !w.query.matches(key, (*c.left.now).attributes())) {
				events = append(events, &Event[V]{Deleted, *old})
				known[key] = false
			}
		}
		for _, v := range changed.Items {
			e := &Event[V]{Added, v}
			if known[v.Key()] || v.times().since <= revision {
				e.Type = Modified
			}
			events = append(events, e)
		}
		if len(events) > maxWaiting {
			return
		}
		slices.SortFunc(events, func(a, b *Event[V]) int {
			return cmp.Compare(a.Value.times().revision, b.Value.times().revision)
		})
		w.waiting, err = events, nil
		w.signal()
		f.watchers.add(w)
	})
	return err
}

// Ready tells when Next has something to return.
func (w *Watcher[V]) Ready() <-chan struct{} { return w.ready }

// Next returns the events that wait, in the order of their revisions, and the
// revision up to which there are no others, 0 while objects of the beginning are
// missing. It does not wait for any. The error is ErrFellBehind.
func (w *Watcher[V]) Next() ([]*Event[V], uint64, error) {
	f := w.feed
	if w.isPaging() {
		return w.page()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return w.take(), f.revisions.newest.Load(), w.ended
}

func (w *Watcher[V]) isPaging() bool {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	return w.paging && w.ended == nil
}

// take returns what waits. The feed's lock is held.
func (w *Watcher[V]) take() []*Event[V] {
	events := w.waiting
	w.waiting = nil
	return events
}

// page returns the next of the objects that there were at the beginning, after
// what has changed of those that were returned before. That their keys differ is
// why the order does not matter.
func (w *Watcher[V]) page() (events []*Event[V], upTo uint64, err error) {
	q := w.query // read without the lock, for only page changes it
	for {
		from := w.feed.revision()
		l := scan(&q, w.walk)
		if w.feed.settle(&l, &q, from, func() {
			events = w.take()
			for _, v := range l.Items {
				events = append(events, &Event[V]{Added, v})
			}
			w.query.After = l.Last
			if w.paging = l.More; !w.paging {
				w.query.After = Key{}
				events = append(events, &Event[V]{Type: Synced})
				upTo = l.Revision
			}
			err = w.ended
			w.signal()
		}) {
			return events, upTo, err
		}
	}
}

// Stop ends the watcher. Next then returns what still waits.
func (w *Watcher[V]) Stop() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.watchers.remove(w)
}

func (w *Watcher[V]) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// push adds an event, and returns false if there are too many. The feed's lock
// is held.
func (w *Watcher[V]) push(e *Event[V]) bool {
	defer w.signal()
	if len(w.waiting) == maxWaiting {
		w.waiting, w.ended = nil, ErrFellBehind
		return false
	}
	w.waiting = append(w.waiting, e)
	return true
}
