// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"
	"sync/atomic"

	"k8s.io/client-go/tools/cache"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// podStore is what the reflector of pods writes to.
type podStore struct {
	pods   Pods
	synced atomic.Bool
}

var _ cache.ReflectorStore = (*podStore)(nil)

func metadataOf(obj any) (store.PodMetadata, error) {
	p, ok := obj.(*pod)
	if !ok {
		return store.PodMetadata{}, fmt.Errorf("watching pods, got %T", obj)
	}
	return store.PodMetadata{
		Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Node: p.node, Labels: p.Labels,
	}, nil
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
