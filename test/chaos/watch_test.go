// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const (
	// followFor is how long a watch goes on before it is held against a list.
	followFor = 12 * time.Second
	// reachWithin is how long it may take until it has come to that list's revision.
	reachWithin = 30 * time.Second
)

// resource is what is watched.
type resource struct {
	name  string
	list  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func (r *reader) watchPods(random *rand.Rand) {
	o := metav1.ListOptions{}
	if random.IntN(2) == 0 {
		o.LabelSelector = "app in (web,cart)"
	}
	pods := r.watcher.PodMetricses("")
	r.follow(resource{
		"pods", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) }, pods.Watch,
	}, o)
}

func (r *reader) watchNodes(*rand.Rand) {
	nodes := r.watcher.NodeMetricses()
	r.follow(resource{
		"nodes", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return nodes.List(ctx, o) }, nodes.Watch,
	}, metav1.ListOptions{})
}

// follow lists, watches from there for a while, lists again, and holds what the events
// have led to against that.
func (r *reader) follow(of resource, o metav1.ListOptions) {
	ctx, cancel := context.WithTimeout(r.t.Context(), followFor+reachWithin+2*requestTimeout)
	defer cancel()
	began := time.Now()
	first, err := of.list(ctx, o)
	if err != nil {
		r.m.failed("a list before a watch of "+of.name, false, began, err)
		return
	}
	has, revision := contents(first)
	from := o
	from.ResourceVersion, from.AllowWatchBookmarks = strconv.FormatUint(revision, 10), true
	w, err := of.watch(ctx, from)
	if err != nil {
		r.m.failed("a watch of "+of.name, false, began, err)
		return
	}
	defer w.Stop()
	var wanted map[string]uint64
	var until uint64
	enough := time.After(followFor)
	late := time.After(followFor + requestTimeout + reachWithin)
	for {
		select {
		case <-enough:
			asked := time.Now()
			second, err := of.list(ctx, o)
			if err != nil {
				r.m.failed("a list after a watch of "+of.name, false, latest(began, asked), err)
				return
			}
			wanted, until = contents(second)
			if revision > until && r.undisturbed(began) {
				r.problem("a list of %s has revision %d, and %d was watched before", of.name, until, revision)
				return
			}
		case <-late:
			if r.undisturbed(began) {
				r.problem("a watch of %s has not come from %d to the revision of a list, %d", of.name, revision, until)
			}
			return
		case e, ok := <-w.ResultChan():
			if !ok || e.Type == watch.Error {
				if r.undisturbed(began) {
					r.problem("a watch of %s has ended at %d: %s", of.name, revision, describeEvent(e))
				}
				return
			}
			next := revisionOf(e.Object)
			if wanted == nil || next <= until {
				if problem := apply(has, e, revision); problem != "" {
					r.problem("a watch of %s: %s", of.name, problem)
					return
				}
				r.checkEvent(e, began)
			}
			revision = max(revision, next)
		}
		if wanted != nil && revision >= until {
			if different := differences(has, wanted); len(different) > 0 && r.undisturbed(began) {
				r.problem("a watch of %s has not led to the list of revision %d: %s", of.name, until, strings.Join(different, ", "))
			}
			r.m.count("watches that led to the list")
			return
		}
	}
}

// undisturbed is false if the server or the API server has ended since, or has just
// come back: then a watch may break.
func (r *reader) undisturbed(since time.Time) bool {
	r.m.mu.RLock()
	defer r.m.mu.RUnlock()
	up := latest(r.m.serverUp, r.m.apiUp)
	return !r.m.serverUp.IsZero() && !r.m.apiUp.IsZero() && up.Before(since) && r.m.ended.Before(since)
}

func (r *reader) problem(format string, args ...any) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.m.problem(format, args...)
}

// checkEvent checks the value of an event, which is of now or of a little before.
func (r *reader) checkEvent(e watch.Event, began time.Time) {
	r.m.count("events")
	if e.Type != watch.Added && e.Type != watch.Modified {
		return
	}
	now := time.Now()
	from := latest(began, now.Add(-margin))
	switch o := e.Object.(type) {
	case *metrics.PodMetrics:
		r.m.checkPod(o, from, now)
	case *metrics.NodeMetrics:
		r.m.checkNode(o, from, now)
	}
}

// apply changes what there is by an event that comes after a revision.
func apply(has map[string]uint64, e watch.Event, after uint64) (problem string) {
	revision := revisionOf(e.Object)
	if e.Type == watch.Bookmark {
		return ""
	}
	key, err := cache.MetaNamespaceKeyFunc(e.Object)
	if err != nil {
		return err.Error()
	}
	known, ok := has[key]
	if revision <= after || ok == (e.Type == watch.Added) || revision <= known {
		return fmt.Sprintf("%s is %s at %d, after %d; it was known at %d", key, e.Type, revision, after, known)
	}
	if has[key] = revision; e.Type == watch.Deleted {
		delete(has, key)
	}
	return ""
}

// contents are the revisions of the objects of a list, and its own.
func contents(list runtime.Object) (has map[string]uint64, revision uint64) {
	has = map[string]uint64{}
	_ = meta.EachListItem(list, func(o runtime.Object) error { // it is a list
		key, err := cache.MetaNamespaceKeyFunc(o)
		has[key] = revisionOf(o)
		return err
	})
	m, _ := meta.ListAccessor(list)
	return has, parseRevision(m.GetResourceVersion())
}

func revisionOf(o runtime.Object) uint64 {
	m, err := meta.Accessor(o)
	if err != nil {
		return 0
	}
	return parseRevision(m.GetResourceVersion())
}

// parseRevision returns 0, which none has, for what is none.
func parseRevision(s string) uint64 {
	revision, _ := strconv.ParseUint(s, 10, 64)
	return revision
}

func differences(a, b map[string]uint64) (all []string) {
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if a[key] != b[key] {
			all = append(all, fmt.Sprintf("%s: watched %d, listed %d", key, a[key], b[key]))
		}
	}
	return all
}

func describeEvent(e watch.Event) string {
	if status, ok := e.Object.(*metav1.Status); ok {
		return status.Message
	}
	return "the connection has ended"
}
