// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// What is asked of the API server: streams of protobuf, of selected nodes and
// running pods only.
func TestRequests(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	first := map[string]*http.Request{} // by path
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if first[r.URL.Path] == nil {
			first[r.URL.Path] = r
		}
		if len(first) == 2 {
			cancel()
		}
		http.Error(w, "enough", http.StatusInternalServerError)
	}))
	defer server.Close()
	config := &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf"}}
	selector, err := labels.Parse("zone in (a,b)")
	must(t, err)
	pods, err := NewPodClient(config)
	must(t, err)
	inv := New(kubernetes.NewForConfigOrDie(config), pods, selector, &recorder{}, &recorder{})
	inv.Run(ctx)
	if inv.NodesSynced() || inv.PodsSynced() {
		t.Error("synced without an answer")
	}

	for path, want := range map[string]struct{ accept, parameter, value string }{
		"/api/v1/nodes": {"application/vnd.kubernetes.protobuf", "labelSelector", "zone in (a,b)"},
		"/api/v1/pods":  {"application/vnd.kubernetes.protobuf", "fieldSelector", "status.phase=Running"},
	} {
		r := first[path]
		if r == nil {
			t.Fatalf("%s was not asked for", path)
		}
		q := r.URL.Query()
		if q.Get("sendInitialEvents") != "true" || q.Get(want.parameter) != want.value {
			t.Errorf("%s: the query is %v", path, q)
		}
		if agent := r.UserAgent(); agent != rest.DefaultKubernetesUserAgent() {
			t.Errorf("%s: asked by %q", path, agent)
		}
		if accept := r.Header.Get("Accept"); !strings.HasPrefix(accept, want.accept) {
			t.Errorf("%s: accepted is %q, want %q first", path, accept, want.accept)
		}
	}
}
