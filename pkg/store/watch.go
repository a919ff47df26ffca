// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import "errors"

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

// step is how many objects or changes a watcher looks at in one go while it is
// not up to date.
const step = 512

// Watcher hands on the changes of the objects that match a query. It begins by
// catching up, in steps of which the next is made when the events of the last have
// been taken, so that it holds no more than those.
type Watcher[V Value] struct {
	feed  *feed[V]
	query Query
	walk  walker[V]
	ready chan struct{}
	// replay is not nil while the changes since the start are told, and used by
	// Next only.
	replay *replay
	place  place // in routes

	// Guarded by the feed's lock.
	waiting []*Event[V]
	ended   error
	stopped bool
	// While the objects of the beginning are read page by page, query.After is
	// the last that was, and what comes after it is not reported: its page will
	// tell.
	paging bool
}

// replay is how far a watcher is that catches up with changes.
type replay struct {
	start, at uint64
	// known says of objects whose attributes have changed since the start whether
	// the watcher's client has them.
	known map[Key]bool
}

// watch opens a watcher.
func (f *feed[V]) watch(q Query, start Start, walk walker[V]) (*Watcher[V], error) {
	q.Limit, q.After = step, Key{}
	w := &Watcher[V]{feed: f, query: q, walk: walk, ready: make(chan struct{}, 1), paging: start.Current}
	w.signal()
	f.mu.Lock()
	defer f.mu.Unlock()
	if start.Current || start.Revision == 0 {
		f.watchers.add(w)
		return w, nil
	}
	if !f.revisions.issued(start.Revision) || start.Revision < f.forgotten {
		return nil, ErrExpired
	}
	w.replay = &replay{start: start.Revision, at: start.Revision, known: map[Key]bool{}}
	return w, nil
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
	if w.replay != nil {
		changes, ok := f.since(w.replay.at, step)
		if len(changes) > 0 {
			defer w.signal()
			f.mu.Unlock()
			if !ok {
				return nil, w.replay.at, ErrFellBehind
			}
			events := w.tell(changes)
			return events, w.replay.at, nil
		}
		w.replay = nil
		if !w.stopped {
			f.watchers.add(w)
		}
	}
	defer f.mu.Unlock()
	return w.take(), f.revisions.newest.Load(), w.ended
}

// tell makes events of changes that the history remembers. Of what a client has,
// only the last change is told. What it has not is told when it came, with the newest
// sample since, and again by its last change: so a client that goes on from any
// revision that it has seen has all that there was at that revision.
func (w *Watcher[V]) tell(changes []change[V]) (events []*Event[V]) {
	r := w.replay
	for _, c := range changes {
		r.at = c.revision
		key := c.object.key()
		if t := c.turn; t != nil && t.old != nil {
			known := w.query.matches(key, (*t.old).attributes()) && r.knows(key, (*t.old).times())
			stays := t.is && w.query.matches(key, t.now)
			if known && !stays {
				events = append(events, &Event[V]{Deleted, *t.old})
			}
			r.known[key] = known && stays
		}
		v, ok := c.object.read(&w.query, nil)
		switch {
		case ok && v.times().revision == c.revision:
		case c.turn == nil || r.known[key]:
			continue // a later change tells
		case !ok || v.times().since != c.revision:
			last := c.turn.last.Load() // it has turned again
			if last == nil || !w.query.matches(key, (*last).attributes()) {
				continue
			}
			v = revised(*last, later(c.revision))
		default:
			v = revised(v, later(c.revision))
		}
		e := &Event[V]{Added, v}
		if r.knows(key, v.times()) {
			e.Type = Modified
		}
		r.at = v.times().revision
		r.known[key] = true
		events = append(events, e)
	}
	return events
}

// knows tells whether the client has an object whose attributes are as at some
// times.
func (r *replay) knows(k Key, t times) bool {
	known, changed := r.known[k]
	return known || !changed && t.since <= r.start
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
		l := w.feed.scan(&q, w.walk)
		if w.feed.settle(&l, &q, from, func() {
			if err = w.ended; err != nil {
				return
			}
			events = w.take()
			for _, v := range l.Items {
				events = append(events, &Event[V]{Added, v})
			}
			w.query.After = l.Last
			if w.paging = l.More; !w.paging {
				events = append(events, &Event[V]{Type: Synced})
				upTo = l.Revision
			}
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
	w.stopped = true
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
