// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"iter"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"weak"
)

const (
	// A feed remembers as many changes as there are in two rounds of scrapes and a
	// half, within these limits. Most are a sample newer, of which it does not
	// keep what it was, so that a change costs 32 bytes.
	minHistory, maxHistory = 1 << 13, 1 << 19
	// maxWaiting is how many events wait for one watcher before it is ended.
	maxWaiting = 1 << 14
)

// ErrExpired is the error for a watch from a revision that is not known any more,
// or that is not of this store: whoever asks has to list again.
var ErrExpired = errors.New("the changes since then are not known any more, or were never: list again")

// Value is what is served of an object.
type Value interface {
	PodUsage | NodeUsage
	// Key is the object's.
	Key() Key
	attributes() attributes
	times() times
}

// object is a pod or node as the store has it.
type object[V Value] interface {
	key() Key
	// read returns what is served now, and false if nothing is or the query
	// does not match. It takes the object's lock. The room may be nil.
	read(*Query, *room) (V, bool)
}

// times says when an object changed.
type times struct {
	revision uint64 // of its last change
	since    uint64 // of its change to being served with its present attributes
}

// feed orders the changes of all pods, or of all nodes, and hands them on. An
// object is changed and gets its revision with its lock held, and the feed's
// taken after it: so whoever reads objects after having read the newest revision
// sees at least that.
type feed[V Value] struct {
	revisions *revisions // shared by the feeds of a store, and read with the lock held

	mu     sync.Mutex
	served int // objects that are served
	// history are the last changes, as a ring: the oldest is history[oldest].
	history []change[V]
	oldest  int
	// forgotten is the newest revision that is not in the history.
	forgotten uint64
	watchers  routes[V]
	// concerned are those who get the change that is being published.
	concerned []concern[V]

	// released is what a list was made in. Garbage collection takes it.
	released weak.Pointer[listMemory[V]]
}

// change is an entry of the history.
type change[V Value] struct {
	revision uint64
	object   object[V]
	// turn is set when the object came to be served, or went, or has other
	// attributes than before.
	turn *turn[V]
}

// turn is what such a change means to watchers that catch up.
type turn[V Value] struct {
	old *V // what was served before, with the revision of the change; nil for nothing
	is  bool
	now attributes // if it is served after
	// last is what was served last before the turn after this one, nil if there was
	// none, or nothing is served.
	last atomic.Pointer[V]
}

func newFeed[V Value](r *revisions) *feed[V] {
	return &feed[V]{revisions: r, forgotten: r.first, watchers: newRoutes[V]()}
}

// transition is what a change does to what is served of an object: whether it was
// served before and is after, and what selectors see.
type transition struct {
	was, is  bool
	old, now attributes // if it was, and if it is
}

func (t *transition) sameAttributes() bool { return t.was && t.is && t.old == t.now }

// leaves tells whether some query that did match may not match any more.
func (t *transition) leaves() bool { return t.was && !t.sameAttributes() }

// revise gives a change its revision and its place in the history, and tells
// whether it has to be published. The lock is held.
func (f *feed[V]) revise(o object[V], before times, t *transition) (after times, publish bool) {
	after = times{revision: f.revisions.next(), since: before.since}
	if !t.sameAttributes() {
		after.since = after.revision
	}
	if t.is && !t.was {
		f.served++
	}
	if t.was && !t.is {
		f.served--
	}
	c := change[V]{revision: after.revision, object: o}
	if !t.sameAttributes() {
		c.turn = &turn[V]{is: t.is, now: t.now}
	}
	f.remember(c)
	f.concerned = f.watchers.find(f.concerned[:0], o.key(), t)
	return after, t.leaves() || len(f.concerned) > 0
}

func (f *feed[V]) remember(c change[V]) {
	if most := min(max(2*f.served+f.served/2, minHistory), maxHistory); len(f.history) == cap(f.history) && len(f.history) < most {
		longer := make([]change[V], 0, min(max(2*len(f.history), 64), most))
		f.history = append(append(longer, f.history[f.oldest:]...), f.history[:f.oldest]...)
		f.oldest = 0
	}
	if len(f.history) < cap(f.history) {
		f.history = append(f.history, c)
		return
	}
	f.forgotten = f.history[f.oldest].revision
	f.history[f.oldest] = c
	f.oldest = (f.oldest + 1) % len(f.history)
}

// at returns a change of the history, counted from the oldest.
func (f *feed[V]) at(i int) *change[V] { return &f.history[(f.oldest+i)%len(f.history)] }

// after returns the place of the oldest change after a revision.
func (f *feed[V]) after(revision uint64) int {
	return sort.Search(len(f.history), func(i int) bool { return f.at(i).revision > revision })
}

// publish hands on the change that revise has just numbered: old is what was
// served before it and now what is served, nil for nothing. The lock is held.
func (f *feed[V]) publish(t *transition, old, now *V) {
	if t.leaves() {
		f.at(len(f.history) - 1).turn.old = old
		since := (*old).times().since
		if i := f.after(since - 1); f.at(i).revision == since {
			f.at(i).turn.last.Store(old)
		}
	}
	var events [Deleted + 1]*Event[V] // by type: one for all who get it
	for _, c := range f.concerned {
		if events[c.event] == nil {
			v := now
			if c.event == Deleted {
				v = old
			}
			events[c.event] = &Event[V]{c.event, *v}
		}
		if !c.watcher.push(events[c.event]) {
			f.watchers.remove(c.watcher)
		}
	}
	clear(f.concerned)
}

// since returns at most n changes after a revision, oldest first, and false if
// some are forgotten. The lock is held.
func (f *feed[V]) since(revision uint64, n int) ([]change[V], bool) {
	first := f.after(revision)
	changes := make([]change[V], min(n, len(f.history)-first))
	for i := range changes {
		changes[i] = *f.at(first + i)
	}
	return changes, revision >= f.forgotten
}

// revision returns the newest: all changes of the feed's objects up to it can be
// read.
func (f *feed[V]) revision() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revisions.newest.Load()
}

// List is what a query finds, ordered by key.
type List[V Value] struct {
	Items []V
	// Revision is the state that the list shows: all changes up to it, and none
	// after it.
	Revision uint64
	// More is set when the query's limit was reached: the next page is that
	// after Last.
	More bool
	Last Key
	// Refused is set when the query's admission has refused the list. There is
	// nothing in it then.
	Refused bool

	memory *listMemory[V] // nil if it is of the list only
}

// listMemory is what a list of all is made in, and then the next, if the one before
// was released and its memory is not collected yet. For 150,000 pods it is 35 MB: if
// each list left as much garbage, to collect that would be a quarter of what it costs.
type listMemory[V Value] struct {
	feed  *feed[V]
	items []V
	room  room
}

// Release says that nothing of the list is used any more. Without it, its memory is
// garbage.
func (l List[V]) Release() {
	m := l.memory
	if m == nil {
		return
	}
	m.items, m.room.used, m.room.free = l.Items, 0, nil
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	m.feed.released = weak.Make(m)
}

// size returns how many objects are served, and how many of them a list of all may
// have with a limit, or 0 for none, and with those that come while it is read.
func (f *feed[V]) size(limit int) (n, served int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = f.served + f.served/16
	if limit > 0 {
		n = min(limit, n)
	}
	return n, f.served
}

// take returns memory for a list of n objects. A page does not take that of a list
// many times as long.
func (f *feed[V]) take(n int) *listMemory[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.released.Value()
	if m == nil || cap(m.items) > 2*n {
		return &listMemory[V]{feed: f, items: make([]V, 0, n)}
	}
	f.released = weak.Pointer[listMemory[V]]{}
	if cap(m.items) < n {
		m.items = make([]V, 0, n)
	}
	m.items = m.items[:0]
	return m
}

// walker goes through the objects that may match a query, in the order of their
// keys.
type walker[V Value] func(*Query) iter.Seq[object[V]]

// list reads the objects that match.
func (f *feed[V]) list(q *Query, walk walker[V]) List[V] {
	for try := 0; ; try++ {
		from := f.revision()
		l := f.scan(q, walk)
		if l.Refused || f.settle(&l, q, from, nil) {
			return l
		}
		// So much has changed while the list was read that the history does not
		// tell. What was read is at least as new as from, and a watch from there
		// tells the rest.
		if try == 3 {
			l.Revision = from
			l.cut(q.Limit)
			return l
		}
		l.Release()
	}
}

func (f *feed[V]) scan(q *Query, walk walker[V]) (l List[V]) {
	room := &room{}
	admitted, served := f.size(q.Limit)
	if !q.matchesAll() {
		admitted = min(admitted, unasked)
	} else if q.admit(admitted, served) { // a list that grows would be copied again and again
		l.memory = f.take(admitted)
		l.Items, room = l.memory.items, &l.memory.room
	} else {
		return List[V]{Refused: true}
	}
	for o := range walk(q) {
		v, ok := o.read(q, room)
		if !ok {
			continue
		}
		if q.Limit > 0 && len(l.Items) == q.Limit {
			l.More, l.Last = true, l.Items[len(l.Items)-1].Key()
			break
		}
		if len(l.Items) >= admitted {
			if admitted = growth(admitted, q.Limit); !q.admit(admitted, served) {
				l.Release()
				return List[V]{Refused: true}
			}
		}
		l.Items = append(l.Items, v)
	}
	return l
}

// growth is how many objects a list may have next, with a limit, or 0 for none.
func growth(n, limit int) int {
	if n = max(2*n, unasked); limit > 0 {
		n = min(n, limit)
	}
	return n
}

// settle makes of a list that was read since revision from one that shows a
// single revision, by reading again what has changed meanwhile, until nothing
// has: what has changed while that was read is much less each time. Then it calls
// done with the lock held, so that nothing is changed before done has returned. It
// returns false if the history does not reach back to from.
func (f *feed[V]) settle(l *List[V], q *Query, from uint64, done func()) bool {
	for {
		f.mu.Lock()
		changes, ok := f.since(from, maxHistory)
		from = f.revisions.newest.Load()
		if ok && len(changes) == 0 {
			l.Revision = from
			l.cut(q.Limit)
			if done != nil {
				done()
			}
		}
		f.mu.Unlock()
		if !ok || len(changes) == 0 {
			return ok
		}
		l.reread(changes, q)
	}
}

// reread brings a list up to date about what has changed.
func (l *List[V]) reread(changes []change[V], q *Query) {
	fresh := make(map[Key]*V, len(changes)) // nil if it is not to be listed
	for _, c := range changes {
		key := c.object.key()
		if q.After != (Key{}) && key.Compare(q.After) <= 0 || l.More && key.Compare(l.Last) > 0 {
			continue // of another page
		}
		if v, ok := c.object.read(q, nil); ok {
			fresh[key] = &v
		} else {
			fresh[key] = nil
		}
	}
	gone, listed := false, len(l.Items)
	for key, v := range fresh {
		i, found := slices.BinarySearchFunc(l.Items[:listed], key, func(v V, k Key) int { return v.Key().Compare(k) })
		switch {
		case found && v != nil:
			l.Items[i] = *v
		case found:
			gone = true
		case v != nil:
			l.Items = append(l.Items, *v)
		}
	}
	grown := len(l.Items) > listed
	if gone {
		l.Items = slices.DeleteFunc(l.Items, func(v V) bool {
			now, changed := fresh[v.Key()]
			return changed && now == nil
		})
	}
	if grown {
		slices.SortFunc(l.Items, func(a, b V) int { return a.Key().Compare(b.Key()) })
	}
}

// cut leaves to the next page what has come in beyond the limit.
func (l *List[V]) cut(limit int) {
	if limit > 0 && len(l.Items) > limit {
		l.Items = l.Items[:limit]
		l.More, l.Last = true, l.Items[limit-1].Key()
	}
}
