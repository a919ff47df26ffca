// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package nodeevent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/scrape"
)

var (
	node       = kubelet.Node{Name: "node-1", UID: "uid-1"}
	errTimeout = errors.New("timeout")
	resource   = schema.GroupResource{Group: eventsv1.GroupName, Resource: "events"}
)

// fixture is an API server, and recorders that write to it.
type fixture struct {
	client  *fake.Clientset
	dynamic *dynamicfake.FakeDynamicClient

	mu       sync.Mutex
	refusal  error // of the API server, for all verbs in refuses
	refuses  string
	requests int
}

// run calls test in a bubble in which time passes only while nothing else happens. It
// returns the lines that were logged.
func run(t *testing.T, test func(*testing.T, *fixture)) (lines []string) {
	t.Helper()
	var log bytes.Buffer
	klog.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log))))
	defer klog.ClearLogger()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{client: fake.NewClientset(), dynamic: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())}
		f.client.PrependReactor("*", "events", func(action clienttesting.Action) (bool, runtime.Object, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.requests++
			return f.refusal != nil && strings.Contains(f.refuses, action.GetVerb()), nil, f.refusal
		})
		test(t, f)
	})
	for line := range strings.Lines(log.String()) {
		lines = append(lines, line)
	}
	return lines
}

// refuse has the API server answer some verbs with an error from now on.
func (f *fixture) refuse(err error, verbs string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusal, f.refuses = err, verbs
}

// asked is how many requests there have been since the last call.
func (f *fixture) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.requests
	f.requests = 0
	return n
}

// recorder starts one that ends with the test.
func (f *fixture) recorder(t *testing.T, instance string) *Recorder {
	r := New(Config{Client: f.client.EventsV1(), Dynamic: f.dynamic, Clock: clock.RealClock{}, Instance: instance})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	return r
}

// written returns the Events that there are.
func (f *fixture) written(t *testing.T) []eventsv1.Event {
	t.Helper()
	list, err := f.client.EventsV1().Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// only is the one Event that there is.
func (f *fixture) only(t *testing.T) eventsv1.Event {
	t.Helper()
	all := f.written(t)
	if len(all) != 1 {
		t.Fatalf("%d Events: %v", len(all), all)
	}
	return all[0]
}

func wantLines(t *testing.T, lines []string, want ...string) {
	t.Helper()
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), strings.Join(lines, ""))
	}
	for i := range want {
		if !strings.Contains(lines[i], want[i]) {
			t.Errorf("line %d lacks %q: %s", i, want[i], lines[i])
		}
	}
}

func TestNodeHasAnEventOfEachKind(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		r := f.recorder(t, "metrics-server-a")
		r.NodeUnavailable(node, time.Now().Add(-time.Minute), "timeout", errTimeout)
		synctest.Wait()
		e := f.only(t)
		if e.Namespace != "default" || !strings.HasPrefix(e.Name, "node-1.") || e.Type != "Warning" || e.Reason != "MetricsUnavailable" ||
			e.Regarding.Kind != "Node" || e.Regarding.Name != "node-1" || e.Regarding.UID != "uid-1" || e.Series != nil ||
			e.ReportingController != "metrics-server" || e.ReportingInstance != "metrics-server-a" || !e.EventTime.Time.Equal(time.Now()) {
			t.Errorf("%+v", e)
		}
		for _, part := range []string{"for 1m0s (timeout): timeout", "metrics-server check --node=node-1"} {
			if !strings.Contains(e.Note, part) {
				t.Errorf("the note lacks %q: %s", part, e.Note)
			}
		}
		r.NodeAvailable(node, time.Now().Add(-time.Minute))
		synctest.Wait()
		all := f.written(t)
		if len(all) != 2 || all[0].Type == all[1].Type {
			t.Errorf("%d Events: %v", len(all), all)
		}
	})
}

// What happens again is counted, and what has another cause or node is another Event.
func TestEventsAreCounted(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		r := f.recorder(t, "a")
		for range 3 {
			r.NodeUnavailable(node, time.Now().Add(-time.Minute), "timeout", errTimeout)
			time.Sleep(10 * time.Minute)
		}
		e := f.only(t)
		if e.Series == nil || e.Series.Count != 3 || time.Since(e.Series.LastObservedTime.Time) != 10*time.Minute {
			t.Errorf("series %+v", e.Series)
		}
		for _, action := range f.client.Actions() {
			if patch, ok := action.(clienttesting.PatchAction); ok && !bytes.Contains(patch.GetPatch(), []byte(`"resourceVersion"`)) {
				t.Errorf("a patch is not for one version: %s", patch.GetPatch())
			}
		}
		r.NodeUnavailable(node, time.Now().Add(-time.Minute), "forbidden", errTimeout)
		again := node
		again.UID = "uid-2"
		r.NodeUnavailable(again, time.Now().Add(-time.Minute), "timeout", errTimeout)
		synctest.Wait()
		if n := len(f.written(t)); n != 3 {
			t.Errorf("%d Events", n)
		}
	})
}

func TestReplicasWriteOnce(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		a, b := f.recorder(t, "a"), f.recorder(t, "b")
		for round := range 3 {
			for i, r := range []*Recorder{a, b} {
				since := time.Now().Add(-time.Minute)
				r.NodeUnavailable(node, since, "timeout", errTimeout)
				r.OutageBegins(scrape.Outage{Since: since, Unavailable: 40 + i, Nodes: 50, Reasons: scrape.Reasons{"timeout": 40 + i}})
				time.Sleep(10 * time.Second)
			}
			all := f.written(t)
			if len(all) != 2 {
				t.Fatalf("%d Events", len(all))
			}
			for _, e := range all {
				count := 1
				if e.Series != nil {
					count = int(e.Series.Count)
				}
				if count != round+1 {
					t.Errorf("%s happened %d times, counted are %d", e.Name, round+1, count)
				}
			}
			time.Sleep(10 * time.Minute)
		}
	})
}

// Who is slower by a moment finds that the other one has counted.
func TestReplicaThatCountsAtTheSameTime(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		r := f.recorder(t, "a")
		r.NodeUnavailable(node, time.Now(), "timeout", errTimeout)
		time.Sleep(10 * time.Minute)
		f.refuse(apierrors.NewConflict(resource, "node-1", errors.New("it has changed")), "patch")
		r.NodeUnavailable(node, time.Now(), "timeout", errTimeout)
		synctest.Wait()
		f.refuse(nil, "")
		f.recorder(t, "b").NodeUnavailable(node, time.Now(), "timeout", errTimeout)
		time.Sleep(time.Minute)
		if e := f.only(t); e.Series.Count != 2 {
			t.Errorf("counted are %d", e.Series.Count)
		}
	})
}

func TestOutage(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(apiServices.GroupVersion().WithKind("APIService"))
		object.SetName(APIService)
		object.SetUID("uid-of-apiservice")
		r := f.recorder(t, "a")
		if err := f.dynamic.Tracker().Create(apiServices, object, ""); err != nil {
			t.Fatal(err)
		}
		r.OutageBegins(scrape.Outage{Since: time.Now(), Unavailable: 500, Nodes: 600, Reasons: scrape.Reasons{"timeout": 300, "forbidden": 200}})
		synctest.Wait()
		e := f.only(t)
		if e.Regarding.Kind != "APIService" || e.Regarding.UID != "uid-of-apiservice" || e.Type != "Warning" ||
			!strings.Contains(e.Note, "500 of 600 nodes have no metrics") || !strings.Contains(e.Note, "(forbidden=200 timeout=300)") {
			t.Errorf("%+v", e)
		}
		r.OutageEnds(time.Now(), 10)
		synctest.Wait()
		if all := f.written(t); len(all) != 2 {
			t.Errorf("%d Events", len(all))
		}
	})
}

func TestAPIServerAway(t *testing.T) {
	lines := run(t, func(t *testing.T, f *fixture) {
		r := f.recorder(t, "a")
		f.refuse(errors.New("connection refused"), "create")
		r.NodeUnavailable(node, time.Now(), "timeout", errTimeout)
		began := time.Now()
		time.Sleep(30 * time.Minute)
		if n := f.asked(); n > 60 {
			t.Errorf("%d requests in half an hour", n)
		}
		f.refuse(nil, "")
		time.Sleep(2 * time.Minute)
		if e := f.only(t); !e.EventTime.Time.Equal(began) {
			t.Errorf("the Event is of %s", e.EventTime)
		}
	})
	wantLines(t, lines, "Writing an Event fails", "written again")
}

func TestEventsDoNotWaitForEver(t *testing.T) {
	lines := run(t, func(t *testing.T, f *fixture) {
		r := f.recorder(t, "a")
		f.refuse(errors.New("connection refused"), "create")
		for i := range maxWaiting + 3 {
			r.NodeUnavailable(kubelet.Node{Name: fmt.Sprint("node-", i)}, time.Now(), "timeout", errTimeout)
			synctest.Wait() // the first is under way
		}
		time.Sleep(keptFor / 2)
		f.refuse(nil, "")
		time.Sleep(2 * time.Minute)
		if n := len(f.written(t)); n != maxWaiting+1 {
			t.Errorf("%d Events", n)
		}
		f.refuse(errors.New("connection refused"), "create")
		r.NodeAvailable(node, time.Now())
		time.Sleep(2 * keptFor)
	})
	wantLines(t, lines, "Writing an Event fails", "more wait to be written", "more wait to be written", "written again",
		"Writing an Event fails", "could not be written for too long")
}

func TestLackOfRightsIsLoggedOnce(t *testing.T) {
	for _, verb := range []string{"create", "get", "patch"} {
		lines := run(t, func(t *testing.T, f *fixture) {
			r := f.recorder(t, "a")
			r.NodeUnavailable(node, time.Now(), "timeout", errTimeout)
			time.Sleep(time.Minute)
			f.refuse(apierrors.NewForbidden(resource, "", errors.New("no right to "+verb)), verb)
			f.asked()
			for range 100 {
				r.NodeUnavailable(node, time.Now(), "timeout", errTimeout)
				time.Sleep(time.Minute)
			}
			if n, most := f.asked(), 3*(100+maxRefused); n > most {
				t.Errorf("%d requests, at most %d are due", n, most)
			}
			f.refuse(nil, "")
			r.NodeUnavailable(node, time.Now(), "timeout", errTimeout)
			time.Sleep(time.Minute)
			if e := f.only(t); e.Series == nil || e.Series.Count != 2 {
				t.Errorf("series %+v", e.Series)
			}
		})
		wantLines(t, lines, "grant get, create and patch of events.events.k8s.io in namespace default", "written again")
	}
}

// An API server that has just started may not have read the rights.
func TestPassingLackOfRights(t *testing.T) {
	lines := run(t, func(t *testing.T, f *fixture) {
		f.refuse(apierrors.NewForbidden(resource, "", errors.New("no rights yet")), "create")
		f.recorder(t, "a").NodeUnavailable(node, time.Now(), "timeout", errTimeout)
		time.Sleep(3 * time.Second)
		f.refuse(nil, "")
		time.Sleep(time.Minute)
		f.only(t)
	})
	wantLines(t, lines)
}

func TestEventThatIsNotTaken(t *testing.T) {
	lines := run(t, func(t *testing.T, f *fixture) {
		r := f.recorder(t, "a")
		f.refuse(apierrors.NewInvalid(eventsv1.SchemeGroupVersion.WithKind("Event").GroupKind(), "node-1", nil), "create")
		r.NodeUnavailable(node, time.Now(), "timeout", errTimeout)
		synctest.Wait()
		f.refuse(nil, "")
		r.NodeAvailable(node, time.Now())
		synctest.Wait()
		if e := f.only(t); e.Reason != ReasonAvailable {
			t.Errorf("%s is written", e.Reason)
		}
	})
	wantLines(t, lines, "does not take an Event")
}

func TestNoteIsShortAndKeepsTheRemedy(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		r := f.recorder(t, "a")
		for i, text := range []string{strings.Repeat("x", 3000), strings.Repeat("é", 1501), "x" + strings.Repeat("€", 1001)} {
			n := kubelet.Node{Name: fmt.Sprint("node-", i)}
			r.NodeUnavailable(n, time.Now(), "timeout", errors.New(text+"; renew the certificate"))
			synctest.Wait()
			note := f.written(t)[i].Note
			if len(note) > 1024 || len(note) < 1000 || strings.ToValidUTF8(note, "!") != note || !strings.Contains(note, "(timeout): ") ||
				!strings.Contains(note, "…") || !strings.Contains(note, "; renew the certificate; metrics-server check") {
				t.Errorf("%d bytes: %s", len(note), note)
			}
		}
	})
}
