// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the metrics server as users meet it: a real kube-apiserver
// in front, reached through the aggregation layer, simulated kubelets behind.
package e2e

import (
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	resolution = 10 * time.Second
	nodeCount  = 15
	podCount   = 60
	// patience is how long a test waits for what takes two intervals at most.
	patience = 90 * time.Second
)

var local *localcluster.Local

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: nodeCount, Pods: podCount,
		ObserveToken: sentTokens.Observe,
		ServerFlags:  []string{"--metric-resolution=" + resolution.String(), "--kubelet-request-timeout=4s", "--v=1"},
	}, func(l *localcluster.Local) int {
		local = l
		return m.Run()
	}))
}

func metricsOf(t *testing.T, config *rest.Config) metricsclient.Interface {
	t.Helper()
	client, err := metricsclient.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := local.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// request asks the API server, or the metrics server itself where the
// configuration points there, for a path.
func request(t *testing.T, config *rest.Config, path, accept string) (int, string) {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// direct is the administrator's way to the server, without the aggregation
// layer: it does not need the API server.
func direct() *rest.Config {
	config := local.AdminConfig()
	config.Host = local.ServerURL()
	return config
}

// serverMetric is metricOf the server itself.
func serverMetric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	return metricOf(t, direct(), name, labels...)
}

// metricOf returns the sum of the series of a server's own /metrics that have
// these labels, as key=value.
func metricOf(t *testing.T, server *rest.Config, name string, labels ...string) float64 {
	t.Helper()
	status, body := request(t, server, "/metrics", "text/plain")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if families[name] == nil {
		t.Fatalf("the server has no metric %s", name)
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		has := map[string]bool{}
		for _, pair := range m.GetLabel() {
			has[pair.GetName()+"="+pair.GetValue()] = true
		}
		matches := true
		for _, l := range labels {
			matches = matches && has[l]
		}
		if matches {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// within1Percent is how close a served value has to be.
func within1Percent(got, want float64) bool { return math.Abs(got-want) <= want/100 }

func node(t *testing.T, i int) *kubeletsim.Node {
	t.Helper()
	n, ok := local.Kubelets.Node(fmt.Sprint("node-", i))
	if !ok {
		t.Fatalf("there is no node-%d", i)
	}
	return n
}
