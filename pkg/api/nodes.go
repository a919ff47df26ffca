// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/metrics"
)

// nodeStorage serves the resource nodes.
type nodeStorage struct {
	reader  Reader
	metrics *Metrics
}

var _ readOnlyStorage = &nodeStorage{}

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

func (s *nodeStorage) New() runtime.Object     { return &metrics.NodeMetrics{} }
func (s *nodeStorage) NewList() runtime.Object { return &metrics.NodeMetricsList{} }
func (s *nodeStorage) Destroy()                {}
func (s *nodeStorage) Kind() string            { return "NodeMetrics" }
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
	object := nodeMetrics(n)
	return &object, nil
}

// List implements rest.Lister.
func (s *nodeStorage) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	nodes := s.reader.Nodes(query(ctx, options))
	list := &metrics.NodeMetricsList{Items: make([]metrics.NodeMetrics, len(nodes))}
	for i, n := range nodes {
		s.metrics.served(n.Timestamp)
		list.Items[i] = nodeMetrics(n)
	}
	return list, nil
}

// ConvertToTable implements rest.TableConvertor.
func (s *nodeStorage) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	switch o := object.(type) {
	case *metrics.NodeMetrics:
		return table(metav1.ListMeta{ResourceVersion: o.ResourceVersion}, options, []row{nodeRow(o)}), nil
	case *metrics.NodeMetricsList:
		rows := make([]row, len(o.Items))
		for i := range o.Items {
			rows[i] = nodeRow(&o.Items[i])
		}
		return table(o.ListMeta, options, rows), nil
	}
	return nil, notATable(object)
}
