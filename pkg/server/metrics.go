// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	apiservermetrics "k8s.io/apiserver/pkg/endpoints/metrics"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/restclient" // of requests to the API server

	"github.com/kubemeter/metrics-server/pkg/scrape"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// metricsHandler serves our own metrics and those of the libraries.
func metricsHandler(own metrics.KubeRegistry) http.Handler {
	apiservermetrics.Register()
	return promhttp.HandlerFor(prometheus.Gatherers{legacyregistry.DefaultGatherer, own},
		promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// Registries returns what has our own metrics and those of the libraries, of a server that
// does not run. It is for the reference in docs/: they describe families without samples,
// too.
func (c Config) Registries() (own, libraries *prometheus.Registry, err error) {
	s, err := c.newServer()
	if err != nil {
		return nil, nil, err
	}
	return s.metrics.Registerer().(*prometheus.Registry), legacyregistry.Registerer().(*prometheus.Registry), nil
}

var (
	pointsDesc = metrics.NewDesc("metrics_server_storage_points",
		"Number of nodes and containers of which points are stored", []string{"type"}, nil, metrics.ALPHA, "")
	servedDesc = metrics.NewDesc("metrics_server_storage_served",
		"Number of nodes and pods that can be read now", []string{"type"}, nil, metrics.ALPHA, "")
	withheldDesc = metrics.NewDesc("metrics_server_storage_withheld",
		"Number of nodes and pods that the API server lists, but that cannot be served now, by reason",
		[]string{"type", "reason"}, nil, metrics.ALPHA, "")
	nodesDesc = metrics.NewDesc("metrics_server_scrape_nodes",
		"Number of nodes that are scraped, by whether their last scrape failed", []string{"state"}, nil, metrics.ALPHA, "")
)

// stateCollector counts what is in the store and the pool when it is asked.
type stateCollector struct {
	metrics.BaseStableCollector
	store *store.Store
	pool  *scrape.Pool
}

func newStateCollector(s *store.Store, p *scrape.Pool) *stateCollector {
	return &stateCollector{store: s, pool: p}
}

// DescribeWithStability implements metrics.StableCollector.
func (c *stateCollector) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, d := range []*metrics.Desc{pointsDesc, servedDesc, withheldDesc, nodesDesc} {
		ch <- d
	}
}

// CollectWithStability implements metrics.StableCollector.
func (c *stateCollector) CollectWithStability(ch chan<- metrics.Metric) {
	gauge := func(d *metrics.Desc, value int, labels ...string) {
		ch <- metrics.NewLazyConstMetric(d, metrics.GaugeValue, float64(value), labels...)
	}
	s := c.store.Stats()
	gauge(pointsDesc, s.NodePoints, "node")
	gauge(pointsDesc, s.ContainerPoints, "container")
	gauge(servedDesc, s.NodesServed, "node")
	gauge(servedDesc, s.PodsServed, "pod")
	for _, reason := range store.WithheldReasons() {
		if reason != store.NoneRunning {
			gauge(withheldDesc, s.NodesWithheld[reason], "node", string(reason))
		}
		gauge(withheldDesc, s.PodsWithheld[reason], "pod", string(reason))
	}
	all, failing := c.pool.Nodes()
	gauge(nodesDesc, all-failing, "healthy")
	gauge(nodesDesc, failing, "failing")
}
