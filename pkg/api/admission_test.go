// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	componentmetrics "k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/utils/clock"
)

// newListMemory returns one for a limit and a number of requests, and its metrics.
func newListMemory(t *testing.T, limit int64, requests int) (*ListMemory, componentmetrics.KubeRegistry) {
	t.Helper()
	registry := componentmetrics.NewKubeRegistry()
	m, err := NewMetrics(registry.Register, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	return NewListMemory(limit, requests, m), registry
}

// newAdmission is that of a request whose answer has begun.
func newAdmission(t *testing.T, m *ListMemory, accept string) *admission {
	t.Helper()
	ctx := genericapirequest.WithRequestInfo(t.Context(), &genericapirequest.RequestInfo{Resource: "pods"})
	req := httptest.NewRequestWithContext(ctx, http.MethodGet, prefix+"v1/pods", nil)
	req.Header.Set("Accept", accept)
	return &admission{memory: m, req: req}
}

// wantHeld compares what large lists and others hold.
func wantHeld(t *testing.T, m *ListMemory, large, small int64) {
	t.Helper()
	if m.large.held != large || m.small.held != small {
		t.Errorf("held are %d and %d bytes, want %d and %d", m.large.held, m.small.held, large, small)
	}
}

func TestListsThatFitAreAdmitted(t *testing.T) {
	const objects = 1600
	m, registry := newListMemory(t, 4*objects*readWeight, 0) // large ones have three quarters
	var lists []*admission
	for range 3 {
		a := newAdmission(t, m, runtime.ContentTypeJSON)
		if !a.Admit(objects, objects) {
			t.Fatalf("refused: %v", a.refusal)
		}
		lists = append(lists, a)
	}
	wantHeld(t, m, 3*objects*readWeight, 0)
	refused := newAdmission(t, m, runtime.ContentTypeJSON)
	if refused.Admit(objects, objects) {
		t.Fatal("the fourth is admitted")
	}
	status := statusOf(t, refused.refusal)
	if status.Code != http.StatusTooManyRequests || status.Details.RetryAfterSeconds != retryAfter || !strings.Contains(status.Message, "memory") {
		t.Errorf("it is refused with %+v", status)
	}
	refused.done()
	wantHeld(t, m, 3*objects*readWeight, 0)
	wantRefused(t, registry, 1)

	// Large lists do not have others refused.
	small := newAdmission(t, m, runtime.ContentTypeJSON)
	if !small.Admit(objects/largeShare, objects) {
		t.Errorf("a small list is refused: %v", small.refusal)
	}
	wantHeld(t, m, 3*objects*readWeight, objects/largeShare*readWeight)

	lists[0].done()
	small.done()
	wantHeld(t, m, 2*objects*readWeight, 0)
	if a := newAdmission(t, m, runtime.ContentTypeJSON); !a.Admit(objects, objects) {
		t.Errorf("one is answered, and the next refused: %v", a.refusal)
	}
}

// A list that grows holds what it asked for last, and becomes a large one.
func TestListGrows(t *testing.T) {
	const objects = 1600
	m, _ := newListMemory(t, 2*objects*readWeight, 0)
	a := newAdmission(t, m, runtime.ContentTypeJSON)
	for _, n := range []int64{50, 100} {
		if !a.Admit(int(n), objects) {
			t.Fatal(a.refusal)
		}
		wantHeld(t, m, 0, n*readWeight)
	}
	if !a.Admit(200, objects) {
		t.Fatal(a.refusal)
	}
	wantHeld(t, m, 200*readWeight, 0)
	other := newAdmission(t, m, runtime.ContentTypeJSON)
	if !other.Admit(objects, objects) {
		t.Fatal(other.refusal)
	}
	if a.Admit(2*objects, objects) {
		t.Error("it may grow beyond what there is")
	}
	wantHeld(t, m, objects*readWeight, 0)
	a.done()
	wantHeld(t, m, objects*readWeight, 0)
}

// With too little memory for a single list, there is one at a time, if it takes no
// more than it has to.
func TestListLargerThanTheMemory(t *testing.T) {
	m, registry := newListMemory(t, 1000, 0)
	a, b := newAdmission(t, m, runtime.ContentTypeProtobuf), newAdmission(t, m, runtime.ContentTypeProtobuf)
	if !a.Admit(1000, 1000) {
		t.Error(a.refusal)
	}
	if b.Admit(1000, 1000) {
		t.Error("there are two at a time")
	}
	a.done()
	yaml := newAdmission(t, m, runtime.ContentTypeYAML)
	if yaml.Admit(1000, 1000) {
		t.Fatal("YAML is admitted")
	}
	if status := statusOf(t, yaml.refusal); status.Code != http.StatusBadRequest || !strings.Contains(status.Message, "with limit") {
		t.Errorf("YAML is refused with %+v", status)
	}
	wantHeld(t, m, 0, 0)
	wantRefused(t, registry, 2)
}

// Lists take half of the requests at most, however little they hold.
func TestListsLeaveRequestsToOthers(t *testing.T) {
	m, _ := newListMemory(t, 1<<20, 40)
	for objects, all := range map[int]int{100: 100, 65: 10000} {
		for i := range 11 {
			if a := newAdmission(t, m, runtime.ContentTypeJSON); a.Admit(objects, all) != (i < 10) {
				t.Errorf("list %d of %d in %d objects: %v", i, objects, all, a.refusal)
			}
		}
	}
}

// The weight is that of the format that is answered with.
func TestWeigh(t *testing.T) {
	const table, metadata = ";as=Table;g=meta.k8s.io;v=v1", ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
	for _, tt := range []struct {
		accept, query, agent string
		want                 int64
	}{
		{"", "", "", readWeight},
		{"*/*", "", "", readWeight},
		{runtime.ContentTypeJSON, "", "", readWeight},
		{runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON, "", "", readWeight},
		{runtime.ContentTypeJSON + table + "," + runtime.ContentTypeJSON, "", "", convertedWeight},
		{runtime.ContentTypeProtobuf + metadata, "", "", convertedWeight},
		{runtime.ContentTypeJSON, "pretty=true", "", encodedWeight},
		{"*/*", "", "curl/8", encodedWeight},
		{runtime.ContentTypeYAML, "", "", yamlWeight},
		{runtime.ContentTypeYAML + table, "", "", yamlWeight},
		// What no resource can be is passed over.
		{runtime.ContentTypeJSON + ";as=Else;g=meta.k8s.io;v=v1," + runtime.ContentTypeYAML, "", "", yamlWeight},
		{runtime.ContentTypeProtobuf + table + "," + runtime.ContentTypeYAML, "", "", yamlWeight},
		{"image/png", "", "", readWeight},
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, prefix+"v1/pods?"+tt.query, nil)
		req.Header.Set("Accept", tt.accept)
		req.Header.Set("User-Agent", tt.agent)
		if got := weigh(req); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

// A list that is refused is answered as any other error, and holds nothing; what is
// small is answered.
func TestRefusedListIsAnswered(t *testing.T) {
	f, _ := heavy()
	m, registry := newListMemory(t, 1, 0)
	server := httptest.NewServer(newHandlerWith(t, f.Store, m, StallLimit, true))
	t.Cleanup(server.Close)
	holder := newAdmission(t, m, runtime.ContentTypeJSON)
	if !holder.Admit(2000, 2000) {
		t.Fatal(holder.refusal)
	}
	for _, query := range []string{"", "?limit=500", "?labelSelector=much", "?fieldSelector=spec.nodeName!=x"} {
		resp, err := server.Client().Get(server.URL + prefix + "v1/pods" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var status metav1.Status
		if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != fmt.Sprint(retryAfter) ||
			status.Reason != metav1.StatusReasonTooManyRequests {
			t.Errorf("%s: %s, %v, %+v", query, resp.Status, resp.Header, status)
		}
	}
	for _, path := range []string{"v1/pods?limit=64", "v1/namespaces/ns/pods/pod-7", "v1/pods?fieldSelector=metadata.name=pod-7", "v1/nodes"} {
		if status, body := get(t, server, prefix+path, runtime.ContentTypeJSON); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	wantHeld(t, m, 2000*readWeight, 0)
	wantRefused(t, registry, 4)
	holder.done()
	if status, body := get(t, server, prefix+"v1/pods", runtime.ContentTypeJSON); status != http.StatusOK {
		t.Errorf("when there is room: %d %.200s", status, body)
	}
}

// What was read is released when the handler has ended, however it has.
func TestListsAreReleased(t *testing.T) {
	for name, end := range map[string]func(){"answers": func() {}, "panics": func() { panic(http.ErrAbortHandler) }} {
		t.Run(name, func(t *testing.T) {
			released := 0
			m, _ := newListMemory(t, 1<<20, 0)
			handler := m.Admit(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				a := admissionOf(req.Context())
				a.whenDone(func() { released++ })
				if !a.Admit(100, 100) || released != 0 {
					t.Errorf("released %d times before the answer, %v", released, a.refusal)
				}
				end()
			}))
			func() {
				defer func() { _ = recover() }()
				handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
			}()
			if released != 1 {
				t.Errorf("released %d times", released)
			}
			wantHeld(t, m, 0, 0)
		})
	}
}

// Requests for anything but lists have nothing to release.
func TestReleaseNothing(t *testing.T) {
	m, _ := newListMemory(t, 1, 0)
	answered := false
	m.Admit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered = true })).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if !answered {
		t.Error("not answered")
	}
	admissionOf(t.Context()).whenDone(func() { t.Error("released outside of a request") })
}

func wantRefused(t *testing.T, registry componentmetrics.KubeRegistry, n int) {
	t.Helper()
	const name = "metrics_server_api_refused_lists_total"
	want := fmt.Sprintf("# HELP %s [ALPHA] Number of lists refused because there was no memory for them, by resource\n# TYPE %[1]s counter\n%[1]s{resource=\"pods\"} %d\n", name, n)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), name); err != nil {
		t.Error(err)
	}
}

func statusOf(t *testing.T, err error) metav1.Status {
	t.Helper()
	status, ok := err.(interface{ Status() metav1.Status })
	if !ok {
		t.Fatalf("%v is no status", err)
	}
	return status.Status()
}
