// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package corestub

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// watch tells of all objects where it is to begin with them, and then of what changes,
// until it is over.
func (s *Stub) watch(w http.ResponseWriter, r *http.Request, c collection) {
	query := r.URL.Query()
	var over <-chan time.Time // never, by default
	if timeout := query.Get("timeoutSeconds"); timeout != "" {
		seconds, err := strconv.Atoi(timeout)
		if err != nil || seconds < 0 {
			fail(w, r, apierrors.NewBadRequest("timeoutSeconds is not a number of seconds"))
			return
		}
		timer := s.options.Clock.NewTimer(time.Duration(seconds) * time.Second)
		defer timer.Stop()
		over = timer.C()
	}
	toEnd := query.Get("sendInitialEvents") == "true"
	from := query.Get("resourceVersion")
	initial := toEnd || from == "" || from == "0"
	if initial {
		from = c.version
	}
	at, err := strconv.Atoi(from)
	if err != nil {
		fail(w, r, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion=%q is not from a list or an event", from)))
		return
	}
	if _, err := s.since(at); err != nil && !c.still {
		fail(w, r, err)
		return
	}
	events := newEventWriter(w, r)
	if initial {
		for i := range c.size {
			if events.write(watch.Added, c, c.object(i)) != nil {
				return
			}
		}
	}
	if toEnd && events.bookmark(c, true) != nil || events.flush() != nil {
		return
	}
	s.follow(r, events, c, at, over)
}

// follow tells of what changes after a version.
func (s *Stub) follow(r *http.Request, events *eventWriter, c collection, at int, over <-chan time.Time) {
	ticker := s.options.Clock.NewTicker(bookmarkPeriod)
	defer ticker.Stop()
	var more <-chan struct{}
	for {
		if !c.still {
			news, err := s.since(at)
			if err != nil {
				return // it is too slow, and hears so when it begins again
			}
			if events.changes(c, news) != nil {
				return
			}
			at, more = news.version, news.more
			c.version = strconv.Itoa(at)
		}
		select {
		case <-more:
		case <-over:
			return
		case <-s.stopped:
			return
		case <-r.Context().Done():
			return
		case <-ticker.C():
			if r.URL.Query().Get("allowWatchBookmarks") == "true" && (events.bookmark(c, false) != nil || events.flush() != nil) {
				return
			}
		}
	}
}

// eventWriter sends events in the form that a request asks for.
type eventWriter struct {
	control *http.ResponseController
	out     *bufio.Writer
	object  runtime.Serializer // for what an event is about
	stream  streaming.Encoder  // for events
	buffer  bytes.Buffer
}

func newEventWriter(w http.ResponseWriter, r *http.Request) *eventWriter {
	e := &eventWriter{control: http.NewResponseController(w), out: bufio.NewWriterSize(w, 64<<10)}
	var contentType string
	contentType, e.object = serializer(r)
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), contentType)
	if contentType == protobufType {
		contentType += ";stream=watch"
	}
	e.stream = streaming.NewEncoder(info.StreamSerializer.NewFrameWriter(e.out), info.StreamSerializer.Serializer)
	w.Header().Set("Content-Type", contentType)
	return e
}

func (e *eventWriter) write(event watch.EventType, c collection, o object) error {
	// On a watch, each object says what it is.
	o.GetObjectKind().SetGroupVersionKind(c.kind)
	e.buffer.Reset()
	if err := e.object.Encode(o, &e.buffer); err != nil {
		return err
	}
	return e.stream.Encode(&metav1.WatchEvent{Type: string(event), Object: runtime.RawExtension{Raw: e.buffer.Bytes()}})
}

// changes tells of those of a collection.
func (e *eventWriter) changes(c collection, n *news) error {
	told := false
	for i, change := range n.changes {
		if !c.has(change.Object) {
			continue
		}
		o := change.Object.DeepCopyObject().(object)
		o.SetResourceVersion(strconv.Itoa(n.version - len(n.changes) + 1 + i))
		if err := e.write(change.Type, c, c.form(o)); err != nil {
			return err
		}
		told = true
	}
	if !told {
		return nil
	}
	return e.flush()
}

// bookmark may mark the end of the initial events.
func (e *eventWriter) bookmark(c collection, end bool) error {
	bookmark := c.empty()
	bookmark.SetResourceVersion(c.version)
	if end {
		bookmark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return e.write(watch.Bookmark, c, bookmark)
}

func (e *eventWriter) flush() error {
	if err := e.out.Flush(); err != nil {
		return err
	}
	return e.control.Flush()
}
