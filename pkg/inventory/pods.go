// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// podStore is what the reflector of pods writes to. It implements
// cache.TransformingStore.
type podStore struct {
	pods   Pods
	synced atomic.Bool
}

var _ cache.TransformingStore = (*podStore)(nil)

// Transformer strips what is not used as objects arrive, so that the initial
// list of a large cluster does not hold all annotations and managed fields at
// once.
func (s *podStore) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
			m.ObjectMeta = metav1.ObjectMeta{
				Namespace: m.Namespace, Name: m.Name, UID: m.UID, Labels: m.Labels, ResourceVersion: m.ResourceVersion,
			}
		}
		return obj, nil
	}
}

func metadataOf(obj any) (store.PodMetadata, error) {
	m, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return store.PodMetadata{}, fmt.Errorf("watching pod metadata, got %T", obj)
	}
	return store.PodMetadata{Namespace: m.Namespace, Name: m.Name, UID: string(m.UID), Labels: m.Labels}, nil
}

func (s *podStore) Add(obj any) error {
	m, err := metadataOf(obj)
	if err == nil {
		s.pods.SetPod(m)
	}
	return err
}

func (s *podStore) Update(obj any) error { return s.Add(obj) }

func (s *podStore) Delete(obj any) error {
	m, err := metadataOf(obj)
	if err == nil {
		s.pods.RemovePod(m.Namespace, m.Name)
	}
	return err
}

func (s *podStore) Replace(objs []any, _ string) error {
	pods := make([]store.PodMetadata, len(objs))
	for i, obj := range objs {
		var err error
		if pods[i], err = metadataOf(obj); err != nil {
			return err
		}
	}
	s.pods.SyncPods(pods)
	s.synced.Store(true)
	return nil
}

func (s *podStore) Resync() error { return nil }
