// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"
	"maps"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

// nodeStore is what the reflector of nodes writes to. It implements
// cache.TransformingStore.
type nodeStore struct {
	nodes  Nodes
	known  map[string]nodeState
	synced atomic.Bool
}

// nodeState is what is used of a node.
type nodeState struct {
	kubelet.Node
	labels map[string]string
}

func (a nodeState) equal(b nodeState) bool {
	return a.Equal(b.Node) && maps.Equal(a.labels, b.labels)
}

var _ cache.TransformingStore = (*nodeStore)(nil)

// Transformer strips what is not used, such as images and managed fields, for
// the same reason as that of pods.
func (s *nodeStore) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		if n, ok := obj.(*corev1.Node); ok {
			path := n.Annotations[kubelet.MetricsPathAnnotation]
			n.ObjectMeta = metav1.ObjectMeta{Name: n.Name, UID: n.UID, Labels: n.Labels, ResourceVersion: n.ResourceVersion}
			if path != "" {
				n.Annotations = map[string]string{kubelet.MetricsPathAnnotation: path}
			}
			n.Spec = corev1.NodeSpec{}
			n.Status = corev1.NodeStatus{Addresses: n.Status.Addresses, DaemonEndpoints: n.Status.DaemonEndpoints}
		}
		return obj, nil
	}
}

func (s *nodeStore) Add(obj any) error {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return fmt.Errorf("watching nodes, got %T", obj)
	}
	state := nodeState{
		Node: kubelet.Node{
			Name:        n.Name,
			UID:         n.UID,
			Addresses:   n.Status.Addresses,
			Hostname:    n.Labels[corev1.LabelHostname],
			Port:        n.Status.DaemonEndpoints.KubeletEndpoint.Port,
			MetricsPath: n.Annotations[kubelet.MetricsPathAnnotation],
		},
		labels: n.Labels,
	}
	// A kubelet renews its status every few minutes; nearly always nothing that
	// is used has changed.
	if known, ok := s.known[n.Name]; ok && known.equal(state) {
		return nil
	}
	s.known[n.Name] = state
	s.nodes.SetNode(state.Node, state.labels)
	return nil
}

func (s *nodeStore) Update(obj any) error { return s.Add(obj) }

func (s *nodeStore) Delete(obj any) error {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return fmt.Errorf("watching nodes, got %T", obj)
	}
	s.remove(n.Name)
	return nil
}

func (s *nodeStore) remove(name string) {
	if _, ok := s.known[name]; ok {
		delete(s.known, name)
		s.nodes.RemoveNode(name)
	}
}

func (s *nodeStore) Replace(objs []any, _ string) error {
	listed := make(map[string]bool, len(objs))
	for _, obj := range objs {
		if err := s.Add(obj); err != nil {
			return err
		}
		listed[obj.(*corev1.Node).Name] = true
	}
	for name := range s.known {
		if !listed[name] {
			s.remove(name)
		}
	}
	s.synced.Store(true)
	return nil
}

func (s *nodeStore) Resync() error { return nil }
