// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

func TestClockSetBackDoesNotFreezeANode(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 3600, 10, 1)) // the kubelet's clock is an hour ahead
	f.scrape("n1", 15, sample("a", 3615, 13, 1))
	f.wantWithheld(Stale)
	f.scrape("n1", 30, sample("a", 30, 16, 1)) // and has been set right
	f.scrape("n1", 45, sample("a", 45, 19, 1))
	f.wantServed(45, 15, served("a", 200, 1))
}

// The shortest maximum age that the flags allow is twice the interval: samples
// that are stamped now and then, and so up to an interval late, are still served.
func TestShortestMaximumAgeServes(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(start)
	f := &fixture{T: t, Store: New(clk, 20*time.Second), clock: clk}
	f.SetNode("n1", nil)
	f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "1", Node: "n1"})
	for i := range 10 {
		f.scrape("n1", 9.8+10*float64(i), sample("a", 10*float64(i), 10+2*float64(i), 1))
		if i > 0 {
			f.wantServed(10*float64(i), 10, served("a", 200, 1))
		}
	}
}

// A node whose clock is wrong is told of, for all that it reports is withheld.
func TestWrongClockIsRejected(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct {
		second float64
		want   int
	}{{15, 0}, {15 + maxAge.Seconds(), 0}, {16 + maxAge.Seconds(), 1}, {14 - maxAge.Seconds(), 1}} {
		f.clock.SetTime(at(15))
		s := &exposition.Samples{Node: sample("", tt.second, 10, 1).Usage}
		f.Put("n1", s, at(15))
		if got := s.Rejected[exposition.RejectedTimestamp]; got != tt.want {
			t.Errorf("%d samples of second %v are rejected, want %d", got, tt.second, tt.want)
		}
	}
}

func TestSelection(t *testing.T) {
	f := newFixture(t)
	f.SetNode("n2", map[string]string{"zone": "b"})
	var samples [2][]exposition.Container
	for i, id := range []string{"ns/p/web", "ns/q/db", "aa/p/web", "zz/r/web"} {
		part := strings.Split(id, "/")
		f.SetPod(PodMetadata{Namespace: part[0], Name: part[1], UID: "1", Node: "n1", Labels: map[string]string{"app": part[2]}})
		for round := range samples {
			s := sample("c", float64(15*round), float64(10+i+round), 1)
			s.Namespace, s.Pod = []byte(part[0]), []byte(part[1])
			samples[round] = append(samples[round], s)
		}
	}
	f.scrape("n1", 0, samples[0]...)
	f.scrape("n1", 15, samples[1]...)

	selector := func(s string) labels.Selector {
		parsed, err := labels.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	tests := []struct {
		name  string
		query Query
		want  string
	}{
		{"all, ordered", Query{}, "aa/p ns/p ns/q zz/r"},
		{"namespace", Query{Namespace: "ns"}, "ns/p ns/q"},
		{"unknown namespace", Query{Namespace: "n"}, ""},
		{"labels", Query{Labels: selector("app=web")}, "aa/p ns/p zz/r"},
		{"labels in a namespace", Query{Namespace: "ns", Labels: selector("app notin (db)")}, "ns/p"},
		{"name", Query{Fields: fields.ParseSelectorOrDie("metadata.name=p")}, "aa/p ns/p"},
		{"namespace by field", Query{Fields: fields.ParseSelectorOrDie("metadata.namespace=ns")}, "ns/p ns/q"},
		{"both by field", Query{Fields: fields.ParseSelectorOrDie("metadata.namespace=ns,metadata.name=q")}, "ns/q"},
		{"not the name", Query{Fields: fields.ParseSelectorOrDie("metadata.name!=p")}, "ns/q zz/r"},
		{"contradiction", Query{Namespace: "aa", Fields: fields.ParseSelectorOrDie("metadata.namespace=ns")}, ""},
		{"name and other labels", Query{Namespace: "ns", Labels: selector("app=db"), Fields: fields.ParseSelectorOrDie("metadata.name=p")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, p := range f.Pods(tt.query).Items {
				got = append(got, p.Namespace+"/"+p.Name)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

func TestNodeSelection(t *testing.T) {
	f := newFixture(t)
	f.SetNode("n0", map[string]string{"zone": "a"})
	f.SetNode("n2", map[string]string{"zone": "b"})
	for round := range 2 {
		second := float64(15 * round)
		f.clock.SetTime(at(second))
		for _, n := range []string{"n2", "n1", "n0"} {
			f.Put(n, &exposition.Samples{Node: sample("", second, 1+second, 1).Usage}, at(second))
		}
	}
	list := func(q Query) (names string) {
		for _, n := range f.Nodes(q).Items {
			names += n.Name + " "
		}
		return names
	}
	if got := list(Query{}); got != "n0 n1 n2 " {
		t.Errorf("all: %q", got)
	}
	if got := list(Query{Labels: labels.SelectorFromSet(labels.Set{"zone": "b"})}); got != "n2 " {
		t.Errorf("by label: %q", got)
	}
	if got := list(Query{Fields: fields.OneTermNotEqualSelector(FieldName, "n1")}); got != "n0 n2 " {
		t.Errorf("by field: %q", got)
	}
	f.SetNode("n2", map[string]string{"zone": "c"})
	if got := list(Query{Labels: labels.SelectorFromSet(labels.Set{"zone": "b"})}); got != "" {
		t.Errorf("after relabelling: %q", got)
	}
}

func TestMessagesSayWhy(t *testing.T) {
	f := newFixture(t)
	podMessage := func() string {
		_, err := f.Pod("ns", "p")
		return fmt.Sprint(err)
	}
	nodeMessage := func(name string) string {
		_, err := f.Node(name)
		return fmt.Sprint(err)
	}
	check := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	check(nodeMessage("gone"), "there is no such node, or the server's --node-selector leaves it out")
	check(nodeMessage("n1"), "not scraped yet")
	check(podMessage(), `node "n1" has not reported it yet`)
	f.ScrapeFailed("n1", errors.New("connection refused"))
	check(nodeMessage("n1"), `not scraped yet; the last scrape failed: connection refused`)
	check(podMessage(), `node "n1" has not reported it yet; the last scrape failed: connection refused`)
	f.SetPod(PodMetadata{Namespace: "ns", Name: "q", UID: "2", Node: "n0"})
	_, err := f.Pod("ns", "q")
	check(fmt.Sprint(err), `it runs on node "n0", which is not scraped: it is gone, or the server's --node-selector leaves it out`)

	f.scrape("n1", 0, sample("a", 0, 10, 1))
	check(podMessage(), `container "a" on node "n1": there is one sample so far, and usage needs two`)
	check(nodeMessage("n1"), "the kubelet's newest answer lacks its CPU or memory")
	f.scrape("n1", 15, sample("a", 15, 13, 1))
	f.ScrapeFailed("n1", errors.New("timeout"))
	f.clock.SetTime(at(90))
	check(podMessage(), `container "a" on node "n1": its last sample is of 2026-11-23T12:00:15Z, and samples are served for 1m0s (--metric-max-age); the last scrape failed: timeout`)
	f.scrape("n1", 95, sample("a", 95, 0, 0))
	check(podMessage(), `none of its containers on node "n1" is running`)
	f.RemovePod("ns", "p")
	check(podMessage(), "no such pod is running")
}

func TestStats(t *testing.T) {
	f := newFixture(t)
	if f.Ready() {
		t.Error("ready without a point")
	}
	f.SetPod(PodMetadata{Namespace: "ns", Name: "new", UID: "2", Node: "n1"})
	node := func(second, cpu float64) exposition.Usage { return sample("", second, cpu, 1).Usage }
	containers := func(second, cpu float64) []exposition.Container {
		return []exposition.Container{
			sample("a", second, cpu, 1), sample("b", second, cpu, 1),
			ofPod(sample("c", second, 0, 0), "unlisted"), ofPod(sample("d", second, cpu, 1), "unlisted"),
		}
	}
	f.Put("n1", &exposition.Samples{Node: node(0, 1), Containers: containers(0, 1)}, at(0))
	f.clock.SetTime(at(15))
	f.Put("n1", &exposition.Samples{Node: node(15, 2), Containers: containers(15, 2)}, at(15))
	f.SetNode("n2", nil)
	got := f.Stats()
	if got.NodePoints != 1 || got.ContainerPoints != 3 || got.NodesServed != 1 || got.PodsServed != 1 {
		t.Errorf("got %+v", got)
	}
	if got.PodsWithheld[NotScraped] != 1 || got.NodesWithheld[NotScraped] != 1 {
		t.Errorf("withheld: %+v", got)
	}
	if !f.Ready() {
		t.Error("not ready with a node served")
	}
}

// Nothing may be left of what neither the API server nor a node speaks of.
func TestNothingIsLeftBehind(t *testing.T) {
	f := newFixture(t)
	for i := range 500 {
		name := fmt.Sprint("p", i)
		f.SetPod(PodMetadata{Namespace: "ns", Name: name, UID: name, Node: "n1", Labels: map[string]string{"app": fmt.Sprint(i % 7)}})
		f.scrape("n1", float64(i), ofPod(sample("a", float64(i), 1, 1), name), ofPod(sample("a", float64(i), 1, 1), "q"+name))
	}
	if got := len(f.labels.sets); got != 7 {
		t.Errorf("%d label sets for 7 distinct ones", got)
	}
	f.SyncPods(nil)
	f.RemoveNode("n1")
	if n := f.catalog.pods.Len(); n != 0 || len(f.catalog.namespaces) != 0 {
		t.Errorf("%d pods and %d namespaces are left", n, len(f.catalog.namespaces))
	}
	if len(f.labels.sets) != 0 || len(f.byName) != 0 {
		t.Errorf("%d label sets and %d nodes are left", len(f.labels.sets), len(f.byName))
	}
}

// A kubelet may name its containers in any order, and change it.
func TestOrderOfTheAnswerDoesNotMatter(t *testing.T) {
	f := newFixture(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		second := float64(15 * round)
		var all []exposition.Container
		for i := range 30 {
			pod := fmt.Sprint("p", i%10)
			f.SetPod(PodMetadata{Namespace: "ns", Name: pod, UID: pod, Node: "n1"})
			all = append(all, ofPod(sample(fmt.Sprint("c", i/10), second, 1+second*float64(i)/1000, uint64(i+1)), pod))
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		f.scrape("n1", second, all...)
	}
	pods := f.Pods(Query{Labels: labels.Everything()}).Items
	if len(pods) != 10 {
		t.Fatalf("%d pods, want 10", len(pods))
	}
	for _, p := range pods {
		for c, got := range p.Containers {
			i := uint64(10*c) + uint64(p.Name[1]-'0')
			if want := served(fmt.Sprint("c", c), i, i+1); got != want {
				t.Errorf("%s: got %+v, want %+v", p.Name, got, want)
			}
		}
	}
}

func TestPutDoesNotAllocateInSteadyState(t *testing.T) {
	s, samples := loaded(1, 30, 2)
	now := time.Now()
	round := 0
	allocs := testing.AllocsPerRun(100, func() {
		round++
		advance(samples[0], 15*time.Second)
		s.Put("node-0", samples[0], now)
	})
	if allocs > 0 {
		t.Errorf("%v allocations per scrape", allocs)
	}
}

// Readers, scrapes and inventory changes at once, for the race detector; every
// pod read must be whole.
func TestConcurrentUse(t *testing.T) {
	const nodes, pods = 8, 20
	s, samples := loaded(nodes, pods, 2)
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for n := range nodes {
		writers.Go(func() {
			name := fmt.Sprint("node-", n)
			for range 200 {
				advance(samples[n], 15*time.Second)
				s.Put(name, samples[n], time.Now())
				s.ScrapeFailed(name, errors.New("x"))
			}
		})
	}
	writers.Go(func() {
		for i := range 200 {
			m := PodMetadata{Namespace: "ns-0", Name: "pod-0-0", UID: fmt.Sprint(i), Node: "node-0"}
			s.SetPod(m)
			s.RemovePod(m.Namespace, m.Name)
			s.SetNode("node-x", map[string]string{"a": fmt.Sprint(i)})
			s.RemoveNode("node-x")
		}
	})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, p := range s.Pods(Query{}).Items {
					if len(p.Containers) != 2 {
						t.Errorf("%s/%s is served with %d containers of 2", p.Namespace, p.Name, len(p.Containers))
						return
					}
				}
				s.Nodes(Query{})
				_, _ = s.Pod("ns-0", "pod-0-0") // comes and goes
				s.Stats()
				s.Ready()
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if got := len(s.Pods(Query{}).Items); got != nodes*pods-1 {
		t.Errorf("%d pods served, want %d", got, nodes*pods-1)
	}
}

// loaded returns a store of nodes with pods of containers each, put once, and
// the samples that were put.
func loaded(nodes, pods, containers int) (*Store, []*exposition.Samples) {
	// A long maximum age, since advance runs ahead of the clock.
	s := New(clock.RealClock{}, 1000*time.Hour)
	all := make([]*exposition.Samples, nodes)
	now := time.Now()
	for n := range nodes {
		name := fmt.Sprint("node-", n)
		s.SetNode(name, nil)
		usage := exposition.Usage{Time: now.UnixNano(), CPU: 1e9, Memory: mib, Has: cpuAndMemory}
		all[n] = &exposition.Samples{Node: usage}
		for c := range containers { // a kubelet orders by container, then by pod
			for p := range pods {
				all[n].Containers = append(all[n].Containers, exposition.Container{
					Namespace: fmt.Appendf(nil, "ns-%d", p%5), Pod: fmt.Appendf(nil, "pod-%d-%d", n, p),
					Name: fmt.Appendf(nil, "c-%d", c), Usage: usage,
				})
			}
		}
		for p := range pods {
			s.SetPod(PodMetadata{
				Namespace: fmt.Sprint("ns-", p%5), Name: fmt.Sprintf("pod-%d-%d", n, p), UID: fmt.Sprint(n, p), Node: name,
				Labels: map[string]string{"app": fmt.Sprint("app-", p%10)},
			})
		}
		s.Put(name, all[n], now)
		advance(all[n], 15*time.Second)
		s.Put(name, all[n], now)
	}
	return s, all
}

// advance moves samples on by d, at 100 millicores.
func advance(s *exposition.Samples, d time.Duration) {
	step := func(u *exposition.Usage) {
		u.Time += int64(d)
		u.CPU += uint64(d) / 10
	}
	step(&s.Node)
	for i := range s.Containers {
		step(&s.Containers[i].Usage)
	}
}

func BenchmarkPut1000Nodes(b *testing.B) {
	s, samples := loaded(1000, 30, 2)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		for n := range samples {
			advance(samples[n], 15*time.Second)
			s.Put(nodeNames[n], samples[n], now)
		}
	}
}

var nodeNames = func() (names []string) {
	for n := range 1000 {
		names = append(names, fmt.Sprint("node-", n))
	}
	return names
}()

func BenchmarkPods(b *testing.B) {
	s, _ := loaded(1000, 30, 2)
	byLabel := labels.SelectorFromSet(labels.Set{"app": "app-3"})
	for _, bm := range []struct {
		name  string
		query Query
	}{
		{"all", Query{}},
		{"namespace", Query{Namespace: "ns-3"}},
		{"label", Query{Namespace: "ns-3", Labels: byLabel}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(s.Pods(bm.query).Items) == 0 {
					b.Fatal("nothing found")
				}
			}
		})
	}
}

func BenchmarkPod(b *testing.B) {
	s, _ := loaded(1000, 30, 2)
	for b.Loop() {
		if _, err := s.Pod("ns-3", "pod-500-3"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLabelSetsAreShared(t *testing.T) {
	l := newLabelSets()
	a := l.acquire(map[string]string{"x": "1", "y": "2"})
	b := l.acquire(map[string]string{"y": "2", "x": "1"})
	c := l.acquire(map[string]string{"x": "2", "y": "1"})
	if a != b || a == c {
		t.Error("equal sets must be one, others not")
	}
	if l.acquire(nil) != nil || l.acquire(map[string]string{}) != nil {
		t.Error("the empty set must be nil")
	}
	l.release(a)
	if got := l.acquire(map[string]string{"x": "1", "y": "2"}); got != b {
		t.Error("a set in use was dropped")
	}
	for _, set := range slices.Concat([]*labelSet{b, b, c}) {
		l.release(set)
	}
	if len(l.sets) != 0 {
		t.Errorf("%d sets are left", len(l.sets))
	}
}

// Another answer soon is worth asking for while something that runs has one point.
func TestPutTellsWhatLacksAPoint(t *testing.T) {
	f := newFixture(t)
	f.SetNode("n2", nil)
	finished := sample("init", 0, 0, 0)
	half := sample("half", 0, 1, 0)
	half.Has = exposition.HasCPU
	for i, tt := range []struct {
		node       string
		second     float64
		own        exposition.Usage
		containers []exposition.Container
		want       bool
	}{
		{"n1", 0, exposition.Usage{}, []exposition.Container{sample("b", 0, 10, 1)}, true},
		{"n1", 4, exposition.Usage{}, []exposition.Container{sample("b", 4, 11, 1)}, true}, // too close
		{"n1", 6, exposition.Usage{}, []exposition.Container{sample("b", 6, 12, 1)}, false},
		{"n1", 8, exposition.Usage{}, []exposition.Container{sample("a", 8, 1, 1), sample("b", 8, 13, 1)}, true},
		{"n1", 14, exposition.Usage{}, []exposition.Container{sample("a", 14, 2, 1), sample("b", 14, 14, 1)}, false},
		{"n1", 15, exposition.Usage{}, []exposition.Container{sample("b", 15, 15, 1), finished, half}, false},
		{"n2", 16, sample("", 10, 1, 1).Usage, nil, true},
		{"n2", 19, sample("", 10, 1, 1).Usage, nil, true}, // its time has not moved
		{"n2", 22, sample("", 20, 2, 1).Usage, nil, false},
		{"unlisted", 22, sample("", 20, 2, 1).Usage, nil, false},
	} {
		f.clock.SetTime(at(tt.second))
		if got := f.Put(tt.node, &exposition.Samples{Node: tt.own, Containers: tt.containers}, at(tt.second)); got != tt.want {
			t.Errorf("answer %d lacks a point: %v, want %v", i, got, tt.want)
		}
	}
}
