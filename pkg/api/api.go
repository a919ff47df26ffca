// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package api serves the store as the API group metrics.k8s.io, versions v1 and
// v1beta1.
package api

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	componentmetrics "k8s.io/component-base/metrics"
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
}

// Reader is what the API needs of the store. Get errors are
// *store.Unavailable.
type Reader interface {
	Nodes(store.Query) []store.NodeUsage
	Node(name string) (store.NodeUsage, error)
	Pods(store.Query) []store.PodUsage
	Pod(namespace, name string) (store.PodUsage, error)
}

// Metrics are the API's own.
type Metrics struct {
	clock     clock.PassiveClock
	freshness *componentmetrics.Histogram
}

// NewMetrics makes and registers the metrics.
func NewMetrics(register func(componentmetrics.Registerable) error, clk clock.PassiveClock) (*Metrics, error) {
	m := &Metrics{
		clock: clk,
		freshness: componentmetrics.NewHistogram(&componentmetrics.HistogramOpts{
			Name: "metrics_server_api_metric_freshness_seconds",
			Help: "Age of the nodes' and pods' metrics when they are served, in seconds",
			// As metrics-server has them, so that dashboards stay right.
			Buckets: componentmetrics.ExponentialBuckets(1, 1.364, 20),
		}),
	}
	return m, register(m.freshness)
}

// served records the age of what is about to be served. The clock of a node may
// be ahead: that is no negative age, which a histogram's sum cannot take.
func (m *Metrics) served(timestamp time.Time) {
	m.freshness.Observe(max(0, m.clock.Since(timestamp).Seconds()))
}

// Install adds the API group to a server.
func Install(server *genericapiserver.GenericAPIServer, reader Reader, m *Metrics) error {
	resources := map[string]rest.Storage{
		"nodes": &nodeStorage{reader: reader, metrics: m},
		"pods":  &podStorage{reader: reader, metrics: m},
	}
	group := genericapiserver.NewDefaultAPIGroupInfo(metrics.GroupName, Scheme, metav1.ParameterCodec, Codecs)
	group.VersionedResourcesStorageMap[v1.SchemeGroupVersion.Version] = resources
	group.VersionedResourcesStorageMap[v1beta1.SchemeGroupVersion.Version] = resources
	return server.InstallAPIGroup(&group)
}
