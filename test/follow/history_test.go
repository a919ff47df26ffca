// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// remembered is how many events are kept of each object, to print them.
const remembered = 8

// history is what the handlers of an informer are told. It implements
// cache.ResourceEventHandler, and finds what does not fit together.
type history struct {
	mu     sync.Mutex
	known  map[string]uint64 // the revision of each object
	gone   map[string]uint64 // the revision of the end of each that is no more
	recent map[string][]string
	counts map[watch.EventType]int
	// retold is a revision before which a watch tells what may be on the later
	// pages of a list already: it begins at the revision of the first.
	retold uint64
	// problems are what must not happen.
	problems []string
}

func newHistory() *history {
	return &history{
		known: map[string]uint64{}, gone: map[string]uint64{}, recent: map[string][]string{},
		counts: map[watch.EventType]int{},
	}
}

func (h *history) OnAdd(o any, initial bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key, revision := keyOf(o), revisionOf(o)
	if known := h.known[key]; known != 0 {
		h.problem("%s is added at %d, and was known at %d", key, revision, known)
	}
	if gone := h.gone[key]; revision <= gone {
		h.problem("%s is added at %d, and was gone at %d", key, revision, gone)
	}
	h.known[key] = revision
	delete(h.gone, key)
	if initial {
		h.remember(key, "initial %d", revision)
		return
	}
	h.counts[watch.Added]++
	h.remember(key, "added %d", revision)
}

func (h *history) OnUpdate(old, o any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key, revision := keyOf(o), revisionOf(o)
	known := h.known[key]
	if known == 0 || known != revisionOf(old) || revision < known && revision >= h.retold {
		h.problem("%s is modified from %d to %d, and was known at %d", key, revisionOf(old), revision, known)
	}
	if revision == known { // it was listed again
		if !equality.Semantic.DeepEqual(old, o) {
			h.problem("%s is not the same any more at revision %d: %s, was %s", key, revision, text(o), text(old))
		}
		return
	}
	h.known[key] = revision
	h.counts[watch.Modified]++
	h.remember(key, "modified %d", revision)
}

func (h *history) OnDelete(o any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key, known := keyOf(o), h.known[keyOf(o)]
	if unseen, ok := o.(cache.DeletedFinalStateUnknown); ok {
		// It was missing from a list: when it ended is not known.
		if revision := revisionOf(unseen.Obj); known == 0 || revision != known {
			h.problem("%s is missing, was last seen at %d, and was known at %d", key, revision, known)
		}
		h.gone[key] = known
	} else {
		revision := revisionOf(o)
		if (known == 0 || revision <= known) && revision >= h.retold {
			h.problem("%s is deleted at %d, and was known at %d", key, revision, known)
		}
		h.gone[key] = revision
	}
	delete(h.known, key)
	h.counts[watch.Deleted]++
	h.remember(key, "deleted %d", h.gone[key])
}

func (h *history) retoldBefore(revision uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retold = revision
}

func (h *history) isNew(revision uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return revision >= h.retold
}

// problem notes what is wrong. The lock is held.
func (h *history) problem(format string, args ...any) {
	if len(h.problems) < 20 { // the rest tells no more
		h.problems = append(h.problems, fmt.Sprintf(format, args...))
	}
}

func (h *history) takeProblems() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	problems := h.problems
	h.problems = nil
	return problems
}

// remember keeps an event of an object. The lock is held.
func (h *history) remember(key, format string, args ...any) {
	events := h.recent[key]
	if len(events) == remembered {
		events = slices.Delete(events, 0, 1)
	}
	h.recent[key] = append(events, fmt.Sprintf(format, args...))
}

func (h *history) recentOf(key string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.recent[key])
}

func (h *history) count(t watch.EventType) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts[t]
}

func (h *history) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return countsText(h.counts)
}

// stream looks at the lists and watches of one client as they come, before the
// informer has smoothed them, and notes in the history what no API server does.
type stream struct {
	history *history

	mu      sync.Mutex
	known   map[string]uint64
	newest  uint64
	initial bool // what there was at the beginning is being told
}

// listed sees a list, or a further page of one.
func (s *stream) listed(list runtime.Object, further bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if further {
		s.history.retoldBefore(math.MaxUint64) // how far it goes is known when a watch has begun
	} else {
		s.known = map[string]uint64{}
	}
	items, _ := meta.ExtractList(list) // it is a list
	for _, o := range items {
		s.known[keyOf(o)] = revisionOf(o)
	}
	s.newest = listRevision(list)
}

// begins sees that a watch begins, and returns whether it tells again what pages
// may have shown.
func (s *stream) begins(o metav1.ListOptions) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := parseRevision(o.ResourceVersion)
	if s.initial = o.SendInitialEvents != nil && *o.SendInitialEvents; s.initial {
		s.known, s.newest = map[string]uint64{}, 0
	} else if from != s.newest {
		s.problem("a watch begins at %d, and %d was the last seen", from, s.newest)
	}
	return !s.initial && !s.history.isNew(from)
}

// sees is for watch.Filter, and leaves nothing out.
func (s *stream) sees(e watch.Event) (watch.Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Type == watch.Error {
		return e, true
	}
	revision := revisionOf(e.Object)
	if e.Type == watch.Bookmark {
		if revision < s.newest {
			s.problem("a bookmark has %d after %d", revision, s.newest)
		}
		s.initial, s.newest = false, revision
		return e, true
	}
	key := keyOf(e.Object)
	known, ok := s.known[key]
	unexpected := ok == (e.Type == watch.Added)
	if (unexpected || revision <= known) && s.history.isNew(revision) {
		s.problem("%s is %s at %d, and was known at %d", key, e.Type, revision, known)
	}
	if revision <= s.newest && !s.initial {
		s.problem("%s is %s at %d, after %d", key, e.Type, revision, s.newest)
	}
	s.newest = max(s.newest, revision)
	if s.known[key] = revision; e.Type == watch.Deleted {
		delete(s.known, key)
	}
	return e, true
}

func (s *stream) problem(format string, args ...any) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	s.history.problem("on the wire: "+format, args...)
}
