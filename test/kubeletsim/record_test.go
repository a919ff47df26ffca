// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"crypto/tls"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

func TestRecord(t *testing.T) {
	clock := testingclock.NewFakeClock(epoch)
	var got []*Answer
	ca := newCA(t)
	s := startSimulation(t, Options{CA: ca, Clock: clock, Record: func(_ *Node, a *Answer) { got = append(got, a) }})
	f := &fixture{t: t, clock: clock, simulation: s, node: addNode(t, s, "node-0"), client: newClient(t, &tls.Config{RootCAs: ca.Pool()}, false)}
	f.setPods(Pod{Namespace: "a", Name: "p", Containers: []Container{
		{Name: "web", Start: epoch.Add(-time.Minute), CPU: Constant(2), Memory: Constant(100)},
	}})
	web := ContainerRef{"a", "p", "web"}
	record := func(faults ...Fault) *Answer {
		t.Helper()
		got = nil
		f.setFaults(faults...)
		f.get(resourceMetricsPath)
		if len(got) == 0 {
			return nil
		}
		return got[0]
	}

	a := record()
	want := Sample{ContainerRef: web, Time: epoch, Start: epoch.Add(-time.Minute), CPU: 120e9, Memory: 100}
	if len(a.Containers) != 1 || a.Containers[0] != normal(a.Containers[0], want) || a.Node.Time.IsZero() {
		t.Errorf("%+v", a)
	}
	if a := record(BadValue("container_cpu_usage_seconds_total", web, -1)); len(a.Containers) != 0 || a.Node.Time.IsZero() {
		t.Errorf("a container without a good value: %+v", a)
	}
	if a := record(BadValue("node_cpu_usage_seconds_total", ContainerRef{}, -1)); len(a.Containers) != 1 || !a.Node.Time.IsZero() {
		t.Errorf("a node without a good value: %+v", a)
	}
	if a := record(MissingFamilies("node_cpu_usage_seconds_total")); len(a.Containers) != 1 || !a.Node.Time.IsZero() {
		t.Errorf("a node without a metric: %+v", a)
	}
	if a := record(MissingFamilies("container_start_time_seconds")); len(a.Containers) != 0 || a.Node.Time.IsZero() {
		t.Errorf("containers without a metric: %+v", a)
	}
	if a := record(ClockSkew(time.Hour)); !a.Containers[0].Time.Equal(epoch.Add(time.Hour)) {
		t.Errorf("a clock that is wrong: %+v", a)
	}
	if a := record(Drip(100000, time.Second)); !a.Slow || record().Slow {
		t.Errorf("a slow answer: %+v", a)
	}
	for _, fault := range []Fault{HTMLBody(), TruncatedBody(), RandomBody(10, 1), MissingTimestamps()} {
		if a := record(fault); a != nil {
			t.Errorf("%s: %+v", fault, a)
		}
	}
}

// normal is want if got has the same times, whatever their zones.
func normal(got, want Sample) Sample {
	if got.Time.Equal(want.Time) && got.Start.Equal(want.Start) {
		want.Time, want.Start = got.Time, got.Start
	}
	return want
}
