// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package nodeevent writes Events about nodes without metrics where operators look:
// beside the Node, and beside the APIService when there are many.
//
// All replicas see the same nodes. An Event has a name that they share, so that the
// second to write it finds it there; what happens again is counted in its series. The
// recorder of client-go names Events by the time, and starts a goroutine for each.
package nodeevent

import (
	"context"
	"encoding/json"
	"math"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/scrape"
)

const (
	// maxWaiting is how many Events wait while the API server is away. What is more
	// takes the place of the oldest.
	maxWaiting = 64
	// keptFor is how long it is tried to write an Event: as long as the API server
	// keeps those that it has, unless told otherwise.
	keptFor = time.Hour
	// maxRefused is how often in a row Events are refused for lack of rights until
	// they are given up at once: an API server that has just started refuses them
	// before it has read the rights.
	maxRefused = 5
	// requestTimeout is for one Event.
	requestTimeout = 10 * time.Second
)

// retry is how long to wait between two attempts.
var retry = wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.2, Steps: math.MaxInt32, Cap: time.Minute}

var apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

// Config is what a Recorder is made of.
type Config struct {
	Client  eventsclient.EventsV1Interface
	Dynamic dynamic.Interface
	Clock   clock.Clock
	// Instance names this process, with 128 bytes at most.
	Instance string
}

// Recorder writes Events one after the other, behind whoever records them. It
// implements scrape.Events; its methods are safe for concurrent use.
type Recorder struct {
	Config
	waiting chan event

	// Those of Run.
	refused int  // so often in a row
	failing bool // the last attempt has failed
}

var _ scrape.Events = (*Recorder)(nil)

// New returns a recorder that keeps Events until Run.
func New(c Config) *Recorder {
	return &Recorder{Config: c, waiting: make(chan event, maxWaiting)}
}

// put never blocks.
func (r *Recorder) put(e event) {
	for {
		select {
		case r.waiting <- e:
			return
		default:
		}
		select {
		case old := <-r.waiting:
			giveUp(old, "more wait to be written than are kept")
		default:
		}
	}
}

// Run writes until ctx is cancelled. It is called once.
func (r *Recorder) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-r.waiting:
			r.deliver(ctx, e)
		}
	}
}

// deliver tries until an Event is written, or it makes no sense any more.
func (r *Recorder) deliver(ctx context.Context, e event) {
	backoff := retry
	for {
		err := r.write(ctx, e)
		if ctx.Err() != nil || r.isSettled(e, err) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-r.Clock.After(backoff.Step()):
		}
	}
}

// isSettled tells whether an Event is written or given up, and logs what is new.
func (r *Recorder) isSettled(e event, err error) bool {
	if err == nil {
		if r.failing {
			klog.InfoS("Events are written again")
		}
		r.failing, r.refused = false, 0
		return true
	}
	if !apierrors.IsForbidden(err) {
		r.refused = 0
	} else if r.refused++; r.refused >= maxRefused {
		if r.refused == maxRefused {
			klog.ErrorS(err, "No Events are written for nodes without metrics: grant get, create and patch of events.events.k8s.io in namespace "+
				Namespace+", as the Role metrics-server-events of the manifests does")
		}
		r.failing = true
		return true
	}
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		klog.ErrorS(err, "The API server does not take an Event", "regarding", e.Regarding.Name, "reason", e.Reason)
		return true
	case r.Clock.Since(e.EventTime.Time) >= keptFor:
		giveUp(e, "it could not be written for too long")
		return true
	}
	if !r.failing && !apierrors.IsForbidden(err) && !apierrors.IsConflict(err) {
		r.failing = true
		klog.ErrorS(err, "Writing an Event fails and is tried again", "regarding", e.Regarding.Name, "reason", e.Reason)
	}
	return false
}

func giveUp(e event, why string) {
	klog.InfoS("An Event is given up", "why", why, "regarding", e.Regarding.Name, "reason", e.Reason, "note", e.Note)
}

// write makes one attempt.
func (r *Recorder) write(ctx context.Context, e event) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if e.Regarding.Kind == apiServiceKind {
		e.Regarding.UID = r.apiServiceUID(ctx)
	}
	events := r.Client.Events(Namespace)
	_, err := events.Create(ctx, e.Event, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	was, err := events.Get(ctx, e.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	count, last := int32(1), was.EventTime
	if was.Series != nil {
		count, last = was.Series.Count, was.Series.LastObservedTime
	}
	if !last.Time.Before(e.since) {
		return nil // another replica has written it, or we have and did not hear of it
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": was.ResourceVersion},
		"series":   eventsv1.EventSeries{Count: count + 1, LastObservedTime: e.EventTime},
	})
	if err != nil {
		return err
	}
	_, err = events.Patch(ctx, e.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// apiServiceUID is "" if we may not know it: kubectl describe does not show the Event
// then, and kubectl get events does.
func (r *Recorder) apiServiceUID(ctx context.Context) types.UID {
	object, err := r.Dynamic.Resource(apiServices).Get(ctx, APIService, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	return object.GetUID()
}
