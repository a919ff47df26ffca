// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

const summaryQuery = summaryPath + "?only_cpu_and_memory=true"

// series is one series as it was sent.
type series struct {
	value float64
	// time is zero where none was sent.
	time time.Time
}

// index maps family{container/namespace/pod} to series.
func index(list []*dto.MetricFamily) map[string]series {
	all := make(map[string]series)
	for _, family := range list {
		for _, m := range family.Metric {
			var values []string
			for _, l := range m.Label {
				values = append(values, l.GetValue())
			}
			s := series{value: m.GetGauge().GetValue() + m.GetCounter().GetValue()}
			if m.TimestampMs != nil {
				s.time = time.UnixMilli(m.GetTimestampMs())
			}
			all[family.GetName()+"{"+strings.Join(values, "/")+"}"] = s
		}
	}
	return all
}

// expected works out from the public model what a request at the given time must
// see of the node and its pods.
func expected(t *testing.T, n *Node, pods []Pod, now time.Time) map[string]series {
	t.Helper()
	instant, sampled := now.Truncate(time.Millisecond), n.SampleTime(now)
	all := map[string]series{
		"node_cpu_usage_seconds_total{}":  {n.CPUSeconds(sampled), sampled},
		"node_memory_working_set_bytes{}": {float64(n.WorkingSet(sampled)), sampled},
		"resource_scrape_error{}":         {},
		"scrape_error{}":                  {},
	}
	nodeSwap := 0.0
	for _, p := range pods {
		pod, ok := n.Pod(p.Namespace, p.Name)
		if !ok {
			t.Fatalf("no pod %s/%s", p.Namespace, p.Name)
		}
		sum := map[string]float64{}
		running := false
		for _, c := range pod.Containers {
			name := "{" + c.Name + "/" + p.Namespace + "/" + p.Name + "}"
			all["container_cpu_usage_seconds_total"+name] = series{c.CPUSeconds(instant), instant}
			all["container_memory_working_set_bytes"+name] = series{float64(c.WorkingSet(instant)), instant}
			all["container_start_time_seconds"+name] = series{value: float64(c.Start.UnixNano()) / 1e9}
			all["container_swap_limit_bytes"+name] = series{float64(c.SwapLimit), instant}
			all["container_swap_usage_bytes"+name] = series{c.Swap.Mean, instant}
			running = running || !c.Start.After(sampled)
			sum["pod_cpu_usage_seconds_total"] += float64(c.cpuNanoseconds(sampled.UnixNano()))
			sum["pod_memory_working_set_bytes"] += float64(c.WorkingSet(sampled))
			sum["pod_swap_usage_bytes"] += c.Swap.Mean
		}
		if !running {
			continue
		}
		sum["pod_cpu_usage_seconds_total"] /= 1e9
		nodeSwap += sum["pod_swap_usage_bytes"]
		for family, v := range sum {
			all[family+"{"+p.Namespace+"/"+p.Name+"}"] = series{v, sampled}
		}
	}
	all["node_swap_usage_bytes{}"] = series{nodeSwap, sampled}
	return all
}

func compare(t *testing.T, got, want map[string]series) {
	t.Helper()
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			t.Errorf("%s is missing", name)
		} else if g.value != w.value || !g.time.Equal(w.time) {
			t.Errorf("%s = %v at %v, want %v at %v", name, g.value, g.time, w.value, w.time)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is not expected", name)
		}
	}
}

func TestAnswersAgreeWithTheModel(t *testing.T) {
	f := newFixture(t)
	pods := variedPods()
	f.clock.Step(3 * time.Second)
	f.setPods(pods...)
	for _, step := range []time.Duration{0, 12 * time.Second, 1234567 * time.Microsecond, time.Hour} {
		f.clock.Step(step)
		want := expected(t, f.node, pods, f.clock.Now())
		compare(t, index(f.bothFormats()), want)
		compare(t, f.summaryIndex(), inSummary(want))
	}
}

// inSummary is what /stats/summary can say of the same: whole seconds, no
// scrape errors.
func inSummary(all map[string]series) map[string]series {
	in := make(map[string]series)
	for name, s := range all {
		switch {
		case strings.Contains(name, "scrape_error"):
			continue
		case strings.HasPrefix(name, "container_start"):
			s.value = float64(int64(s.value))
		}
		if !s.time.IsZero() {
			s.time = s.time.Truncate(time.Second)
		}
		in[name] = s
	}
	return in
}

func (f *fixture) summary() stats.Summary {
	f.t.Helper()
	answer := f.get(summaryQuery)
	if got := answer.header.Get("Content-Type"); got != "application/json" {
		f.t.Errorf("content type = %q", got)
	}
	var s stats.Summary
	if err := json.Unmarshal(answer.body, &s); err != nil {
		f.t.Fatal(err)
	}
	return s
}

// summaryIndex translates the summary into the families of /metrics/resource, as
// a kubelet makes them from it.
func (f *fixture) summaryIndex() map[string]series {
	f.t.Helper()
	s := f.summary()
	if s.Node.NodeName != f.node.Name() {
		f.t.Errorf("node name = %q", s.Node.NodeName)
	}
	all := make(map[string]series)
	add := func(scope, name string, cpu *stats.CPUStats, memory *stats.MemoryStats, swap *stats.SwapStats) {
		if cpu != nil {
			all[scope+"_cpu_usage_seconds_total"+name] = series{float64(*cpu.UsageCoreNanoSeconds) / 1e9, cpu.Time.Time}
		}
		if memory != nil {
			all[scope+"_memory_working_set_bytes"+name] = series{float64(*memory.WorkingSetBytes), memory.Time.Time}
		}
		if swap != nil {
			all[scope+"_swap_usage_bytes"+name] = series{float64(*swap.SwapUsageBytes), swap.Time.Time}
		}
	}
	add("node", "{}", s.Node.CPU, s.Node.Memory, s.Node.Swap)
	for _, p := range s.Pods {
		pod := p.PodRef.Namespace + "/" + p.PodRef.Name + "}"
		add("pod", "{"+pod, p.CPU, p.Memory, p.Swap)
		for _, c := range p.Containers {
			name := "{" + c.Name + "/" + pod
			add("container", name, c.CPU, c.Memory, c.Swap)
			all["container_start_time_seconds"+name] = series{value: float64(c.StartTime.Unix())}
			limit := *c.Swap.SwapUsageBytes + *c.Swap.SwapAvailableBytes
			if *c.Swap.SwapAvailableBytes == 0 {
				limit = 0
			}
			all["container_swap_limit_bytes"+name] = series{float64(limit), c.Swap.Time.Time}
		}
	}
	return all
}

func TestSummaryNamesPods(t *testing.T) {
	f := newFixture(t)
	f.setPods(variedPods()...)
	for _, p := range f.summary().Pods {
		if p.PodRef.Name != "first" {
			continue
		}
		if p.PodRef.UID != "uid-first" {
			t.Errorf("UID = %q", p.PodRef.UID)
		}
		if want := epoch.Add(-100 * 24 * time.Hour); !p.StartTime.Time.Equal(want) {
			t.Errorf("start = %s, want that of the first container, %s", p.StartTime, want)
		}
		return
	}
	t.Error("a pod is missing")
}

func TestSampleTimes(t *testing.T) {
	f := newFixture(t)
	f.setPods(Pod{Namespace: "ns", Name: "pod", Containers: []Container{{Name: "c", Start: epoch.Add(-time.Minute)}}})
	f.clock.Step(19*time.Second + 999999*time.Microsecond)
	all := index(f.bothFormats())
	for name, want := range map[string]time.Time{
		"container_cpu_usage_seconds_total{c/ns/pod}": epoch.Add(19999 * time.Millisecond),
		"pod_cpu_usage_seconds_total{ns/pod}":         epoch.Add(10 * time.Second),
		"node_cpu_usage_seconds_total{}":              epoch.Add(10 * time.Second),
	} {
		if got := all[name].time; !got.Equal(want) {
			t.Errorf("%s is of %s, want %s", name, got, want)
		}
	}
}

func TestSampleIntervalOption(t *testing.T) {
	clk := newFixture(t).clock
	s := startSimulation(t, Options{Clock: clk, NodeSampleInterval: time.Millisecond})
	n := addNode(t, s, "node-1")
	clk.Step(12345678 * time.Nanosecond)
	if got, want := n.SampleTime(clk.Now()), epoch.Add(12*time.Millisecond); !got.Equal(want) {
		t.Errorf("sample time = %s, want %s", got, want)
	}
}

func TestNodeCounterFollowsItsPods(t *testing.T) {
	f := newFixture(t)
	if err := f.node.SetOverhead(Constant(0.5), Constant(1000)); err != nil {
		t.Fatal(err)
	}
	pod := func(name string) Pod {
		return Pod{Namespace: "ns", Name: name, Containers: []Container{
			{Name: "c", Start: epoch.Add(-time.Hour), CPU: Constant(0.25), Memory: Constant(100)},
		}}
	}
	// Usage of the node in each interval of 10 s, all changes being made in its
	// middle and at its start by turns.
	steps := []struct {
		name       string
		change     func() error
		cpuSeconds float64
		memory     uint64
	}{
		{"no pod", func() error { return nil }, 5, 1000},
		{"a pod joins with a counter of an hour", func() error { return f.node.AddPod(pod("a")) }, 5 + 2.5, 1100},
		{"another joins", func() error { return f.node.AddPod(pod("b")) }, 5 + 2.5 + 2.5, 1200},
		{"a restart", func() error { return f.node.RestartContainer("ns", "a", "c", f.clock.Now()) }, 5 + 2.5 + 2.5, 1200},
		{"a pod leaves", func() error { f.node.RemovePod("ns", "a"); return nil }, 5 + 2.5, 1100},
		{"all are replaced", func() error { return f.node.SetPods([]Pod{pod("b"), pod("c")}) }, 5 + 2.5 + 2.5, 1200},
		{"all leave", func() error { return f.node.SetPods(nil) }, 5, 1000},
		{"nothing happens", func() error { return nil }, 5, 1000},
	}
	last := 0.0
	for _, step := range steps {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		f.clock.Step(10 * time.Second)
		all := index(f.bothFormats())
		counter, memory := all["node_cpu_usage_seconds_total{}"].value, all["node_memory_working_set_bytes{}"].value
		if counter-last != step.cpuSeconds || memory != float64(step.memory) {
			t.Errorf("%s: %v CPU seconds and %v bytes, want %v and %d", step.name, counter-last, memory, step.cpuSeconds, step.memory)
		}
		last = counter
	}
}

// Two answers with one sample time must have one value, also where pods came and
// went between them.
func TestNodeSampleHoldsUntilTheNext(t *testing.T) {
	f := newFixture(t)
	pod := Pod{Namespace: "ns", Name: "a", Containers: []Container{{Name: "c", Start: epoch.Add(-time.Hour), CPU: Constant(1)}}}
	f.setPods(pod)
	f.clock.Step(13 * time.Second)
	node := func() series { return index(f.bothFormats())["node_cpu_usage_seconds_total{}"] }
	before := node()
	f.node.RemovePod("ns", "a")
	pod.Name = "b"
	if err := f.node.AddPod(pod); err != nil {
		t.Fatal(err)
	}
	f.clock.Step(time.Second)
	if after := node(); after != before {
		t.Errorf("sample changed from %v to %v", before, after)
	}
	// a until 13 s, b from 10 s, and the overhead of 0.1 cores.
	f.clock.Step(6 * time.Second)
	if got, want := node().value, 13+10+2.0; got != want {
		t.Errorf("CPU seconds after 20 s = %v, want %v", got, want)
	}
	if got, want := f.node.ExpectedCPU(epoch.Add(20*time.Second), epoch.Add(30*time.Second)), 1.1e9; got != want {
		t.Errorf("usage = %v nanocores, want %v", got, want)
	}
}

func TestRestart(t *testing.T) {
	f := newFixture(t)
	f.setPods(Pod{Namespace: "ns", Name: "pod", Containers: []Container{{Name: "c", Start: epoch.Add(-time.Hour), CPU: Constant(1)}}})
	f.clock.Step(30 * time.Second)
	at := epoch.Add(25 * time.Second)
	if err := f.node.RestartContainer("ns", "pod", "c", at); err != nil {
		t.Fatal(err)
	}
	all := index(f.bothFormats())
	for name, want := range map[string]float64{
		"container_cpu_usage_seconds_total{c/ns/pod}": 5,
		"container_start_time_seconds{c/ns/pod}":      float64(at.Unix()),
		"pod_cpu_usage_seconds_total{ns/pod}":         3630,
	} {
		if got := all[name].value; got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	pod, _ := f.node.Pod("ns", "pod")
	if c, ok := pod.Container("c"); !ok || !c.Start.Equal(at) {
		t.Errorf("container = %+v, want one that started at %s", c, at)
	}
	if _, ok := pod.Container("other"); ok {
		t.Error("the pod has a container that it has not")
	}
	for name, bad := range map[string]struct {
		container string
		at        time.Time
	}{
		"unknown":               {"other", at},
		"before the last start": {"c", at.Add(-time.Second)},
		"in the future":         {"c", epoch.Add(time.Minute)},
	} {
		if err := f.node.RestartContainer("ns", "pod", bad.container, bad.at); err == nil {
			t.Errorf("restart %s: no error", name)
		}
	}
}

func TestRemovedPodIsGone(t *testing.T) {
	f := newFixture(t)
	f.setPods(variedPods()...)
	if !f.node.RemovePod("b", "first") || f.node.RemovePod("b", "first") {
		t.Error("RemovePod does not tell whether there was a pod")
	}
	if _, ok := f.node.Pod("b", "first"); ok {
		t.Error("the pod is still found")
	}
	for name := range index(f.bothFormats()) {
		if strings.Contains(name, "b/first") {
			t.Errorf("%s is still reported", name)
		}
	}
}

// Pods that come and go must not make a node grow.
func TestChurnIsForgotten(t *testing.T) {
	f := newFixture(t)
	for range 100 {
		f.setPods(variedPods()...)
		f.clock.Step(7 * time.Second)
	}
	if got, most := len(f.node.past), 4*len(variedPods()); got > most {
		t.Errorf("the node remembers %d runs, want at most %d", got, most)
	}
}
