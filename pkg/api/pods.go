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

var _ readOnlyStorage = &podStorage{}

func (s *podStorage) New() runtime.Object     { return &metrics.PodMetrics{} }
func (s *podStorage) NewList() runtime.Object { return &metrics.PodMetricsList{} }
func (s *podStorage) Destroy()                {}
func (s *podStorage) Kind() string            { return "PodMetrics" }
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
	object := podMetrics(p)
	return &object, nil
}

// List implements rest.Lister.
func (s *podStorage) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	l, meta, err := list(ctx, options, s.reader, s.NamespaceScoped(), s.reader.Pods)
	if err != nil {
		return nil, err
	}
	object := &metrics.PodMetricsList{ListMeta: meta, Items: make([]metrics.PodMetrics, len(l.Items))}
	for i, u := range l.Items {
		s.metrics.served(u.Timestamp)
		object.Items[i] = podMetrics(u)
	}
	return object, nil
}

// Watch implements rest.Watcher.
func (s *podStorage) Watch(ctx context.Context, options *metainternalversion.ListOptions) (watch.Interface, error) {
	return follow(ctx, options, s.reader, s.reader.WatchPods, &stream[store.PodUsage]{
		resource: "pods",
		metrics:  s.metrics,
		object: func(u store.PodUsage) object {
			o := podMetrics(u)
			return &o
		},
		bookmark: func(meta metav1.ObjectMeta) runtime.Object { return &metrics.PodMetrics{ObjectMeta: meta} },
	})
}

// ConvertToTable implements rest.TableConvertor.
func (s *podStorage) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	switch o := object.(type) {
	case *metrics.PodMetrics:
		return table(metav1.ListMeta{ResourceVersion: o.ResourceVersion}, options, []row{podRow(o)}), nil
	case *metrics.PodMetricsList:
		rows := make([]row, len(o.Items))
		for i := range o.Items {
			rows[i] = podRow(&o.Items[i])
		}
		return table(o.ListMeta, options, rows), nil
	}
	return nil, notATable(object)
}
