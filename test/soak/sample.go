// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/process"
)

// Sample is what the server has at a time.
type Sample struct {
	// At is since all was served.
	At time.Duration
	// Resident, Anonymous and HeapInUse are in bytes.
	Resident, Anonymous, HeapInUse float64
	Goroutines, Threads            float64
	// Files are open descriptors, and Series those of /metrics.
	Files, Series float64
	// NodesServed and PodsServed are those that the server says it serves, of as many as
	// the options say. Containers are those that it holds points of.
	NodesServed, PodsServed, Containers float64
	// CPU is what it has used since the sample before, in cores.
	CPU float64
	cpu time.Duration
}

// probe looks at a server.
type probe struct {
	pid   int
	rest  rest.Interface
	began time.Time
	last  Sample
}

func (p *probe) sample(ctx context.Context) (s Sample, err error) {
	s.At = time.Since(p.began)
	u, err := process.Read(p.pid)
	if err != nil {
		return s, err
	}
	s.Resident, s.Anonymous, s.cpu = float64(u.Resident), float64(u.Anonymous), u.CPU
	if s.Files, err = countEntries(p.pid, "fd"); err != nil {
		return s, err
	}
	if s.Threads, err = countEntries(p.pid, "task"); err != nil {
		return s, err
	}
	text, err := p.rest.Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return s, fmt.Errorf("/metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return s, fmt.Errorf("/metrics: %w", err)
	}
	s.Series = float64(countSeries(text))
	s.HeapInUse = gauge(families, "go_memstats_heap_inuse_bytes", "")
	s.Goroutines = gauge(families, "go_goroutines", "")
	s.NodesServed = gauge(families, "metrics_server_storage_served", "node")
	s.PodsServed = gauge(families, "metrics_server_storage_served", "pod")
	s.Containers = gauge(families, "metrics_server_storage_points", "container")
	if p.last.At > 0 {
		s.CPU = float64(s.cpu-p.last.cpu) / float64(s.At-p.last.At)
	}
	p.last = s
	return s, nil
}

func countEntries(pid int, folder string) (float64, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", pid, folder))
	return float64(len(entries)), err
}

// countSeries counts lines that are no comments.
func countSeries(text []byte) (n int) {
	for line := range bytes.Lines(text) {
		if line[0] != '#' {
			n++
		}
	}
	return n
}

// gauge of a family, or the one that has a label of this value.
func gauge(families map[string]*dto.MetricFamily, name, label string) float64 {
	for _, m := range families[name].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetValue() == label {
				return m.GetGauge().GetValue()
			}
		}
		if label == "" {
			return m.GetGauge().GetValue()
		}
	}
	return 0
}
