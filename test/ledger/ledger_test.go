// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

var start = time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func sample(container string, began, seconds, cpu float64, memory uint64) kubeletsim.Sample {
	return kubeletsim.Sample{
		ContainerRef: kubeletsim.ContainerRef{Namespace: "a", Pod: "p", Container: container},
		Time:         at(seconds), Start: at(began), CPU: uint64(cpu * 1e9), Memory: memory,
	}
}

// told is a ledger with three answers of a node: the second container restarts before
// the last.
func told() *Ledger {
	l := New(time.Hour)
	for _, a := range []kubeletsim.Answer{
		{Containers: []kubeletsim.Sample{sample("web", -100, 0, 50, 1), sample("proxy", -100, 0, 40, 10)}},
		{Containers: []kubeletsim.Sample{sample("web", -100, 10, 60, 2), sample("proxy", -100, 10, 41, 20)}},
		{Containers: []kubeletsim.Sample{sample("web", -100, 20, 90, 3), sample("proxy", 12, 20, 80, 30)}},
	} {
		a.Node = sample("", -100, a.Containers[0].Time.Sub(start).Seconds(), float64(a.Containers[0].CPU)/1e9, 7)
		l.record("n", &a, time.Now())
	}
	return l
}

func usage(cpu string, memory int64) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: *resource.NewQuantity(memory, resource.BinarySI)}
}

func served(seconds, window float64, containers ...v1beta1.ContainerMetrics) *v1beta1.PodMetrics {
	return &v1beta1.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}, Timestamp: metav1.NewTime(at(seconds)),
		Window: metav1.Duration{Duration: time.Duration(window * float64(time.Second))}, Containers: containers,
	}
}

func container(name, cpu string, memory int64) v1beta1.ContainerMetrics {
	return v1beta1.ContainerMetrics{Name: name, Usage: usage(cpu, memory)}
}

func TestCheckPod(t *testing.T) {
	for name, c := range map[string]struct {
		node    string
		m       *v1beta1.PodMetrics
		problem string // "" for none
	}{
		"the two samples before":       {"n", served(10, 10, container("web", "1", 2), container("proxy", "100m", 20)), ""},
		"since the start":              {"n", served(20, 10, container("web", "3", 3), container("proxy", "10", 30)), ""},
		"an older sample":              {"n", served(20, 20, container("web", "2", 3), container("proxy", "10", 30)), ""},
		"a window across a restart":    {"n", served(20, 10, container("web", "3", 3), container("proxy", "3900m", 30)), "no two samples of one life"},
		"a part of the pod":            {"n", served(20, 10, container("web", "3", 3)), "only a part"},
		"a container too many":         {"n", served(10, 10, container("web", "1", 2), container("proxy", "100m", 20), container("x", "1", 1)), "3 containers are served"},
		"memory of another sample":     {"n", served(10, 10, container("web", "1", 1), container("proxy", "100m", 20)), "1 bytes are served"},
		"another rate":                 {"n", served(10, 10, container("web", "1001m", 2), container("proxy", "100m", 20)), " are served, and no two samples"},
		"another window":               {"n", served(10, 9, container("web", "1", 2), container("proxy", "100m", 20)), "no container has a window"},
		"another time":                 {"n", served(15, 10, container("web", "1", 2), container("proxy", "100m", 20)), "has said nothing of that time"},
		"what another node has said":   {"m", served(10, 10, container("web", "1", 2), container("proxy", "100m", 20)), "has said nothing"},
		"the first sample of all ages": {"n", served(0, 100, container("web", "500m", 1), container("proxy", "400m", 10)), ""},
	} {
		err := told().CheckPod(c.node, c.m)
		if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s: %v, want %q", name, err, c.problem)
		}
	}
}

func TestCheckNode(t *testing.T) {
	l := told()
	m := &v1beta1.NodeMetrics{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Timestamp: metav1.NewTime(at(20)), Window: metav1.Duration{Duration: 10 * time.Second}, Usage: usage("3", 7)}
	if err := l.CheckNode(m); err != nil {
		t.Error(err)
	}
	for _, spoil := range []func(){
		func() { m.Usage = usage("2999m", 7) }, func() { m.Usage = usage("3", 8) },
		func() { m.Usage, m.Window.Duration = usage("3", 7), time.Second }, func() { m.Name = "m" },
	} {
		if spoil(); l.CheckNode(m) == nil {
			t.Errorf("%+v is accepted", m)
		}
	}
}

// What a kubelet says while its clock is ahead is one of its samples like any other.
func TestClockAhead(t *testing.T) {
	l := New(time.Hour)
	for _, s := range []kubeletsim.Sample{sample("web", -100, 0, 0, 1), sample("web", -85, 25, 10, 1), sample("web", -100, 20, 20, 1), sample("web", -100, 30, 30, 1)} {
		l.record("n", &kubeletsim.Answer{Containers: []kubeletsim.Sample{s}}, time.Now())
	}
	if err := l.CheckPod("n", served(30, 5, container("web", "4", 1))); err != nil {
		t.Error(err)
	}
}

// What it says while its clock is far behind is not news.
func TestClockBehind(t *testing.T) {
	l := New(time.Hour)
	for _, s := range []kubeletsim.Sample{sample("web", -10, 0, 0, 1), sample("web", -1010, -990, 10, 1), sample("web", -10, 20, 20, 1)} {
		l.record("n", &kubeletsim.Answer{Containers: []kubeletsim.Sample{s}}, time.Now())
	}
	if err := l.CheckPod("n", served(20, 20, container("web", "1", 1))); err != nil {
		t.Error(err)
	}
}

// A start that is told by a clock that is ahead may be later than the sample before: another life, for the
// server, that began then.
func TestStartAhead(t *testing.T) {
	l := New(time.Hour)
	for _, s := range []kubeletsim.Sample{sample("web", 0, 3, 3, 1), sample("web", 5, 17, 12, 1), sample("web", 0, 18, 26, 1)} {
		l.record("n", &kubeletsim.Answer{Containers: []kubeletsim.Sample{s}}, time.Now())
	}
	if err := l.CheckPod("n", served(18, 13, container("web", "2", 1))); err != nil {
		t.Error(err)
	}
}

func TestForget(t *testing.T) {
	m := served(10, 10, container("web", "1", 2), container("proxy", "100m", 20))
	l := told()
	l.ForgetPod("a", "other")
	if err := l.CheckPod("n", m); err != nil {
		t.Error(err)
	}
	l.ForgetPod("a", "p")
	if l.CheckPod("n", m) == nil {
		t.Error("the pod is remembered")
	}
	l = told()
	l.Forget()
	if l.CheckPod("n", m) == nil {
		t.Error("all is remembered")
	}
	l = told()
	l.record("n", &kubeletsim.Answer{}, time.Now().Add(2*time.Hour))
	l.sweep(time.Now().Add(2 * time.Hour))
	if len(l.pods) != 0 {
		t.Error("what is old is kept")
	}
}
