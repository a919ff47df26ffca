// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClasses(t *testing.T) {
	s := Scenario{Nodes: 1000, Hanging: 0.2, Flaky: 0.1, Lying: 0.05}
	all := s.classes(1)
	var counts [numClasses]int
	for _, c := range all {
		counts[c]++
	}
	if counts != [numClasses]int{healthy: 650, flaky: 100, hanging: 200, lying: 50} {
		t.Errorf("%v", counts)
	}
	if !slices.Equal(all, s.classes(1)) || slices.Equal(all, s.classes(2)) {
		t.Error("the seed does not decide")
	}
}

// A wrong value counts as such, except where it is what a lying node tells of its
// own.
func TestTally(t *testing.T) {
	w := &workload{nodes: 4, podsPerNode: 1}
	wrong := errors.New("wrong")
	tally := newTally(w, []class{healthy, flaky, hanging, lying}, map[int]*lie{3: &lies[1]})
	tally.addNodes([]answer{{0, time.Second, nil}, {0, time.Second, nil}, {1, 9 * time.Second, wrong}, {3, 0, wrong}}, nil)
	tally.addNodes(nil, errors.New("refused"))
	tally.addPods([]answer{{0, time.Second, nil}, {-1, 0, wrong}}, nil)
	tally.addHPA(3, []answer{{0, 0, wrong}}, nil)
	tally.addHPA(1, []answer{{0, 0, nil}}, nil)
	if got := tally.nodeTally.share(); got != "37.5 %" {
		t.Errorf("nodes: %s", got)
	}
	if tally.nodeTally.least != 0 || tally.podTally.least != 0.25 || tally.hpaWhole != 1 || tally.failed != 1 {
		t.Errorf("%+v", tally)
	}
	if !maps.Equal(tally.wrong, map[string]int{"flaky": 1, "healthy": 1, unknown: 1}) ||
		!maps.Equal(tally.passed, map[string]int{lies[1].name: 1}) {
		t.Errorf("wrong %v, passed %v", tally.wrong, tally.passed)
	}
	r := &ScenarioReport{Scenario: Scenario{Name: "x", Nodes: 4}, Results: []*Result{{Name: "server", faults: tally}, {Name: "peer", faults: tally}}}
	if (&Report{Scenarios: []*ScenarioReport{r}}).wrong() == nil {
		t.Error("a report with wrong values is no error")
	}
	var out bytes.Buffer
	r.print(&out, &Options{})
	for _, want := range []string{"server, faults", "37.5 %", "flaky 1, healthy 1, unknown 1; the first: wrong", "1 reads failed, the first: refused"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, out.String())
		}
	}
}

func TestTimeline(t *testing.T) {
	reading := func(at time.Duration, pod bool, hpa int) Reading {
		return Reading{At: at, Node: true, Pod: pod, Age: time.Second, HPAPods: hpa}
	}
	line := &Timeline{Length: 1, Readings: []Reading{
		reading(-20*time.Second, true, 3), reading(-time.Second, true, 3), reading(0, true, 3),
		reading(14*time.Second, false, 2), reading(15*time.Second, false, 2), reading(time.Hour, true, 3),
	}}
	var sizes []int
	for _, group := range line.intervals(15*time.Second, 4) {
		sizes = append(sizes, len(group))
	}
	if want := []int{2, 2, 1, 0, 0, 0}; !slices.Equal(sizes, want) {
		t.Errorf("%v, want %v", sizes, want)
	}
	if node, pod, hpa := line.Missing(time.Second); node != 0 || pod != 2*time.Second || hpa != 2*time.Second {
		t.Errorf("%s %s %s", node, pod, hpa)
	}
	var out bytes.Buffer
	printTimelines(&out, &Options{Outages: []int{1}, Resolution: 15 * time.Second, ReadEvery: time.Second}, [][]*Timeline{{line}})
	if !strings.Contains(out.String(), "50 %") {
		t.Errorf("the first interval is missing:\n%s", out.String())
	}
	line.Readings[0].Wrong = 1
	if (&Report{Timelines: [][]*Timeline{{line}}}).wrong() == nil {
		t.Error("a wrong value is no error")
	}
}
