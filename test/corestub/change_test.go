// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package corestub

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

func changedNode(kind watch.EventType, i int) Change { return Change{kind, contents(i+1, 0).Node(i)} }

// Watches hear of what changes, each of its own kind, with the version of the change:
// those that are open, and those that begin later.
func TestChange(t *testing.T) {
	f := start(t)
	f.stub.SetContents(contents(2, 2)) // version 2
	openWatch := func(version string) watch.Interface {
		w, err := f.protobuf.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{ResourceVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
		return w
	}
	early := openWatch("2")
	f.stub.Change(contents(3, 1), changedNode(watch.Added, 2), Change{watch.Deleted, contents(2, 2).Pod(1)}, changedNode(watch.Modified, 0))
	f.stub.Change(contents(2, 1), changedNode(watch.Deleted, 2))
	want := []string{"ADDED node-2 3", "MODIFIED node-0 5", "DELETED node-2 6"}
	for version, w := range map[string]watch.Interface{"an open one": early, "one from then": openWatch("2"), "one from 5": openWatch("5")} {
		expected := want
		if version == "one from 5" {
			expected = want[2:]
		}
		var got []string
		for range expected {
			e := <-w.ResultChan()
			n := e.Object.(*corev1.Node)
			got = append(got, fmt.Sprint(e.Type, " ", n.Name, " ", n.ResourceVersion))
		}
		if !slices.Equal(got, expected) {
			t.Errorf("%s: %q", version, got)
		}
	}
	list, err := f.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || list.ResourceVersion != "6" || len(list.Items) != 2 {
		t.Errorf("%+v %v", list, err)
	}
	pods, err := f.pods.Watch(t.Context(), metav1.ListOptions{ResourceVersion: "3"})
	if err != nil {
		t.Fatal(err)
	}
	defer pods.Stop()
	if e := <-pods.ResultChan(); e.Type != watch.Deleted || e.Object.(metav1.Object).GetName() != "pod-1" || e.Object.(metav1.Object).GetResourceVersion() != "4" {
		t.Errorf("%+v", e)
	}
}

// A watch from a version that is not remembered any more is refused, but not one of
// what never changes.
func TestChangesForgotten(t *testing.T) {
	f := start(t)
	f.stub.SetContents(contents(2, 0)) // version 2
	many := make([]Change, remembered+1)
	for i := range many {
		many[i] = changedNode(watch.Modified, i%2)
	}
	f.stub.Change(contents(2, 0), many...)
	for version, refused := range map[string]bool{"2": true, "3": false} {
		w, err := f.client.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{ResourceVersion: version})
		if refused != apierrors.IsResourceExpired(err) || !refused && err != nil {
			t.Errorf("from %s: %v", version, err)
		}
		if err == nil {
			w.Stop()
		}
	}
	w, err := f.client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1", FieldSelector: "metadata.name=" + trustName})
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	if _, err := f.client.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{ResourceVersion: "x"}); !apierrors.IsBadRequest(err) {
		t.Errorf("%v", err)
	}
}
