// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/component-base/metrics"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/scrape"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// /metrics shows what is in the store beside the metrics of the libraries, and
// zeros where there is nothing.
func TestMetricsHandler(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	clk := clocktesting.NewFakePassiveClock(now)
	s := store.New(clk, time.Minute)
	s.SetNode("a", nil)
	s.SetNode("b", nil)
	s.SetPod(store.PodMetadata{Namespace: "ns", Name: "p", UID: "1", Node: "a"})
	s.SetPod(store.PodMetadata{Namespace: "ns", Name: "new", UID: "2", Node: "b"})
	for round := range uint64(2) {
		now := now.Add(time.Duration(round) * 15 * time.Second)
		clk.SetTime(now)
		usage := exposition.Usage{Time: now.UnixNano(), CPU: 1e9 * (round + 1), Memory: 1, Has: exposition.HasCPU | exposition.HasMemory}
		s.Put("a", &exposition.Samples{Node: usage, Containers: []exposition.Container{
			{Namespace: []byte("ns"), Pod: []byte("p"), Name: []byte("c"), Usage: usage},
		}}, now)
	}

	registry := metrics.NewKubeRegistry()
	if err := registry.CustomRegister(newStateCollector(s, scrape.NewPool(scrape.Config{}))); err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	metricsHandler(registry).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	body := recorder.Body.String()
	for series, want := range map[string]int{
		`metrics_server_storage_points{type="node"}`:                        1,
		`metrics_server_storage_points{type="container"}`:                   1,
		`metrics_server_storage_served{type="node"}`:                        1,
		`metrics_server_storage_served{type="pod"}`:                         1,
		`metrics_server_storage_withheld{reason="not_scraped",type="node"}`: 1,
		`metrics_server_storage_withheld{reason="not_scraped",type="pod"}`:  1,
		`metrics_server_storage_withheld{reason="incomplete",type="pod"}`:   0,
		`metrics_server_storage_withheld{reason="no_window",type="pod"}`:    0,
		`metrics_server_storage_withheld{reason="stale",type="pod"}`:        0,
		`metrics_server_storage_withheld{reason="none_running",type="pod"}`: 0,
		`metrics_server_scrape_nodes{state="healthy"}`:                      0,
		`metrics_server_scrape_nodes{state="failing"}`:                      0,
	} {
		if line := fmt.Sprintf("\n%s %d\n", series, want); !strings.Contains(body, line) {
			t.Errorf("there is no line %q in\n%s", line, body)
		}
	}
	if !strings.Contains(body, "\nprocess_start_time_seconds ") || !strings.Contains(body, "\ngo_goroutines ") {
		t.Error("the process's own metrics are missing")
	}
}
