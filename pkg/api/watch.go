// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage"

	"github.com/kubemeter/metrics-server/pkg/store"
)

const (
	// bookmarkPeriod is how often a watch tells how far it is, as in Kubernetes.
	bookmarkPeriod = time.Minute
	// bookmarkBeforeEnd is how long before its end a watch tells it once more,
	// so that the next one begins with little to catch up on.
	bookmarkBeforeEnd = 2 * time.Second
	// resultsSize is how many events are made ready for the connection, which
	// sends what there is at once.
	resultsSize = 32
)

// stream makes of a store's watcher what the generic API server serves.
type stream[V store.Value] struct {
	resource string
	metrics  *Metrics
	object   func(*V) object
	bookmark func(metav1.ObjectMeta) runtime.Object

	watcher   *store.Watcher[V]
	bookmarks bool // the client asks for them
	initial   bool // the client asks for one after the objects of the beginning
	results   chan watch.Event
	stop      context.CancelFunc
}

// follow answers a watch request.
func follow[V store.Value](ctx context.Context, options *metainternalversion.ListOptions, reader Reader,
	open func(store.Query, store.Start) (*store.Watcher[V], error), s *stream[V],
) (watch.Interface, error) {
	revision, err := parseResourceVersion(options.ResourceVersion)
	if err != nil {
		return nil, err
	}
	q, err := query(ctx, options)
	if err != nil {
		return nil, err
	}
	initial := options.SendInitialEvents
	start := store.Start{Revision: revision, Current: revision == 0}
	if initial != nil {
		start.Current = *initial
		if current := reader.Revision(); *initial && revision > current {
			return nil, storage.NewTooLargeResourceVersionError(revision, current, 1)
		}
	}
	s.bookmarks = options.AllowWatchBookmarks
	s.initial = s.bookmarks && initial != nil && *initial
	s.watcher, err = open(q, start)
	if errors.Is(err, store.ErrExpired) {
		// As in Kubernetes, the 410 comes as an event.
		return errorEvent(expired(revision, reader.Revision())), nil
	}
	if err != nil {
		return nil, err
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.results = make(chan watch.Event, resultsSize)
	go s.run(ctx)
	return s, nil
}

// ResultChan implements watch.Interface.
func (s *stream[V]) ResultChan() <-chan watch.Event { return s.results }

// Stop implements watch.Interface.
func (s *stream[V]) Stop() { s.stop() }

func (s *stream[V]) run(ctx context.Context) {
	defer close(s.results)
	defer s.watcher.Stop()
	clk := s.metrics.clock
	next := clk.NewTimer(s.untilBookmark(ctx))
	defer next.Stop()
	for due := false; ; {
		events, revision, err := s.watcher.Next()
		for _, e := range events {
			if !s.send(ctx, e, revision) {
				return
			}
		}
		if err != nil {
			s.metrics.terminatedWatch(ctx, s.resource, genericapirequest.NamespaceValue(ctx), err)
			return
		}
		if due && revision != 0 && !s.put(ctx, s.bookmarkAt(revision, nil)) {
			return
		}
		due = false
		select {
		case <-ctx.Done():
			return
		case <-s.watcher.Ready():
		case <-next.C():
			next.Reset(s.untilBookmark(ctx))
			due = s.bookmarks
		}
	}
}

// untilBookmark is the time until the next bookmark.
func (s *stream[V]) untilBookmark(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		if left := end.Sub(s.metrics.clock.Now()) - bookmarkBeforeEnd; left > 0 && left < bookmarkPeriod {
			return left
		}
	}
	return bookmarkPeriod
}

// send hands an event to the connection, and returns false when the request has
// ended.
func (s *stream[V]) send(ctx context.Context, e *store.Event[V], revision uint64) bool {
	if e.Type == store.Synced {
		return !s.initial || s.put(ctx, s.bookmarkAt(revision, map[string]string{metav1.InitialEventsAnnotationKey: "true"}))
	}
	o := s.object(&e.Value) // the event is shared, and does not change
	if e.Type != store.Deleted {
		s.metrics.served(o.timestamp())
	}
	return s.put(ctx, watch.Event{Type: eventTypes[e.Type], Object: o})
}

var eventTypes = map[store.EventType]watch.EventType{
	store.Added: watch.Added, store.Modified: watch.Modified, store.Deleted: watch.Deleted,
}

func (s *stream[V]) bookmarkAt(revision uint64, annotations map[string]string) watch.Event {
	return watch.Event{Type: watch.Bookmark, Object: s.bookmark(metav1.ObjectMeta{
		ResourceVersion: resourceVersion(revision), Annotations: annotations,
	})}
}

func (s *stream[V]) put(ctx context.Context, e watch.Event) bool {
	select {
	case s.results <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// errorEvent is a watch that has only an error to tell.
func errorEvent(err error) watch.Interface {
	w := watch.NewFakeWithChanSize(1, false)
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		object := status.Status()
		w.Error(&object)
	}
	w.Stop()
	return w
}
