// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"
)

// observer reads the kubelet's answer and the files of the control groups every
// second.
type observer struct {
	client *http.Client
	// groups are the ids of the containers whose control groups are read.
	groups map[string]string

	mu sync.Mutex
	// By pod/container, or "" for the node: CPU in seconds, memory in bytes. Those of
	// the control groups are what the kubelet has to go by.
	cpu, memory, groupCPU, groupMemory map[string]*series
	failed                             error
}

func (u usage) key() string { return u.pod + "/" + u.container }

// observe goes on until the test ends. The containers must run until then.
func observe(t *testing.T, containers []usage) *observer {
	t.Helper()
	o := &observer{client: must[*http.Client](t)(rest.HTTPClientFor(node.AdminConfig())), groups: map[string]string{}}
	for _, u := range containers {
		o.groups[u.key()] = must[string](t)(containerID(t.Context(), u))
	}
	for _, m := range []*map[string]*series{&o.cpu, &o.memory, &o.groupCPU, &o.groupMemory} {
		*m = map[string]*series{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if err := o.read(ctx); err != nil && ctx.Err() == nil {
				o.mu.Lock()
				o.failed = errors.Join(o.failed, err)
				o.mu.Unlock()
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		o.client.CloseIdleConnections()
		if o.failed != nil {
			t.Error(o.failed)
		}
	})
	return o
}

func (o *observer) read(ctx context.Context) error {
	families, err := o.scrape(ctx)
	if err != nil {
		return err
	}
	for into, name := range map[*map[string]*series]string{&o.cpu: "cpu_usage_seconds_total", &o.memory: "memory_working_set_bytes"} {
		for _, m := range append(families["container_"+name].GetMetric(), families["node_"+name].GetMetric()...) {
			o.add(*into, keyOf(m), reading{time.UnixMilli(m.GetTimestampMs()), m.GetCounter().GetValue() + m.GetGauge().GetValue()})
		}
	}
	for key, id := range o.groups {
		if err := o.readGroup(key, id); err != nil {
			return err
		}
	}
	return nil
}

func (o *observer) add(m map[string]*series, key string, r reading) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m[key] == nil {
		m[key] = &series{}
	}
	m[key].add(r)
}

// of returns what has been read of one so far.
func (o *observer) of(m map[string]*series, key string) series {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m[key] == nil {
		return nil
	}
	return append(series(nil), *m[key]...)
}

func keyOf(m *dto.Metric) string {
	labels := map[string]string{}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	if len(labels) == 0 {
		return "" // the node
	}
	if labels["namespace"] != namespace {
		return labels["namespace"] + "/" + labels["pod"] + "/" + labels["container"]
	}
	return labels["pod"] + "/" + labels["container"]
}

func (o *observer) scrape(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	body, err := askFor(ctx, o.client, "/metrics/resource", "text/plain")
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(bytes.NewReader(body))
}

// readGroup reads what the kernel has counted, which the kubelet's is made of: the
// working set is what is in use but for file pages that have not been used for long.
func (o *observer) readGroup(key, id string) error {
	now := time.Now()
	cpu, err := node.containerCgroup(id, "cpuacct", "cpuacct.usage", "cpu.stat")
	if err != nil {
		return err
	}
	seconds, err := groupSeconds(cpu)
	if err != nil {
		return err
	}
	o.add(o.groupCPU, key, reading{now, seconds})
	used, err := node.containerCgroup(id, "memory", "memory.usage_in_bytes", "memory.current")
	if err != nil {
		return err
	}
	stat, err := node.containerCgroup(id, "memory", "memory.stat", "memory.stat")
	if err != nil {
		return err
	}
	bytes, err := strconv.ParseFloat(strings.TrimSpace(used), 64)
	if err != nil {
		return err
	}
	inactive, err := field(stat, "total_inactive_file", "inactive_file")
	if err != nil {
		return err
	}
	o.add(o.groupMemory, key, reading{now, bytes - inactive})
	return nil
}

// groupSeconds reads nanoseconds of version 1, and microseconds with a name of
// version 2.
func groupSeconds(text string) (float64, error) {
	if nanoseconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
		return nanoseconds / 1e9, nil
	}
	microseconds, err := field(text, "usage_usec")
	return microseconds / 1e6, err
}

// field is the first of these names.
func field(text string, names ...string) (float64, error) {
	for _, name := range names {
		for line := range strings.Lines(text) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				return strconv.ParseFloat(strings.TrimSpace(value), 64)
			}
		}
	}
	return 0, fmt.Errorf("there is none of %q in %q", names, text)
}
