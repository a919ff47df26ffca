// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// podStorage serves the resource pods.
type podStorage struct {
	reader  Reader
	metrics *Metrics
}

var _ watchableStorage = &podStorage{}

func (s *podStorage) New() runtime.Object     { return &metrics.PodMetrics{} }
func (s *podStorage) NewList() runtime.Object { return &metrics.PodMetricsList{} }
func (s *podStorage) Destroy()                {}
func (s *podStorage) Kind() string            { return podKind }
func (s *podStorage) NamespaceScoped() bool   { return true }

// GetSingularName is empty as that of nodes, for the same reason.
func (s *podStorage) GetSingularName() string { return "" }

// Get implements rest.Getter.
func (s *podStorage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	p, err := s.reader.Pod(genericapirequest.NamespaceValue(ctx), name)
	if err != nil {
		return nil, notFound("pods", name, err)
	}
	s.metrics.served(p.Timestamp)
	return podObject{&p}, nil
}

// List implements rest.Lister.
func (s *podStorage) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	l, meta, err := list(ctx, options, s.reader, s.NamespaceScoped(), s.reader.Pods)
	if err != nil {
		return nil, err
	}
	items := make([]object, len(l.Items))
	for i := range l.Items {
		items[i] = podObject{&l.Items[i]}
	}
	s.metrics.servedList(items)
	return &objectList{ListMeta: meta, Items: items, kind: podKind}, nil
}

// Watch implements rest.Watcher.
func (s *podStorage) Watch(ctx context.Context, options *metainternalversion.ListOptions) (watch.Interface, error) {
	return follow(ctx, options, s.reader, s.reader.WatchPods, &stream[store.PodUsage]{
		resource: "pods",
		metrics:  s.metrics,
		object:   func(u *store.PodUsage) object { return podObject{u} },
		bookmark: func(meta metav1.ObjectMeta) runtime.Object { return &metrics.PodMetrics{ObjectMeta: meta} },
	})
}

// ConvertToTable implements rest.TableConvertor.
func (s *podStorage) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	return convertToTable(object, options)
}
