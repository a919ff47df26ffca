// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// nodeStorage serves the resource nodes.
type nodeStorage struct {
	reader  Reader
	metrics *Metrics
}

var _ watchableStorage = &nodeStorage{}

// readOnlyStorage is what the generic API server needs of a resource that can
// be read.
type readOnlyStorage interface {
	rest.Storage
	rest.KindProvider
	rest.Scoper
	rest.SingularNameProvider
	rest.Getter
	rest.Lister
}

type watchableStorage interface {
	readOnlyStorage
	rest.Watcher
}

// unwatchable hides the method Watch, by which the generic API server knows a resource that can be
// watched.
type unwatchable struct{ readOnlyStorage }

func (s *nodeStorage) New() runtime.Object     { return &metrics.NodeMetrics{} }
func (s *nodeStorage) NewList() runtime.Object { return &metrics.NodeMetricsList{} }
func (s *nodeStorage) Destroy()                {}
func (s *nodeStorage) Kind() string            { return nodeKind }
func (s *nodeStorage) NamespaceScoped() bool   { return false }

// GetSingularName is empty: clients then take the kind for it, so that
// "kubectl get nodemetrics" works and "kubectl get node" does not end here.
func (s *nodeStorage) GetSingularName() string { return "" }

// Get implements rest.Getter.
func (s *nodeStorage) Get(_ context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	n, err := s.reader.Node(name)
	if err != nil {
		return nil, notFound("nodes", name, err)
	}
	s.metrics.served(n.Timestamp)
	return nodeObject{&n}, nil
}

// List implements rest.Lister.
func (s *nodeStorage) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	l, meta, err := list(ctx, options, s.reader, s.NamespaceScoped(), s.reader.Nodes)
	if err != nil {
		return nil, err
	}
	items := make([]object, len(l.Items))
	for i := range l.Items {
		items[i] = nodeObject{&l.Items[i]}
	}
	s.metrics.servedList(items)
	return &objectList{ListMeta: meta, Items: items, kind: nodeKind}, nil
}

// Watch implements rest.Watcher.
func (s *nodeStorage) Watch(ctx context.Context, options *metainternalversion.ListOptions) (watch.Interface, error) {
	return follow(ctx, options, s.reader, s.reader.WatchNodes, &stream[store.NodeUsage]{
		resource: "nodes",
		metrics:  s.metrics,
		object:   func(u *store.NodeUsage) object { return nodeObject{u} },
		bookmark: func(meta metav1.ObjectMeta) runtime.Object { return &metrics.NodeMetrics{ObjectMeta: meta} },
	})
}

// ConvertToTable implements rest.TableConvertor.
func (s *nodeStorage) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	return convertToTable(object, options)
}
