// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/eventually"
)

func TestHealthChecks(t *testing.T) {
	for path, checks := range map[string][]string{
		"/readyz": {"metric-storage-ready", "metric-informer-sync", "metadata-informer-sync"},
		"/livez":  {"metric-collection-timely", "metadata-informer-sync"},
	} {
		eventually.Succeeds(t, patience, func() error {
			status, body := request(t, direct(), path+"?verbose", "text/plain")
			for _, c := range checks {
				if status != 200 || !strings.Contains(body, "[+]"+c+" ok") {
					return fmt.Errorf("%s: %d, %s is not ok:\n%s", path, status, c, body)
				}
			}
			return nil
		})
	}
}

func TestOwnMetrics(t *testing.T) {
	for name, least := range map[string]float64{
		"metrics_server_manager_tick_duration_seconds":     1,
		"metrics_server_kubelet_request_duration_seconds":  nodeCount,
		"metrics_server_kubelet_request_total":             nodeCount,
		"metrics_server_kubelet_last_request_time_seconds": 1e9,
		"metrics_server_api_metric_freshness_seconds":      podCount,
		"metrics_server_storage_points":                    nodeCount + podCount,
		"metrics_server_storage_served":                    nodeCount + podCount,
		"metrics_server_storage_withheld":                  0,
		"metrics_server_scrape_nodes":                      nodeCount,
		"metrics_server_scrape_in_flight":                  0,
		"metrics_server_scrape_total":                      nodeCount,
		"metrics_server_scrape_decode_errors_total":        0,
		"metrics_server_scrape_rejected_samples_total":     0,
		"metrics_server_scrape_received_bytes_total":       1000 * nodeCount,
		"apiserver_request_total":                          1,
		"rest_client_requests_total":                       1,
		"process_resident_memory_bytes":                    1,
	} {
		if got := serverMetric(t, name); got < least {
			t.Errorf("%s is %v, want at least %v", name, got, least)
		}
	}
	_, body := request(t, direct(), "/metrics", "text/plain")
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "metrics_server_") && (strings.Contains(line, "node-") || strings.Contains(line, "cart-")) {
			t.Errorf("a series of a single node or pod: %s", line)
		}
	}
}

// second is a metrics server of its own on the same cluster.
type second struct {
	process *cluster.Process
	config  *rest.Config
}

func startSecond(t *testing.T, flags ...string) second {
	t.Helper()
	process, url, err := local.StartAnother(flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			t.Error(err)
		}
	})
	config := local.AdminConfig()
	config.Host = url
	s := second{process: process, config: config}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, patience, func() error {
		// Listening comes a moment before it knows whose certificates to trust.
		resp, err := client.Get(url + "/metrics")
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return errors.Join(err, resp.Body.Close())
	})
	return s
}

func (s second) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.process.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestServerProcess(t *testing.T) {
	t.Run("a node selector and metrics per node", func(t *testing.T) {
		second := startSecond(t, "--node-selector=topology.kubernetes.io/zone=b", "--kubelet-per-node-metrics")
		eventually.Succeeds(t, patience, func() error {
			status, body := request(t, second.config, "/apis/metrics.k8s.io/v1/nodes", "application/json")
			if got := strings.Count(body, `"kind"`) + strings.Count(body, `"name":"node-`); status != 200 || got != 1+nodeCount/3 {
				return fmt.Errorf("%d: %s", status, body)
			}
			return nil
		})
		status, body := request(t, second.config, "/apis/metrics.k8s.io/v1/nodes/node-0", "application/json")
		if status != 404 || !strings.Contains(body, "--node-selector") {
			t.Errorf("a node that is left out: %d %s", status, body)
		}
		_, body = request(t, second.config, "/metrics", "text/plain")
		if !strings.Contains(body, `metrics_server_kubelet_last_request_time_seconds{node="node-1"}`) {
			t.Error("there are no metrics per node")
		}
		// Stopping is clean.
		if err := errors.Join(second.process.Stop(), second.process.Wait()); err != nil {
			t.Errorf("SIGTERM: %v", err)
		}
	})
	t.Run("scraping goes on while requests drain", func(t *testing.T) {
		second := startSecond(t, "--shutdown-delay-duration=14s")
		metrics := func() float64 { return metricOf(t, second.config, "metrics_server_scrape_total", "result=success") }
		eventually.Succeeds(t, patience, func() error {
			if n := metrics(); n < nodeCount {
				return fmt.Errorf("%v scrapes", n)
			}
			return nil
		})
		stopped := make(chan error, 1)
		go func() { stopped <- second.process.Stop() }()
		eventually.Succeeds(t, patience, func() error {
			if status, _ := request(t, second.config, "/readyz", "text/plain"); status == 200 {
				return errors.New("still ready after SIGTERM")
			}
			return nil
		})
		before := metrics()
		eventually.Succeeds(t, patience, func() error {
			if now := metrics(); now <= before {
				return errors.New("no scrape since SIGTERM")
			}
			return nil
		})
		if err := errors.Join(<-stopped, second.process.Wait()); err != nil {
			t.Error(err)
		}
	})
	t.Run("JSON logs", func(t *testing.T) {
		second := startSecond(t, "--logging-format=json")
		eventually.Succeeds(t, patience, func() error {
			if !strings.Contains(second.log(t), `"msg":"Starting"`) {
				return fmt.Errorf("no JSON in the log: %s", second.log(t))
			}
			return nil
		})
	})
}
