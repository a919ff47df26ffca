// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/eventually"
)

// What may lie between two true figures.
const (
	// Readings a second apart are joined by straight lines. Within a second, a container
	// is ahead of the line by a period of its quota (25 ms of CPU), or makes up for what
	// the machine did not give it; both ends of a window of 10 s can be off by that.
	cpuTolerance, cpuShare = 6, 0.03
	// Pages come and go between two readings.
	memoryTolerance = 1
	// A Go program that does nothing has this much at most, and the kernel's pages for
	// it.
	programMebibytes = 16
)

// served is one container of one object of the API.
type served struct {
	time                  time.Time // to the second, rounded down
	window                time.Duration
	millicores, mebibytes float64
}

// watched is all that was served in a test.
type watched struct {
	length     time.Duration
	containers map[string][]served
	node       []served
	// crash is the containers that the crashing pod was served with, each second.
	crash []sighting
	// runs are when its container that crashes ended, or zero, by when it started. Both
	// are rounded down to a second.
	runs map[time.Time]time.Time
	// withheld is what is said of that pod while it is not served, and how often.
	withheld map[string]int
}

type sighting struct {
	time       time.Time
	containers []string
}

func TestUsage(t *testing.T) {
	client := startServer(t).client
	o := startWatched(t, client)
	w := watch(t, client, o, *length)
	w.checkSteady(t, o)
	w.checkNode(t, o)
	w.checkCrashing(t)
	out := must[string](t)(node.Kubectl(t.Context(), "top", "pod", "--containers", "--all-namespaces"))
	t.Logf("kubectl top:\n%s", out)
	if strings.Contains(out, "once") {
		t.Error("a pod that has ended is served")
	}
}

// startWatched starts containers that do known things, and returns when they and the node
// are served.
func startWatched(t *testing.T, client metricsclient.Interface) *observer {
	t.Helper()
	startWorkload(t)
	o := observe(t, steady)
	eventually.Succeeds(t, patience, func() error {
		m, err := client.MetricsV1beta1().PodMetricses(namespace).Get(t.Context(), "whole", metav1.GetOptions{})
		if err != nil {
			return err
		}
		// The init container that has ended is neither waited for nor served.
		if names := containersOf(m); !slices.Equal(names, []string{"hold", "sidecar", "spin"}) {
			t.Fatalf("the pod is served with containers %q", names)
		}
		_, err = client.MetricsV1beta1().NodeMetricses().Get(t.Context(), Name, metav1.GetOptions{})
		return err
	})
	return o
}

func containersOf(m *metricsv1beta1.PodMetrics) (names []string) {
	for _, c := range m.Containers {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}

// watch reads what is served for so long, and prints a table.
func watch(t *testing.T, reader metricsclient.Interface, o *observer, length time.Duration) *watched {
	t.Helper()
	since := time.Now()
	w := &watched{length: length, containers: map[string][]served{}, runs: map[time.Time]time.Time{}, withheld: map[string]int{}}
	client := reader.MetricsV1beta1()
	start := time.Now()
	table := newTable(start)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for time.Since(start) < length {
		<-tick.C
		pods := must[*metricsv1beta1.PodMetricsList](t)(client.PodMetricses(namespace).List(t.Context(), metav1.ListOptions{}))
		for i := range pods.Items {
			w.addPod(&pods.Items[i], since)
		}
		n := must[*metricsv1beta1.NodeMetrics](t)(client.NodeMetricses().Get(t.Context(), Name, metav1.GetOptions{}))
		w.node = add(w.node, newServed(n.Timestamp, n.Window, n.Usage))
		if _, err := client.PodMetricses(namespace).Get(t.Context(), "crash", metav1.GetOptions{}); apierrors.IsNotFound(err) {
			w.withheld[err.Error()]++
		} else if err != nil {
			t.Fatal(err)
		}
		w.addRuns(t)
		table.print(w, o)
	}
	// What was served last ends within a second of its time.
	last := time.Now()
	eventually.Succeeds(t, patience, func() error {
		for _, u := range steady {
			if _, err := o.of(o.groupCPU, u.key()).at(last.Add(time.Second)); err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

func (w *watched) addRuns(t *testing.T) {
	t.Helper()
	p := must[*corev1.Pod](t)(node.Client().CoreV1().Pods(namespace).Get(t.Context(), crashing.pod, metav1.GetOptions{}))
	for _, s := range p.Status.ContainerStatuses {
		if s.Name != crashing.container {
			continue
		}
		if s.State.Running != nil {
			w.runs[s.State.Running.StartedAt.Time] = time.Time{}
		}
		for _, ended := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
			if ended != nil {
				w.runs[ended.StartedAt.Time] = ended.FinishedAt.Time
			}
		}
	}
}

// addPod leaves out what began before it was watched.
func (w *watched) addPod(m *metricsv1beta1.PodMetrics, since time.Time) {
	if m.Name == crashing.pod {
		w.crash = append(w.crash, sighting{time.Now(), containersOf(m)})
	}
	if m.Timestamp.Add(-m.Window.Duration).Before(since) {
		return
	}
	for _, c := range m.Containers {
		key := usage{pod: m.Name, container: c.Name}.key()
		w.containers[key] = add(w.containers[key], newServed(m.Timestamp, m.Window, c.Usage))
	}
}

func newServed(timestamp metav1.Time, window metav1.Duration, u corev1.ResourceList) served {
	return served{timestamp.Time, window.Duration, u.Cpu().AsApproximateFloat64() * 1000, u.Memory().AsApproximateFloat64() / (1 << 20)}
}

func add(all []served, s served) []served {
	if n := len(all); n > 0 && all[n-1] == s {
		return all
	}
	return append(all, s)
}

// checkSteady holds what was served against what the kubelet and the kernel counted
// in the same window, and against what the containers are made to use.
func (w *watched) checkSteady(t *testing.T, o *observer) {
	t.Helper()
	for _, u := range steady {
		all := w.containers[u.key()]
		// The kubelet looks at a container every 10 to 20 seconds.
		if len(all) < int(w.length/time.Minute) {
			t.Errorf("%s was served %d times only", u.key(), len(all))
			continue
		}
		sum, exact := 0.0, 0
		for _, s := range all {
			sum += s.millicores
			if checkKubelet(t, u.key(), s, o) {
				exact++
			}
			s.check(t, u.key()+" by the kernel", o.of(o.groupCPU, u.key()), o.of(o.groupMemory, u.key()))
			if s.mebibytes <= u.mebibyte || s.mebibytes > u.mebibyte+programMebibytes {
				t.Errorf("%s at %s: %.1f MiB are served, want some more than %v", u.key(), s.time, s.mebibytes, u.mebibyte)
			}
		}
		mean := sum / float64(len(all))
		if math.Abs(mean-u.millicores) > cpuTolerance+cpuShare*u.millicores {
			t.Errorf("%s: %.1f millicores are served on average, and %v are used", u.key(), mean, u.millicores)
		}
		t.Logf("%s: %.2f millicores on average of %d values, of which %d are exactly those of two answers of the kubelet", u.key(), mean, len(all), exact)
	}
}

func (w *watched) checkNode(t *testing.T, o *observer) {
	t.Helper()
	exact := 0
	for _, s := range w.node {
		if checkKubelet(t, "", s, o) {
			exact++
		}
	}
	if exact == 0 {
		t.Errorf("no value of the node is made of two of the kubelet's answers: %v of %v", w.node, o.of(o.cpu, ""))
	}
	t.Logf("the node: %d of %d values are exactly those of two answers of the kubelet", exact, len(w.node))
}

// checkKubelet holds a value against the kubelet's answers to another reader. All get the
// same while the kubelet goes by what it looked at last, and others while it looks when
// it is asked.
func checkKubelet(t *testing.T, key string, s served, o *observer) (exact bool) {
	t.Helper()
	cpu, memory := o.of(o.cpu, key), o.of(o.memory, key)
	for _, end := range cpu {
		i := slices.IndexFunc(cpu, func(r reading) bool { return r.time.Equal(end.time.Add(-s.window)) })
		if i < 0 || !end.time.Truncate(time.Second).Equal(s.time) {
			continue
		}
		if want := 1000 * (end.value - cpu[i].value) / s.window.Seconds(); math.Abs(s.millicores-want) > 1e-3 {
			t.Errorf("%q at %s: %v millicores are served, and the kubelet's answers make %v", key, s.time, s.millicores, want)
		}
		if bytes, err := memory.at(end.time); err != nil || bytes != s.mebibytes*(1<<20) {
			t.Errorf("%q at %s: %v MiB are served, and the kubelet said %v bytes, %v", key, s.time, s.mebibytes, bytes, err)
		}
		return true
	}
	s.check(t, key+" by the kubelet", cpu, memory)
	return false
}

// check holds a value against what others have counted at about the same times.
func (s served) check(t *testing.T, what string, cpu, memory series) {
	t.Helper()
	least, most, err := shifted(s.time, func(end time.Time) (float64, error) { return cpu.rate(end.Add(-s.window), end) })
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	least, most = 1000*least*(1-cpuShare)-cpuTolerance, 1000*most*(1+cpuShare)+cpuTolerance
	if s.millicores < least || s.millicores > most {
		t.Errorf("%s at %s: %.1f millicores are served over %s, and counted were %.1f to %.1f", what, s.time, s.millicores, s.window, least, most)
	}
	least, most, err = shifted(s.time, memory.at)
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	least, most = least/(1<<20)-memoryTolerance, most/(1<<20)+memoryTolerance
	if s.mebibytes < least || s.mebibytes > most {
		t.Errorf("%s at %s: %.1f MiB are served, and counted were %.1f to %.1f", what, s.time, s.mebibytes, least, most)
	}
}

// checkCrashing checks that the pod is served with the container when that has run long
// enough, without it when it does not run, and not at all in between. What a kubelet does
// not know yet, or has not been asked for, cannot be told: that takes a round of scrapes.
func (w *watched) checkCrashing(t *testing.T) {
	t.Helper()
	whole, alone := 0, 0
	for _, s := range w.crash {
		switch {
		case slices.Equal(s.containers, []string{"crash", "partner"}):
			whole++
		case slices.Equal(s.containers, []string{"partner"}):
			alone++
			if w.ran(s.time.Add(-resolution-4*time.Second), s.time) {
				t.Errorf("at %s, the crashing container has run for a round of scrapes, and the pod is served without it: %v", s.time, w.runs)
			}
		default:
			t.Errorf("the crashing pod is served with containers %q", s.containers)
		}
	}
	if whole == 0 || alone == 0 || len(w.withheld) == 0 {
		t.Errorf("the crashing pod was served whole %d times, without the container %d times, and withheld for %v: want each of them", whole, alone, w.withheld)
	}
	for _, s := range w.containers[crashing.key()] {
		if math.Abs(s.millicores-crashing.millicores) > crashing.millicores*0.15 || s.mebibytes > programMebibytes {
			t.Errorf("the crashing container at %s: %.1f millicores over %s and %.1f MiB are served", s.time, s.millicores, s.window, s.mebibytes)
		}
	}
	t.Logf("of %d seconds, the crashing pod was served whole in %d, without the crashing container in %d, and not at all in:", int(w.length.Seconds()), whole, alone)
	for _, reason := range slices.Sorted(maps.Keys(w.withheld)) {
		t.Logf("%3d × %s", w.withheld[reason], reason)
	}
}

// ran says whether the container ran all the time.
func (w *watched) ran(from, to time.Time) bool {
	for started, ended := range w.runs {
		if started.Add(time.Second).Before(from) && (ended.IsZero() || ended.After(to)) {
			return true
		}
	}
	return false
}

// table prints, for each minute, what the steady containers should use, what the kubelet
// counted, and what was served last.
type table struct {
	start time.Time
	next  time.Time
}

func newTable(start time.Time) *table {
	fmt.Printf("%-8s %-16s %27s %27s\n%-8s %-16s %8s %9s %8s %8s %9s %8s\n", "", "", "CPU, millicores", "memory, MiB",
		"time", "container", "expected", "kubelet's", "served", "expected", "kubelet's", "served")
	return &table{start: start, next: start.Add(30 * time.Second)}
}

func (p *table) print(w *watched, o *observer) {
	if time.Now().Before(p.next) {
		return
	}
	p.next = p.next.Add(time.Minute)
	for _, u := range steady {
		all := w.containers[u.key()]
		if len(all) == 0 {
			continue
		}
		s := all[len(all)-1]
		cpu, err := o.of(o.cpu, u.key()).rate(s.time.Add(-s.window), s.time)
		if err != nil {
			cpu = math.NaN()
		}
		memory, err := o.of(o.memory, u.key()).at(s.time)
		if err != nil {
			memory = math.NaN()
		}
		fmt.Printf("%-8s %-16s %8.0f %9.1f %8.1f %8.0f %9.1f %8.1f\n", s.time.Sub(p.start).Round(time.Second), u.key(),
			u.millicores, cpu*1000, s.millicores, u.mebibyte, memory/(1<<20), s.mebibytes)
	}
}
