// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package api serves the store as the API group metrics.k8s.io, versions v1 and
// v1beta1.
package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	componentmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/metrics/pkg/apis/metrics/install"
	"k8s.io/metrics/pkg/apis/metrics/v1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/store"
)

var (
	// Scheme has the types of the API.
	Scheme = runtime.NewScheme()
	// Codecs encode them.
	Codecs = serializer.NewCodecFactory(Scheme)
)

func init() {
	install.Install(Scheme)
	metav1.AddToGroupVersion(Scheme, schema.GroupVersion{Version: "v1"})
	for _, version := range []schema.GroupVersion{v1.SchemeGroupVersion, v1beta1.SchemeGroupVersion} {
		selectBy(version.WithKind("PodMetrics"), store.FieldName, store.FieldNamespace, store.FieldNodeName)
		selectBy(version.WithKind("NodeMetrics"), store.FieldName, store.FieldNamespace)
	}
}

// selectBy says which fields a field selector of a kind can speak of.
func selectBy(kind schema.GroupVersionKind, known ...string) {
	utilruntime.Must(Scheme.AddFieldLabelConversionFunc(kind, func(field, value string) (string, string, error) {
		if !slices.Contains(known, field) {
			return "", "", fmt.Errorf("%s cannot be selected by field %q, only by %s", kind.Kind, field, strings.Join(known, ", "))
		}
		return field, value, nil
	}))
}

// Reader is what the API needs of the store. Get errors are
// *store.Unavailable, watch errors store.ErrExpired.
type Reader interface {
	Revision() uint64
	Nodes(store.Query) store.List[store.NodeUsage]
	Node(name string) (store.NodeUsage, error)
	WatchNodes(store.Query, store.Start) (*store.Watcher[store.NodeUsage], error)
	Pods(store.Query) store.List[store.PodUsage]
	Pod(namespace, name string) (store.PodUsage, error)
	WatchPods(store.Query, store.Start) (*store.Watcher[store.PodUsage], error)
}

// Metrics are the API's own.
type Metrics struct {
	clock      clock.WithTicker
	freshness  *componentmetrics.Histogram
	terminated *componentmetrics.CounterVec
	refused    *componentmetrics.CounterVec
}

// NewMetrics makes and registers the metrics.
func NewMetrics(register func(componentmetrics.Registerable) error, clk clock.WithTicker) (*Metrics, error) {
	m := &Metrics{
		clock: clk,
		freshness: componentmetrics.NewHistogram(&componentmetrics.HistogramOpts{
			Name: "metrics_server_api_metric_freshness_seconds",
			Help: "Age of the nodes' and pods' metrics when they are served, in seconds",
			// As metrics-server has them, so that dashboards stay right.
			Buckets: componentmetrics.ExponentialBuckets(1, 1.364, 20),
		}),
		terminated: componentmetrics.NewCounterVec(&componentmetrics.CounterOpts{
			Name: "metrics_server_api_terminated_watchers_total",
			Help: "Number of watches ended because their client did not keep up, by resource",
		}, []string{"resource"}),
		refused: componentmetrics.NewCounterVec(&componentmetrics.CounterOpts{
			Name: "metrics_server_api_refused_lists_total",
			Help: "Number of lists refused because there was no memory for them, by resource",
		}, []string{"resource"}),
	}
	return m, errors.Join(register(m.freshness), register(m.terminated), register(m.refused))
}

// served records the age of what is about to be served. The clock of a node may
// be ahead: that is no negative age, which a histogram's sum cannot take.
func (m *Metrics) served(timestamp time.Time) {
	m.freshness.Observe(max(0, m.clock.Since(timestamp).Seconds()))
}

// servedList is served for each item of a list.
func (m *Metrics) servedList(items []object) {
	now := m.clock.Now()
	for _, o := range items {
		m.freshness.Observe(max(0, now.Sub(o.timestamp()).Seconds()))
	}
}

// terminatedWatch counts and logs that the server has ended a watch.
func (m *Metrics) terminatedWatch(ctx context.Context, resource, namespace string, why error) {
	m.terminated.WithLabelValues(resource).Inc()
	name := ""
	if user, ok := genericapirequest.UserFrom(ctx); ok {
		name = user.GetName()
	}
	klog.InfoS("Ended a watch that did not keep up", "resource", resource, "namespace", namespace, "user", name, "reason", why)
}

// Install adds the API group to a server. Without watchable, discovery does not have the verb watch,
// and a watch is answered with 405.
func Install(server *genericapiserver.GenericAPIServer, reader Reader, m *Metrics, watchable bool) error {
	resources := map[string]rest.Storage{
		"nodes": &nodeStorage{reader: reader, metrics: m},
		"pods":  &podStorage{reader: reader, metrics: m},
	}
	if !watchable {
		for name, storage := range resources {
			resources[name] = unwatchable{storage.(readOnlyStorage)}
		}
	}
	group := genericapiserver.NewDefaultAPIGroupInfo(metrics.GroupName, Scheme, metav1.ParameterCodec, Codecs)
	group.VersionedResourcesStorageMap[v1.SchemeGroupVersion.Version] = resources
	group.VersionedResourcesStorageMap[v1beta1.SchemeGroupVersion.Version] = resources
	return server.InstallAPIGroup(&group)
}
