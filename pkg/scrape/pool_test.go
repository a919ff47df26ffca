// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

const (
	resolution = 15 * time.Second
	answer     = "node_cpu_usage_seconds_total 1\nnode_memory_working_set_bytes 1\n"
)

// kubelets stands in for the kubelet client: every node does what its behaviour
// says.
type kubelets struct {
	mu        sync.Mutex
	endpoints map[*kubelet.Endpoint]string
	behaviour map[string]func(context.Context) (string, error)
	fetched   map[string][]time.Time
	running   int
	most      int // running at the same time
}

func (k *kubelets) Endpoint(n kubelet.Node) (*kubelet.Endpoint, error) {
	if len(n.Addresses) == 0 && n.Port < 0 {
		return nil, &kubelet.Error{Reason: "no_address", Node: n.Name, Err: errors.New("no address")}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	e := new(kubelet.Endpoint)
	k.endpoints[e] = n.Name
	return e, nil
}

func (k *kubelets) Fetch(ctx context.Context, e *kubelet.Endpoint) (kubelet.Answer, error) {
	k.mu.Lock()
	name := k.endpoints[e]
	k.fetched[name] = append(k.fetched[name], time.Now())
	behave := k.behaviour[name]
	k.running++
	k.most = max(k.most, k.running)
	k.mu.Unlock()
	body, err := answer, error(nil)
	if behave != nil {
		body, err = behave(ctx)
	}
	k.mu.Lock()
	k.running--
	k.mu.Unlock()
	return kubelet.Answer{Format: exposition.Text, Body: []byte(body), RequestTime: time.Now()}, err
}

// stored is a sink that remembers when what was put. A node lacks a second point as
// long as its answers are fewer than points.
type stored struct {
	mu     sync.Mutex
	points int
	put    map[string][]time.Time
	failed map[string]error
}

func (s *stored) Put(node string, _ *exposition.Samples, _ time.Time) (lacking bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put[node] = append(s.put[node], time.Now())
	delete(s.failed, node)
	return len(s.put[node]) < s.points
}

func (s *stored) ScrapeFailed(node string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[node] = err
}

type fixture struct {
	*Pool
	kubelets *kubelets
	stored   *stored
	told     *told
	registry metrics.KubeRegistry
}

// run runs a pool of nodes in a bubble in which time passes only while nothing
// else happens, and calls test in it.
func run(t *testing.T, workers int, nodes int, test func(*testing.T, *fixture)) {
	runAt(t, resolution, workers, nodes, test)
}

func runAt(t *testing.T, resolution time.Duration, workers int, nodes int, test func(*testing.T, *fixture)) {
	synctest.Test(t, func(t *testing.T) {
		registry := metrics.NewKubeRegistry()
		m, err := NewMetrics(registry.Register, resolution, false)
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{
			kubelets: &kubelets{
				endpoints: map[*kubelet.Endpoint]string{},
				behaviour: map[string]func(context.Context) (string, error){},
				fetched:   map[string][]time.Time{},
			},
			stored:   &stored{points: 2, put: map[string][]time.Time{}, failed: map[string]error{}},
			told:     new(told),
			registry: registry,
		}
		f.Pool = NewPool(Config{
			Fetcher: f.kubelets, Sink: f.stored, Clock: clock.RealClock{}, Metrics: m, Events: f.told,
			Resolution: resolution, MaxAge: maxAge, Workers: workers,
		})
		f.add(nodes)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { f.Run(ctx) })
		defer running.Wait()
		defer cancel()
		test(t, f)
	})
}

// add adds nodes 0 to n-1.
func (f *fixture) add(n int) {
	for i := range n {
		f.SetNode(kubelet.Node{Name: nodeName(i)})
	}
}

func nodeName(i int) string { return fmt.Sprint("node-", i) }

// behave says how a node answers from now on, nil for well.
func (f *fixture) behave(node string, b func(context.Context) (string, error)) {
	f.kubelets.mu.Lock()
	defer f.kubelets.mu.Unlock()
	f.kubelets.behaviour[node] = b
}

// puts returns when a node's points were stored.
func (f *fixture) puts(node string) []time.Time {
	f.stored.mu.Lock()
	defer f.stored.mu.Unlock()
	return slices.Clone(f.stored.put[node])
}

// since returns the times that are not before a time.
func since(times []time.Time, first time.Time) []time.Time {
	return slices.DeleteFunc(times, func(t time.Time) bool { return t.Before(first) })
}

// fetches returns how often nodes were asked.
func (f *fixture) fetches(nodes ...string) (n int) {
	f.kubelets.mu.Lock()
	defer f.kubelets.mu.Unlock()
	for _, node := range nodes {
		n += len(f.kubelets.fetched[node])
	}
	return n
}

func fails(reason kubelet.Reason) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		return "", &kubelet.Error{Reason: reason, Node: "x", Err: errors.New(string(reason))}
	}
}

func hangs(ctx context.Context) (string, error) {
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
	}
	return fails("timeout")(ctx)
}

func TestEveryNodeIsScrapedOnceAnIntervalInItsOwnPhase(t *testing.T) {
	run(t, 0, 100, func(t *testing.T, f *fixture) {
		time.Sleep(2*resolution + time.Millisecond)
		warm := time.Now()
		time.Sleep(4 * resolution)
		seconds := map[int64]int{}
		for i := range 100 {
			times := since(f.puts(nodeName(i)), warm)
			if len(times) != 4 {
				t.Fatalf("%s was scraped %d times in 4 intervals", nodeName(i), len(times))
			}
			for j := 1; j < len(times); j++ {
				if d := times[j].Sub(times[j-1]); d != resolution {
					t.Errorf("%s: %v between scrapes", nodeName(i), d)
				}
			}
			seconds[int64(times[0].Sub(times[0].Truncate(resolution))/time.Second)]++
		}
		for s := range int64(15) {
			if n := seconds[s]; n == 0 || n > 20 {
				t.Errorf("%d of 100 nodes are scraped in second %d of 15", n, s)
			}
		}
	})
}

func TestPhaseSurvivesARestart(t *testing.T) {
	a, b := newTarget(t.Context(), "node-7", resolution), newTarget(t.Context(), "node-7", resolution)
	if a.phase != b.phase || a.phase >= resolution {
		t.Errorf("phases %v and %v", a.phase, b.phase)
	}
}

// A wall clock that is set back must not move what is due: due times go by the
// monotonic clock, which a Time shows as m=.
func TestDueTimesAreMonotonic(t *testing.T) {
	target := newTarget(t.Context(), "node-7", resolution)
	for _, now := range []time.Time{time.Now(), time.Now().Add(target.phase)} {
		next := target.nextPhase(now)
		if !strings.Contains(next.String(), " m=") {
			t.Errorf("%v has no monotonic reading", next)
		}
		if wait := next.Sub(now); wait <= 0 || wait > resolution {
			t.Errorf("%v until the next phase", wait)
		}
	}
}

func TestHangingNodesDoNotDelayOthers(t *testing.T) {
	const nodes, hanging = 60, 30
	run(t, 4, nodes, func(t *testing.T, f *fixture) {
		for i := range hanging {
			f.behave(nodeName(i), hangs)
		}
		time.Sleep(10 * resolution)
		for i := hanging; i < nodes; i++ {
			// Once the hanging are known, nothing waits for them.
			times := since(f.puts(nodeName(i)), time.Now().Add(-6*resolution))
			if len(times) != 6 {
				t.Errorf("%s was scraped %d times in 6 intervals", nodeName(i), len(times))
			}
			for j := 1; j < len(times); j++ {
				if d := times[j].Sub(times[j-1]); d != resolution {
					t.Errorf("%s: %v between scrapes", nodeName(i), d)
				}
			}
		}
		if all, failing := f.Nodes(); all != nodes || failing != hanging {
			t.Errorf("%d of %d nodes fail, want %d of %d", failing, all, hanging, nodes)
		}
		if err := f.Timely(); err != nil {
			t.Error(err)
		}
		for i := range hanging {
			f.behave(nodeName(i), nil)
		}
		time.Sleep(2 * resolution)
		if _, failing := f.Nodes(); failing != 0 {
			t.Errorf("%d nodes still fail after they recovered", failing)
		}
	})
}

func TestPlacesBoundScrapesUnderWay(t *testing.T) {
	run(t, 3, 50, func(t *testing.T, f *fixture) {
		for i := range 50 {
			f.behave(nodeName(i), func(context.Context) (string, error) {
				time.Sleep(900 * time.Millisecond) // not slow enough to give way
				return answer, nil
			})
		}
		time.Sleep(3 * resolution)
		f.kubelets.mu.Lock()
		defer f.kubelets.mu.Unlock()
		if f.kubelets.most != 3 {
			t.Errorf("%d scrapes at the same time, want 3", f.kubelets.most)
		}
	})
}

func TestPassingFailureIsRetriedInHalfAnInterval(t *testing.T) {
	run(t, 0, 1, func(t *testing.T, f *fixture) {
		time.Sleep(2 * resolution) // after the warm-up
		f.behave(nodeName(0), fails("http_status"))
		phase := newTarget(t.Context(), nodeName(0), resolution).nextPhase(time.Now())
		time.Sleep(time.Until(phase) + time.Second)
		f.behave(nodeName(0), nil)
		time.Sleep(resolution / 2)
		if times := since(f.puts(nodeName(0)), phase); len(times) != 1 || times[0] != phase.Add(resolution/2) {
			t.Errorf("stored at %v, want once, half an interval after %v", times, phase)
		}
	})
}

func TestRemovedNodeIsNotScrapedAgain(t *testing.T) {
	run(t, 0, 2, func(t *testing.T, f *fixture) {
		f.behave(nodeName(1), hangs)
		time.Sleep(3 * resolution)
		f.RemoveNode(nodeName(0))
		f.RemoveNode(nodeName(1)) // it may be under way
		f.RemoveNode("unknown")
		synctest.Wait()
		before := f.fetches(nodeName(0), nodeName(1))
		time.Sleep(3 * resolution)
		if after := f.fetches(nodeName(0), nodeName(1)); after != before {
			t.Errorf("%d scrapes after the removal", after-before)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.healthy.running) != 0 || len(f.failing.running) != 0 {
			t.Errorf("%d and %d places are not free", len(f.healthy.running), len(f.failing.running))
		}
	})
}

func TestNodeThatComesBackIsScraped(t *testing.T) {
	run(t, 0, 1, func(t *testing.T, f *fixture) {
		time.Sleep(3 * resolution)
		f.RemoveNode(nodeName(0))
		f.SetNode(kubelet.Node{Name: nodeName(0)})
		time.Sleep(resolution)
		if n := len(f.puts(nodeName(0))); n < 4 {
			t.Error("the node is not scraped after it came back")
		}
	})
}

func TestNodeWithoutAddressIsReportedAndTriedAgain(t *testing.T) {
	run(t, 0, 0, func(t *testing.T, f *fixture) {
		f.SetNode(kubelet.Node{Name: "n", Port: -1})
		time.Sleep(resolution)
		f.stored.mu.Lock()
		err := f.stored.failed["n"]
		f.stored.mu.Unlock()
		if err == nil {
			t.Error("the failure was not handed on")
		}
		f.SetNode(kubelet.Node{Name: "n"})
		time.Sleep(resolution)
		if len(f.puts("n")) == 0 {
			t.Error("not scraped after it got an address")
		}
	})
}

func TestTimelyTellsOfAStuckPool(t *testing.T) {
	run(t, 1, 2, func(t *testing.T, f *fixture) {
		if err := f.Timely(); err != nil {
			t.Error(err)
		}
		f.mu.Lock()
		f.healthy.places = 0 // nothing gets a place
		f.mu.Unlock()
		time.Sleep(3 * resolution)
		if err := f.Timely(); err == nil || !strings.Contains(err.Error(), "late") {
			t.Errorf("got %v, want an error that says how late", err)
		}
	})
}

func TestMetrics(t *testing.T) {
	run(t, 0, 2, func(t *testing.T, f *fixture) {
		bad := nodeName(1)
		stages := []func(context.Context) (string, error){
			fails("unauthorized"),
			func(context.Context) (string, error) { return "<html>", nil },
			func(context.Context) (string, error) { return answer + "node_swap_usage_bytes -1\n", nil },
		}
		var asked []float64 // of the bad node, per stage
		for _, stage := range stages {
			before := f.fetches(bad)
			f.behave(bad, stage)
			time.Sleep(3 * resolution)
			asked = append(asked, float64(f.fetches(bad)-before))
		}
		good := float64(f.fetches(nodeName(0)))
		for _, want := range []struct {
			series string
			value  float64
		}{
			{`metrics_server_kubelet_request_total{success="true"}`, good + asked[2]},
			{`metrics_server_kubelet_request_total{success="false"}`, asked[0] + asked[1]},
			{`metrics_server_scrape_total{result="success"}`, good + asked[2]},
			{`metrics_server_scrape_total{result="failure",reason="unauthorized"}`, asked[0]},
			{`metrics_server_scrape_total{result="failure",reason="decode_syntax"}`, asked[1]},
			{`metrics_server_scrape_decode_errors_total{reason="syntax"}`, asked[1]},
			{`metrics_server_scrape_rejected_samples_total{reason="value"}`, asked[2]},
			{`metrics_server_scrape_received_bytes_total`, (good+asked[2])*float64(len(answer)) + asked[1]*6 + asked[2]*25},
			{`metrics_server_scrape_in_flight`, 0},
		} {
			if got := value(t, f.registry, want.series); got != want.value || asked[0]*asked[1]*asked[2] == 0 {
				t.Errorf("%s is %v, want %v", want.series, got, want.value)
			}
		}
	})
}

func TestNumberOfSeriesGrowsWithNodesOnlyWhenAsked(t *testing.T) {
	for _, perNode := range []bool{false, true} {
		registry := metrics.NewKubeRegistry()
		m, err := NewMetrics(registry.Register, resolution, perNode)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			m.requested(nodeName(i), time.Now(), time.Now(), nil)
		}
		m.forget(nodeName(0))
		want := 1
		if perNode {
			want = 9
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			switch family.GetName() {
			case "metrics_server_kubelet_request_duration_seconds", "metrics_server_kubelet_last_request_time_seconds":
				if got := len(family.GetMetric()); got != want {
					t.Errorf("per node %v: %s has %d series, want %d", perNode, family.GetName(), got, want)
				}
			}
		}
	}
}

// value returns the sum of the series with these labels.
func value(t *testing.T, registry metrics.KubeRegistry, series string) float64 {
	t.Helper()
	name, rest, _ := strings.Cut(series, "{")
	want := map[string]string{}
	for _, pair := range strings.Split(strings.TrimSuffix(rest, "}"), ",") {
		if k, v, ok := strings.Cut(pair, "="); ok {
			want[k] = strings.Trim(v, `"`)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			matches := true
			for _, pair := range m.GetLabel() {
				if v, ok := want[pair.GetName()]; ok && v != pair.GetValue() {
					matches = false
				}
			}
			if matches {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
