// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"
)

var contentTypes = []string{"application/json", "application/vnd.kubernetes.protobuf"}

// goClient is what Go's clients of a resource have in common: L is a list of T.
type goClient[L, T any] interface {
	List(ctx context.Context, o metav1.ListOptions) (L, error)
	Get(ctx context.Context, name string, o metav1.GetOptions) (T, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// readGo reads with clients of nodes, of all pods, and of those of namespace.
func readGo[NL, N, PL, P any](t *testing.T, nodes goClient[NL, N], pods, namespaced goClient[PL, P]) reading {
	t.Helper()
	return reading{
		Nodes:      items(t, nodes.List, metav1.ListOptions{}),
		Pods:       items(t, pods.List, metav1.ListOptions{}),
		Namespaced: items(t, namespaced.List, metav1.ListOptions{}),
		Selected:   items(t, pods.List, metav1.ListOptions{LabelSelector: selector}),
		Node:       object(t, nodes.Get, nodeName(0)),
		Pod:        object(t, namespaced.Get, podName),
	}
}

func items[L any](t *testing.T, list func(context.Context, metav1.ListOptions) (L, error), o metav1.ListOptions) []any {
	t.Helper()
	all, err := list(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return decode[struct{ Items []any }](t, encode(t, all)).Items
}

func object[T any](t *testing.T, get func(context.Context, string, metav1.GetOptions) (T, error), name string) any {
	t.Helper()
	o, err := get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return decode[any](t, encode(t, o))
}

// withoutKind removes what typed clients leave out, and dynamic ones add to items.
func (r reading) withoutKind() reading {
	for _, o := range append([]any{r.Node, r.Pod}, append(append(r.Nodes, r.Pods...), append(r.Namespaced, r.Selected...)...)...) {
		delete(o.(map[string]any), "kind")
		delete(o.(map[string]any), "apiVersion")
	}
	return r
}

// watchGo checks a watch of all pods.
func watchGo[L, T any](t *testing.T, pods goClient[L, T]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w, err := pods.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	checkWatch(t, func() (event, bool) {
		e, ok := <-w.ResultChan()
		if !ok {
			return event{}, false
		}
		return decode[event](t, encode(t, map[string]any{"type": e.Type, "object": e.Object})), true
	})
}

func TestClientGoTyped(t *testing.T) {
	for _, contentType := range contentTypes {
		config := local.AdminConfig()
		config.ContentType = contentType
		client, err := metricsclient.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Run("v1beta1 "+contentType, func(t *testing.T) {
			c := client.MetricsV1beta1()
			readGo(t, c.NodeMetricses(), c.PodMetricses(""), c.PodMetricses(namespace)).withoutKind().check(t, served(t, "v1beta1").withoutKind())
			watchGo(t, c.PodMetricses(""))
		})
		t.Run("v1 "+contentType, func(t *testing.T) {
			c := client.MetricsV1()
			readGo(t, c.NodeMetricses(), c.PodMetricses(""), c.PodMetricses(namespace)).withoutKind().check(t, served(t, "v1").withoutKind())
			watchGo(t, c.PodMetricses(""))
		})
	}
}

// dynamicClient leaves out the subresources of Get.
type dynamicClient struct{ dynamic.ResourceInterface }

func (c dynamicClient) Get(ctx context.Context, name string, o metav1.GetOptions) (*unstructured.Unstructured, error) {
	return c.ResourceInterface.Get(ctx, name, o)
}

func TestClientGoDynamic(t *testing.T) {
	client, err := dynamic.NewForConfig(local.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			group := schema.GroupVersion{Group: "metrics.k8s.io", Version: version}
			nodes, pods := client.Resource(group.WithResource("nodes")), client.Resource(group.WithResource("pods"))
			readGo(t, dynamicClient{nodes}, dynamicClient{pods}, dynamicClient{pods.Namespace(namespace)}).withoutKind().check(t, served(t, version).withoutKind())
			watchGo(t, dynamicClient{pods})
		})
	}
}
