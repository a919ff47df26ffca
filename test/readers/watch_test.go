// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// event is what a watch tells, as JSON.
type event struct {
	Type   string
	Object struct {
		Metadata  struct{ Namespace, Name string }
		Timestamp time.Time
	}
}

func (e event) pod() string { return e.Object.Metadata.Namespace + "/" + e.Object.Metadata.Name }

// checkWatch reads a watch of all pods, which has to tell each of them at first, and then
// those of a node that has newer samples. next returns false when the watch has ended.
func checkWatch(t *testing.T, next func() (event, bool)) {
	t.Helper()
	read := func(kind string) event {
		t.Helper()
		e, ok := next()
		if !ok || e.Type != kind {
			t.Fatalf("got event %+v (%t), want one that is %s", e, ok, kind)
		}
		return e
	}
	first := map[string]time.Time{}
	for range podCount {
		e := read("ADDED")
		first[e.pod()] = e.Object.Timestamp
	}
	if len(first) != podCount {
		t.Fatalf("the watch began with %v, want %d pods", first, podCount)
	}
	n := node(t, 0)
	// It stands still from now on.
	if err := n.SetFaults(kubeletsim.Frozen()); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, w := range local.Workload {
		if w.Node == n {
			want[w.Namespace+"/"+w.Name] = true
		}
	}
	for len(want) > 0 {
		e := read("MODIFIED")
		if !want[e.pod()] || e.Object.Timestamp.Before(first[e.pod()]) {
			t.Errorf("%s is told with a sample of %s, after one of %s", e.pod(), e.Object.Timestamp, first[e.pod()])
		}
		delete(want, e.pod())
	}
}
