// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"encoding/json"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const (
	namespace = "payments"
	selector  = "app=ledger"
	podName   = "ledger-0"
)

// versions are those of the API.
var versions = []string{"v1beta1", "v1"}

// reading is what a client library is asked for, of one version of the API. The lists
// are without what surrounds their items.
type reading struct {
	Nodes      []any `json:"nodes"`
	Pods       []any `json:"pods"`       // of all namespaces
	Namespaced []any `json:"namespaced"` // pods of namespace
	Selected   []any `json:"selected"`   // pods that selector selects
	Node       any   `json:"node"`       // the first
	Pod        any   `json:"pod"`        // podName
}

// served is the same without a library.
func served(t *testing.T, version string) reading {
	t.Helper()
	root := "/apis/metrics.k8s.io/" + version
	items := func(path string) []any {
		return decode[struct{ Items []any }](t, get(t, root+path)).Items
	}
	r := reading{
		Nodes: items("/nodes"), Pods: items("/pods"),
		Namespaced: items("/namespaces/" + namespace + "/pods"),
		Selected:   items("/pods?labelSelector=" + selector),
		Node:       decode[any](t, get(t, root+"/nodes/"+nodeName(0))),
		Pod:        decode[any](t, get(t, root+"/namespaces/"+namespace+"/pods/"+podName)),
	}
	if len(r.Nodes) != nodeCount || len(r.Pods) != podCount || len(r.Namespaced) != podCount/6 || len(r.Selected) != podCount/6 {
		t.Fatalf("%d nodes, %d pods, %d of them in %s and %d of %s are served", len(r.Nodes), len(r.Pods), len(r.Namespaced), namespace, len(r.Selected), selector)
	}
	return r
}

func get(t *testing.T, path string) []byte {
	t.Helper()
	body, err := local.Client().RESTClient().Get().RequestURI(path).SetHeader("Accept", "application/json").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func decode[T any](t *testing.T, text []byte) (value T) {
	t.Helper()
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}

// encode is for values that are to be compared as JSON.
func encode(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (r reading) check(t *testing.T, want reading) {
	t.Helper()
	got, expected := reflect.ValueOf(r), reflect.ValueOf(want)
	for i := range got.NumField() {
		if g, w := got.Field(i).Interface(), expected.Field(i).Interface(); !reflect.DeepEqual(g, w) {
			t.Errorf("%s: got\n%s\nand served is\n%s", got.Type().Field(i).Name, encode(t, g), encode(t, w))
		}
	}
}

// servedUsage returns what is served as people read it: usages of nodes by name, and of
// pods by namespace/name and, in order, by container.
func servedUsage(t *testing.T) (nodes map[string]corev1.ResourceList, pods map[string][]metricsv1beta1.ContainerMetrics) {
	t.Helper()
	const root = "/apis/metrics.k8s.io/v1beta1"
	nodes, pods = map[string]corev1.ResourceList{}, map[string][]metricsv1beta1.ContainerMetrics{}
	for _, n := range decode[metricsv1beta1.NodeMetricsList](t, get(t, root+"/nodes")).Items {
		nodes[n.Name] = n.Usage
	}
	for _, p := range decode[metricsv1beta1.PodMetricsList](t, get(t, root+"/pods")).Items {
		pods[p.Namespace+"/"+p.Name] = p.Containers
	}
	if len(nodes) != nodeCount || len(pods) != podCount {
		t.Fatalf("%d nodes and %d pods are served", len(nodes), len(pods))
	}
	return nodes, pods
}

// sum is a pod's usage.
func sum(containers []metricsv1beta1.ContainerMetrics) corev1.ResourceList {
	total := corev1.ResourceList{}
	for _, c := range containers {
		for name, value := range c.Usage {
			value.Add(total[name])
			total[name] = value
		}
	}
	return total
}
