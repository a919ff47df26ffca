// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	metricsv1 "k8s.io/metrics/pkg/apis/metrics/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"
)

// attempts is how many lists a check makes until the informer has been found at
// the revision of one: it takes many changes at a time.
const attempts = 30

// lookPeriod is how often an informer is looked at that changes.
const lookPeriod = 2 * time.Millisecond

// follower is an informer, and what it takes to check it.
type follower struct {
	name     string
	informer cache.SharedIndexInformer
	// list does not go through a proxy.
	list     func(context.Context) (runtime.Object, error)
	requests requests
	history  *history

	checks, retries int
	// begun are the requests that had begun when it was last found to be as
	// listed.
	begun int
}

// followers are informers of all kinds, whose clients reach the API server at
// host.
var followers = []func(t *testing.T, host string) *follower{
	func(t *testing.T, host string) *follower {
		return newTyped(t, "pods, v1, protobuf", host, runtime.ContentTypeProtobuf, &metricsv1.PodMetrics{}, 0, all,
			func(c metricsclient.Interface) client[*metricsv1.PodMetricsList] {
				return c.MetricsV1().PodMetricses("")
			})
	},
	func(t *testing.T, host string) *follower {
		return newDynamic(t, "pods, v1beta1, dynamic", host, metricsv1beta1.SchemeGroupVersion.WithResource("pods"), all)
	},
	func(t *testing.T, host string) *follower {
		return newTyped(t, "pods of two tiers, v1beta1, JSON, listed in pages", host, runtime.ContentTypeJSON, &metricsv1beta1.PodMetrics{}, 10,
			func(o *metav1.ListOptions) { o.LabelSelector = "tier in (a,b)" },
			func(c metricsclient.Interface) client[*metricsv1beta1.PodMetricsList] {
				return c.MetricsV1beta1().PodMetricses("")
			})
	},
	func(t *testing.T, host string) *follower {
		return newDynamic(t, "pods of a node, v1, dynamic", host, metricsv1.SchemeGroupVersion.WithResource("pods"),
			func(o *metav1.ListOptions) { o.FieldSelector = "spec.nodeName=node-3" })
	},
	func(t *testing.T, host string) *follower {
		return newDynamic(t, "nodes, v1, dynamic", host, metricsv1.SchemeGroupVersion.WithResource("nodes"), all)
	},
}

// all selects nothing.
func all(*metav1.ListOptions) {}

// client is what the clientset has for each resource.
type client[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// listsInPages is whether an informer lists in pages, as those of before
// Kubernetes 1.35 do, and not by a watch.
type listsInPages bool

// IsWatchListSemanticsUnSupported is what reflectors ask.
func (b listsInPages) IsWatchListSemanticsUnSupported() bool { return bool(b) }

// newTyped follows with the clientset of k8s.io/metrics. That has no informers of
// its own: this is what its users do. With a page size, it lists in pages.
func newTyped[L runtime.Object](t *testing.T, name, host, contentType string, example runtime.Object, pageSize int64,
	narrow func(*metav1.ListOptions), of func(metricsclient.Interface) client[L],
) *follower {
	t.Helper()
	f := &follower{name: name, history: newHistory()}
	clientOf := func(config *rest.Config) client[L] {
		config.ContentType, config.AcceptContentTypes = contentType, contentType
		set, err := metricsclient.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		return of(set)
	}
	direct, through := clientOf(local.AdminConfig()), clientOf(f.config(host))
	f.list = func(ctx context.Context) (runtime.Object, error) {
		o := metav1.ListOptions{}
		narrow(&o)
		return direct.List(ctx, o)
	}
	s := stream{history: f.history}
	f.informer = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			narrow(&o)
			o.Limit = pageSize
			list, err := through.List(ctx, o)
			if err != nil {
				return nil, err
			}
			s.listed(list, o.Continue != "")
			return list, nil
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			narrow(&o)
			w, err := through.Watch(ctx, o)
			if err != nil {
				return nil, err
			}
			if s.begins(o) {
				now, err := direct.List(ctx, metav1.ListOptions{Limit: 1})
				if err != nil {
					w.Stop()
					return nil, err
				}
				f.history.retoldBefore(listRevision(now) + 1)
			}
			return drained{watch.Filter(w, s.sees)}, nil
		},
	}, listsInPages(pageSize != 0)), example, 0, cache.Indexers{})
	f.listen(t)
	return f
}

// newDynamic follows with an informer of the dynamic client.
func newDynamic(t *testing.T, name, host string, resource schema.GroupVersionResource, narrow func(*metav1.ListOptions)) *follower {
	t.Helper()
	f := &follower{name: name, history: newHistory()}
	direct, err := dynamic.NewForConfig(local.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	through, err := dynamic.NewForConfig(f.config(host))
	if err != nil {
		t.Fatal(err)
	}
	f.list = func(ctx context.Context) (runtime.Object, error) {
		o := metav1.ListOptions{}
		narrow(&o)
		return direct.Resource(resource).List(ctx, o)
	}
	f.informer = dynamicinformer.NewFilteredDynamicInformer(through, resource, "", 0, cache.Indexers{}, narrow).Informer()
	f.listen(t)
	return f
}

// config is that of the informer's client. It has connections of its own, so that
// not all informers meet with the same fate.
func (f *follower) config(host string) *rest.Config {
	config := local.AdminConfig()
	config.Host = host
	config.Dial = (&net.Dialer{}).DialContext
	config.Wrap(f.requests.wrap)
	return config
}

func (f *follower) listen(t *testing.T) {
	t.Helper()
	if _, err := f.informer.AddEventHandler(f.history); err != nil {
		t.Fatal(err)
	}
}

func (f *follower) waitSynced(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), f.informer.HasSynced) {
		t.Fatalf("%s: not synced", f.name)
	}
}

// content is what there is at a revision, by namespace and name.
type content struct {
	revision uint64
	objects  map[string]runtime.Object
}

// revision is that of what the informer has.
func (f *follower) revision() uint64 {
	return parseRevision(f.informer.GetStore().LastStoreSyncResourceVersion())
}

// stored is what the informer has.
func (f *follower) stored() content {
	for {
		c := content{f.revision(), map[string]runtime.Object{}}
		for _, o := range f.informer.GetStore().List() {
			c.objects[keyOf(o)] = o.(runtime.Object)
		}
		if c.revision == f.revision() {
			return c
		}
	}
}

// listed is what a new list has.
func (f *follower) listed(ctx context.Context) (content, error) {
	list, err := f.list(ctx)
	if err != nil {
		return content{}, err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return content{}, err
	}
	c := content{listRevision(list), map[string]runtime.Object{}}
	last := ""
	for _, o := range items {
		key := keyOf(o)
		order := strings.ReplaceAll(key, "/", "\x00")
		if order <= last {
			return content{}, fmt.Errorf("%q is listed after %q", order, last)
		}
		last = order
		c.objects[key] = o
	}
	return c, nil
}

// check holds what the informer has against a list.
func (f *follower) check(t *testing.T) {
	t.Helper()
	if problem := f.compare(t); problem != "" {
		t.Errorf("%s: %s", f.name, problem)
	}
	if problems := f.history.takeProblems(); len(problems) > 0 {
		t.Errorf("%s: %s", f.name, strings.Join(problems, "\n"))
	}
}

func (f *follower) compare(t *testing.T) string {
	deadline := time.Now().Add(patience)
	problem := "never found at the revision of a list"
	for range attempts {
		begun := f.requests.begun()
		list, states, err := f.listAndRecord(t.Context())
		if err != nil {
			return err.Error()
		}
		if seen := states[0].revision; list.revision < seen {
			return fmt.Sprintf("a list shows revision %d when %d has been watched", list.revision, seen)
		}
		for at := 0; ; {
			for at+1 < len(states) && states[at+1].revision <= list.revision {
				at++
			}
			different := states[at].differences(list)
			if len(different) == 0 {
				f.checks++
				f.begun = begun
				return ""
			}
			found := ""
			if states[at].revision == list.revision {
				found = "not as listed: " + f.explain(different, states[at], list)
			} else if at+1 < len(states) { // it has passed
				found = f.compareOld(states[at+1], list)
			}
			if found != "" && f.requests.begun() == f.begun {
				return found
			}
			if found != "" || at+1 < len(states) {
				// A watch that has begun from a revision tells the newest state of
				// each object, in the order of their revisions: until that is done,
				// what is to change again is older than the informer's says.
				problem = cmp.Or(found, problem)
				break
			}
			for f.revision() == states[at].revision {
				if t.Failed() {
					return "" // another's failure
				}
				if time.Now().After(deadline) {
					return "behind: " + f.explain(different, states[at], list)
				}
				time.Sleep(lookPeriod)
			}
			states = append(states, f.stored())
		}
		f.retries++
	}
	return fmt.Sprintf("%d attempts: %s", attempts, problem)
}

// listAndRecord returns a list, and the states of the informer from just before
// until it has arrived: that of the list is mostly one of them.
func (f *follower) listAndRecord(ctx context.Context) (list content, states []content, err error) {
	states = []content{f.stored()}
	arrived := make(chan struct{})
	var recording sync.WaitGroup
	recording.Go(func() {
		for {
			select {
			case <-arrived:
				return
			case <-time.After(lookPeriod):
				if f.revision() != states[len(states)-1].revision {
					states = append(states, f.stored())
				}
			}
		}
	})
	list, err = f.listed(ctx)
	close(arrived)
	recording.Wait()
	return list, states, err
}

// compareOld compares with a list from before what has not changed since.
func (f *follower) compareOld(have, list content) string {
	different := slices.DeleteFunc(have.differences(list), func(key string) bool {
		return have.objects[key] == nil || revisionOf(have.objects[key]) > list.revision
	})
	if len(different) > 0 {
		return "older than a list, and different: " + f.explain(different, have, list)
	}
	return ""
}

// differences are the keys of objects that are not the same, sorted.
func (c content) differences(other content) (keys []string) {
	for key, o := range c.objects {
		if !equality.Semantic.DeepEqual(o, other.objects[key]) {
			keys = append(keys, key)
		}
	}
	for key := range other.objects {
		if c.objects[key] == nil {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// explain shows some objects that differ, and what has happened to them.
func (f *follower) explain(keys []string, have, list content) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d objects differ; the informer has %d at revision %d, the list %d at %d\n",
		len(keys), len(have.objects), have.revision, len(list.objects), list.revision)
	for _, key := range keys[:min(len(keys), 5)] {
		fmt.Fprintf(&b, "%s\n  stored %s\n  listed %s\n", key, text(have.objects[key]), text(list.objects[key]))
		for _, e := range f.history.recentOf(key) {
			fmt.Fprintf(&b, "  %s\n", e)
		}
	}
	return b.String()
}

func text(o any) string {
	out, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// report says what has happened.
func (f *follower) report(t *testing.T) {
	t.Helper()
	t.Logf("%s: %d checks, %d retries; events %s; requests %s", f.name, f.checks, f.retries, f.history, &f.requests)
}

// requireEveryEvent fails the test if nothing of some kind has happened.
func (f *follower) requireEveryEvent(t *testing.T) {
	t.Helper()
	for _, kind := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted} {
		if f.history.count(kind) == 0 {
			t.Errorf("%s: there was no %s", f.name, kind)
		}
	}
}

func keyOf(o any) string {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o)
	if err != nil {
		panic(err) // all are API objects
	}
	return key
}

func revisionOf(o any) uint64 {
	m, err := meta.Accessor(o)
	if err != nil {
		panic(err) // as above
	}
	return parseRevision(m.GetResourceVersion())
}

func listRevision(list runtime.Object) uint64 {
	m, err := meta.ListAccessor(list)
	if err != nil {
		panic(err) // all are lists
	}
	return parseRevision(m.GetResourceVersion())
}

// parseRevision returns 0, which none has, for what is none.
func parseRevision(s string) uint64 {
	revision, _ := strconv.ParseUint(s, 10, 64)
	return revision
}

// counts as text, in a steady order.
func countsText[K ~string](counts map[K]int) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%s %d", k, counts[k]))
	}
	return strings.Join(all, ", ")
}

// drained is a watch that takes what nobody does after its end: a filter that waits
// for that never ends.
type drained struct{ watch.Interface }

func (d drained) Stop() {
	d.Interface.Stop()
	go func() {
		for range d.ResultChan() {
		}
	}()
}
