// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

const maxAge = time.Minute

// start is when every test begins. Times in tests are seconds after it.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

// fixture is a store whose clock a test moves.
type fixture struct {
	*testing.T
	*Store
	clock *clocktesting.FakePassiveClock
}

// newFixture lists node n1 and pod ns/p.
func newFixture(t *testing.T) *fixture {
	clk := clocktesting.NewFakePassiveClock(start)
	f := &fixture{T: t, Store: New(clk, maxAge), clock: clk}
	f.SetNode("n1", nil)
	f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "1", Node: "n1"})
	return f
}

// scrape puts a node's answer at a second, which the clock then shows.
func (f *fixture) scrape(node string, second float64, containers ...exposition.Container) {
	f.clock.SetTime(at(second))
	f.Put(node, &exposition.Samples{Containers: containers}, at(second))
}

const (
	cpuAndMemory = exposition.HasCPU | exposition.HasMemory
	mib          = 1 << 20
)

// sample is a container of pod ns/p: cumulative CPU in seconds, memory in MiB,
// at a second.
func sample(name string, second, cpu float64, memory uint64) exposition.Container {
	return exposition.Container{
		Namespace: []byte("ns"), Pod: []byte("p"), Name: []byte(name),
		Usage: exposition.Usage{
			Time: at(second).UnixNano(), CPU: uint64(cpu * 1e9), Memory: memory * mib, Has: cpuAndMemory,
		},
	}
}

func started(c exposition.Container, second float64) exposition.Container {
	c.Start = at(second).UnixNano()
	c.Has |= exposition.HasStart
	return c
}

func ofPod(c exposition.Container, pod string) exposition.Container {
	c.Pod = []byte(pod)
	return c
}

// wantServed checks pod ns/p: its timestamp and window in seconds, and its
// containers' nanocores and MiB by name.
func (f *fixture) wantServed(timestamp, window float64, want ...ContainerUsage) {
	f.Helper()
	p, err := f.Pod("ns", "p")
	if err != nil {
		f.Fatalf("pod is withheld: %v", err)
	}
	if !p.Timestamp.Equal(at(timestamp)) || p.Window != time.Duration(window*float64(time.Second)) {
		f.Errorf("timestamp %v, window %v; want %v, %vs", p.Timestamp.Sub(start), p.Window, timestamp, window)
	}
	if !slices.Equal(p.Containers, want) {
		f.Errorf("containers\n got %+v\nwant %+v", p.Containers, want)
	}
	if listed := f.Pods(Query{}).Items; len(listed) != 1 || !slices.Equal(listed[0].Containers, want) {
		f.Errorf("list differs from get: %+v", listed)
	}
}

func served(name string, millicores, memory uint64) ContainerUsage {
	return ContainerUsage{Name: name, Usage: Usage{CPU: millicores * 1e6, Memory: memory * mib}}
}

// wantWithheld checks that pod ns/p is not served, and why.
func (f *fixture) wantWithheld(reason Reason) {
	f.Helper()
	if p, err := f.Pod("ns", "p"); err == nil {
		f.Fatalf("pod is served: %+v", p)
	} else if u := (*Unavailable)(nil); !errors.As(err, &u) || u.Reason != reason || u.Message == "" {
		f.Errorf("got %#v, want reason %q with a message", err, reason)
	}
	if listed := f.Pods(Query{}).Items; len(listed) != 0 {
		f.Errorf("listed all the same: %+v", listed)
	}
}

func TestRule1UsageIsCounterDifferenceOverTimeDifference(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 0, 10, 100), sample("b", 2, 5, 10))
	f.scrape("n1", 15, sample("a", 15, 13, 120), sample("b", 12, 6, 20))
	// b has the earlier timestamp: the pod has b's, and b's window.
	f.wantServed(12, 10, served("a", 200, 120), served("b", 100, 20))
}

func TestRule1OfNodes(t *testing.T) {
	f := newFixture(t)
	for i, cpu := range []float64{100, 130} {
		s := sample("", float64(15*i), cpu, uint64(1000+i))
		f.clock.SetTime(at(float64(15 * i)))
		f.Put("n1", &exposition.Samples{Node: s.Usage}, at(0))
	}
	n, err := f.Node("n1")
	if err != nil {
		t.Fatal(err)
	}
	want := NodeUsage{Name: "n1", Timestamp: n.Timestamp, Window: 15 * time.Second, Usage: Usage{CPU: 2e9, Memory: 1001 * mib}}
	if !n.Timestamp.Equal(at(15)) || n.CPU != want.CPU || n.Memory != want.Memory || n.Window != want.Window {
		t.Errorf("got %+v, want %+v", n, want)
	}
}

func TestRule2TimesAreThoseOfTheSamples(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 3, sample("a", 0, 10, 1))
	f.scrape("n1", 19, sample("a", 15, 13, 1)) // sent at 19, sampled at 15
	f.wantServed(15, 15, served("a", 200, 1))
}

func TestRule3SameOrOlderTimeIsNoNews(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	f.scrape("n1", 15, sample("a", 15, 13, 1))
	for _, second := range []float64{15, 9, 0} {
		f.scrape("n1", 20, sample("a", second, 19, 7))
		f.wantServed(15, 15, served("a", 200, 1))
	}
}

func TestRule4PointCloserThanFiveSecondsReplacesTheLast(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	f.scrape("n1", 15, sample("a", 15, 13, 1))
	f.scrape("n1", 19, sample("a", 19, 13.8, 2))
	f.wantServed(19, 19, served("a", 200, 2))
	f.scrape("n1", 24, sample("a", 24, 15.8, 3)) // 5 s after the last: a window of its own
	f.wantServed(24, 5, served("a", 400, 3))
}

func TestRule4WithoutPreviousTheOlderPointStaysTheBase(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	f.scrape("n1", 4, sample("a", 4, 30, 9))
	f.wantWithheld(NoWindow)
	f.scrape("n1", 10, sample("a", 10, 12, 2)) // 2 s of CPU since second 0; since second 4 the counter fell
	f.wantServed(10, 10, served("a", 200, 2))
}

func TestRule5RestartDropsOlderPoints(t *testing.T) {
	base := func(t *testing.T) *fixture {
		f := newFixture(t)
		f.scrape("n1", 0, started(sample("a", 0, 10, 1), -100))
		f.scrape("n1", 15, started(sample("a", 15, 13, 1), -100))
		return f
	}
	t.Run("later start time", func(t *testing.T) {
		f := base(t)
		// The new counter is already above the old one: only the start tells.
		f.scrape("n1", 30, started(sample("a", 30, 20, 1), 25))
		f.wantWithheld(NoWindow)
		f.scrape("n1", 45, started(sample("a", 45, 23, 1), 25))
		f.wantServed(45, 15, served("a", 200, 1))
	})
	t.Run("counter fell", func(t *testing.T) {
		f := base(t)
		f.scrape("n1", 30, started(sample("a", 30, 1, 1), -100))
		f.wantWithheld(NoWindow)
		f.scrape("n1", 45, started(sample("a", 45, 2.5, 1), -100))
		f.wantServed(45, 15, served("a", 100, 1))
	})
	t.Run("counter fell within five seconds", func(t *testing.T) {
		f := base(t)
		f.scrape("n1", 17, started(sample("a", 17, 1, 1), -100))
		f.wantWithheld(NoWindow)
	})
}

func TestRule6NotServedFromTheStartIfTooFast(t *testing.T) {
	for _, tt := range []struct {
		cores float64
		ok    bool
	}{{exposition.MaxCores, true}, {exposition.MaxCores + 1, false}} {
		f := newFixture(t)
		f.scrape("n1", 0)
		got := f.rejections("n1", 15, started(sample("a", 15, 13*tt.cores, 1), 2))
		if !tt.ok {
			f.wantWithheld(NoWindow)
			if got[exposition.RejectedRate] != 1 {
				t.Errorf("rejected %v", got)
			}
			continue
		}
		f.wantServed(15, 13, served("a", uint64(1000*tt.cores), 1))
	}
}

// No machine has so many CPUs: nothing is known of what there was before.
func TestRule5CounterThatRisesTooFastDropsOlderPoints(t *testing.T) {
	const most = exposition.MaxCores * 15.0
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	f.scrape("n1", 15, sample("a", 15, 10+most, 1))
	f.wantServed(15, 15, served("a", 1000*exposition.MaxCores, 1))
	if got := f.rejections("n1", 30, sample("a", 30, 10+2*most+1, 1)); got[exposition.RejectedRate] != 1 {
		t.Errorf("rejected %v", got)
	}
	f.wantWithheld(NoWindow)
	f.scrape("n1", 45, sample("a", 45, 10+2*most+4, 1))
	f.wantServed(45, 15, served("a", 200, 1))

	s := &exposition.Samples{Node: sample("", 45, 10, 1).Usage}
	f.Put("n1", s, at(45))
	s.Node.CPU, s.Node.Time = 1<<63, at(60).UnixNano()
	if f.Put("n1", s, at(60)); s.Rejected[exposition.RejectedRate] != 1 {
		t.Errorf("rejected %v", s.Rejected)
	}
}

func TestRule6OnePointIsServedFromTheContainersStart(t *testing.T) {
	tests := []struct {
		name       string
		prevScrape float64 // before it there was none, if negative
		start, at  float64
		served     bool
	}{
		{"started after the previous scrape, 10 s old", 0, 5, 15, true},
		{"younger than 10 s", 0, 6, 15, false},
		{"started before the previous scrape", 0, -1, 15, false},
		{"no previous scrape", -1, 5, 15, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			if tt.prevScrape >= 0 {
				f.scrape("n1", tt.prevScrape)
			}
			f.scrape("n1", tt.at, started(sample("a", tt.at, 3, 1), tt.start))
			if !tt.served {
				f.wantWithheld(NoWindow)
				return
			}
			window := tt.at - tt.start
			f.wantServed(tt.at, window, served("a", uint64(3/window*1000), 1))
			// The next point makes an ordinary window.
			f.scrape("n1", tt.at+15, started(sample("a", tt.at+15, 6, 1), tt.start))
			f.wantServed(tt.at+15, 15, served("a", 200, 1))
		})
	}
}

func TestRule6AfterARestart(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, started(sample("a", 0, 10, 1), -100))
	f.scrape("n1", 15, started(sample("a", 15, 13, 1), -100))
	f.scrape("n1", 30, started(sample("a", 30, 1, 1), 20))
	f.wantServed(30, 10, served("a", 100, 1))
}

func TestRule7ZeroCounterAndWorkingSetIsNotRunning(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("init", 0, 0, 0), sample("main", 0, 10, 1))
	f.scrape("n1", 15, sample("init", 15, 0, 0), sample("main", 15, 13, 1))
	f.wantServed(15, 15, served("main", 200, 1))
}

func TestRule7OneZeroIsAValue(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("idle", 0, 0, 1), sample("paged", 0, 10, 0))
	f.scrape("n1", 15, sample("idle", 15, 0, 1), sample("paged", 15, 13, 0))
	f.wantServed(15, 15, served("idle", 0, 1), served("paged", 200, 0))
}

func TestRule7ContainerThatStopsIsLeftOut(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("init", 0, 1, 1), sample("main", 0, 10, 1))
	f.scrape("n1", 15, sample("init", 15, 2, 1), sample("main", 15, 13, 1))
	f.scrape("n1", 30, sample("init", 30, 0, 0), sample("main", 30, 16, 1))
	f.wantServed(30, 15, served("main", 200, 1))
}

func TestRule7NothingRunning(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 0, 0, 0))
	f.wantWithheld(NoneRunning)
}

func TestRule8PodIsServedOnlyWhole(t *testing.T) {
	lacking := func(c exposition.Container, has exposition.Fields) exposition.Container {
		c.Has = has
		return c
	}
	tests := []struct {
		name   string
		b      exposition.Container // beside a, which is sound
		reason Reason
	}{
		{"no memory sample", lacking(sample("b", 30, 2, 0), exposition.HasCPU), Incomplete},
		{"no CPU sample", lacking(sample("b", 30, 0, 1), exposition.HasMemory), Incomplete},
		{"a start time only", lacking(sample("b", 30, 0, 0), exposition.HasStart), Incomplete},
		{"counter fell", sample("b", 30, 0.5, 1), NoWindow},
		{"first seen", sample("c", 30, 1, 1), NoWindow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.scrape("n1", 0, sample("a", 0, 10, 1), sample("b", 0, 1, 1))
			f.scrape("n1", 15, sample("a", 15, 13, 1), sample("b", 15, 1.75, 1))
			f.wantServed(15, 15, served("a", 200, 1), served("b", 50, 1))
			f.scrape("n1", 30, sample("a", 30, 16, 1), tt.b)
			f.wantWithheld(tt.reason)
		})
	}
}

func TestRule8IncompleteContainerKeepsItsPoints(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	noMemory := sample("a", 15, 11.5, 0)
	noMemory.Has = exposition.HasCPU
	f.scrape("n1", 15, noMemory)
	f.wantWithheld(Incomplete)
	f.scrape("n1", 30, sample("a", 30, 13, 1))
	f.wantServed(30, 30, served("a", 100, 1))
}

func TestRule9FailedScrapeLosesNothingUntilMaxAge(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	f.scrape("n1", 15, sample("a", 15, 13, 1))
	f.ScrapeFailed("n1", errors.New("connection refused"))
	f.clock.SetTime(at(15).Add(maxAge))
	f.wantServed(15, 15, served("a", 200, 1))
	f.clock.SetTime(at(15).Add(maxAge + 1))
	f.wantWithheld(Stale)

	// The window that begins anew does not reach back over the gap.
	f.scrape("n1", 90, sample("a", 90, 20, 1))
	f.wantWithheld(NoWindow)
	f.scrape("n1", 105, sample("a", 105, 23, 1))
	f.wantServed(105, 15, served("a", 200, 1))
}

func TestRule9ShortGapIsBridged(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	f.scrape("n1", 15, sample("a", 15, 13, 1))
	f.ScrapeFailed("n1", errors.New("timeout"))
	f.scrape("n1", 45, sample("a", 45, 16, 1))
	f.wantServed(45, 30, served("a", 100, 1))
}

func TestRule10UnlistedIsGoneAtOnce(t *testing.T) {
	running := func(t *testing.T) *fixture {
		f := newFixture(t)
		f.scrape("n1", 0, sample("a", 0, 10, 1))
		f.scrape("n1", 15, sample("a", 15, 13, 1))
		f.wantServed(15, 15, served("a", 200, 1))
		return f
	}
	t.Run("pod removed", func(t *testing.T) {
		f := running(t)
		f.RemovePod("ns", "p")
		f.wantWithheld(NotListed)
	})
	t.Run("pod missing in a relist", func(t *testing.T) {
		f := running(t)
		f.SyncPods([]PodMetadata{{Namespace: "ns", Name: "other", UID: "2", Node: "n1"}})
		f.wantWithheld(NotListed)
	})
	t.Run("pod kept by a relist", func(t *testing.T) {
		f := running(t)
		f.SyncPods([]PodMetadata{{Namespace: "ns", Name: "p", UID: "1", Node: "n1"}})
		f.wantServed(15, 15, served("a", 200, 1))
	})
	t.Run("successor of the same name", func(t *testing.T) {
		f := running(t)
		f.SyncPods([]PodMetadata{{Namespace: "ns", Name: "p", UID: "2", Node: "n1"}})
		f.wantWithheld(NotScraped)
	})
	t.Run("node removed", func(t *testing.T) {
		f := running(t)
		f.RemoveNode("n1")
		f.wantWithheld(NotScraped)
		if _, err := f.Node("n1"); err == nil {
			t.Error("the node is still served")
		}
		f.scrape("n1", 30, sample("a", 30, 16, 1)) // an answer that was under way
		f.wantWithheld(NotScraped)
	})
	t.Run("left the kubelet's answer", func(t *testing.T) {
		f := running(t)
		f.scrape("n1", 30, ofPod(sample("a", 30, 1, 1), "other"))
		f.wantWithheld(NotScraped)
	})
	t.Run("container left the kubelet's answer", func(t *testing.T) {
		f := running(t)
		f.scrape("n1", 30, sample("a", 30, 16, 1), sample("b", 30, 1, 1))
		f.wantWithheld(NoWindow)
		f.scrape("n1", 45, sample("a", 45, 19, 1))
		f.wantServed(45, 15, served("a", 200, 1))
	})
}

func TestRule10ReportedBeforeListed(t *testing.T) {
	f := newFixture(t)
	f.RemovePod("ns", "p")
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	f.scrape("n1", 15, sample("a", 15, 13, 1))
	f.wantWithheld(NotListed)
	f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "1", Node: "n1"})
	f.wantServed(15, 15, served("a", 200, 1))
}

func TestRule11OnlyTheNodeWhereAPodRunsSpeaksForIt(t *testing.T) {
	f := newFixture(t)
	f.SetNode("n2", nil)
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	f.scrape("n1", 15, sample("a", 15, 13, 1))
	f.wantServed(15, 15, served("a", 200, 1))

	// n2 lies.
	f.scrape("n2", 20, sample("a", 20, 1000, 2))
	f.scrape("n2", 35, sample("a", 35, 2500, 2))
	f.wantServed(15, 15, served("a", 200, 1))

	// It does not if the successor of the pod runs there, and what it has said of
	// that is not lost. No window spans both.
	f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "2", Node: "n2"})
	f.wantServed(35, 15, served("a", 100000, 2))
	f.scrape("n1", 36, sample("a", 36, 16, 1)) // n1 has not forgotten it yet
	f.wantServed(35, 15, served("a", 100000, 2))
	f.RemoveNode("n1")
	f.wantServed(35, 15, served("a", 100000, 2))

	// n1 still runs the first pod of that name, which was deleted by force: what it
	// says of that is not of the third.
	f.SetNode("n1", nil)
	f.scrape("n1", 37, sample("a", 37, 1, 1))
	f.scrape("n1", 47, sample("a", 47, 2, 1))
	f.RemovePod("ns", "p")
	f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "3", Node: "n1"})
	f.wantWithheld(NotScraped)
	f.scrape("n1", 57, sample("a", 57, 1, 1))
	f.scrape("n1", 67, sample("a", 67, 2, 1))
	f.wantServed(67, 10, served("a", 100, 1))

	// A node that is not known says nothing.
	f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "4", Node: "n3"})
	f.wantWithheld(NotScraped)
}

// rejections are what Put has refused of an answer.
func (f *fixture) rejections(node string, second float64, containers ...exposition.Container) [exposition.NumRejections]int {
	f.clock.SetTime(at(second))
	s := &exposition.Samples{Containers: containers}
	f.Put(node, s, at(second))
	return s.Rejected
}

func TestRule11WhatIsRefusedIsCounted(t *testing.T) {
	f := newFixture(t)
	f.SetNode("n2", nil)
	if got := f.rejections("n2", 0, sample("a", 0, 1, 1), sample("b", 0, 1, 1), ofPod(sample("a", 0, 1, 1), "unlisted")); got[exposition.RejectedOtherNode] != 1 || got[exposition.RejectedNotListed] != 0 {
		t.Errorf("rejected %v", got)
	}
	if got := f.rejections("n1", 0, sample("a", 0, 1, 1)); got != [exposition.NumRejections]int{} {
		t.Errorf("rejected %v", got)
	}

	// One reason for each, however many there are.
	const many = 2 * maxStrangers
	var claimed []exposition.Container
	for i := range many {
		name := fmt.Sprintf("p%04d", i)
		f.SetPod(PodMetadata{Namespace: "ns", Name: name, UID: name, Node: "n1"})
		claimed = append(claimed, ofPod(sample("a", 0, 1, 1), name))
	}
	for range 2 {
		if got := f.rejections("n2", 0, claimed...); got[exposition.RejectedOtherNode] != many || got[exposition.RejectedNotListed] != 0 {
			t.Errorf("rejected %v", got)
		}
	}
	f.SyncPods(nil)
	if got := f.rejections("n2", 0, claimed...); got[exposition.RejectedOtherNode] != 0 || got[exposition.RejectedNotListed] != many-maxStrangers {
		t.Errorf("rejected %v", got)
	}
}

// Of pods that the API server does not place on a node, few are kept, whichever
// came first; its own are not touched.
func TestStrangersAreBounded(t *testing.T) {
	f := newFixture(t)
	strangers := func(n int, second float64) (all []exposition.Container) {
		for i := range n {
			all = append(all, ofPod(sample("a", second, second, 1), fmt.Sprintf("o%04d", i))) // before p
		}
		return append(all, sample("a", second, second, 1))
	}
	const beyond = 100
	for second, n := range []int{maxStrangers, maxStrangers + beyond, maxStrangers + beyond} {
		got := f.rejections("n1", float64(15*second), strangers(n, float64(15*second))...)
		if got[exposition.RejectedNotListed] != n-maxStrangers {
			t.Errorf("%d of %d are refused", got[exposition.RejectedNotListed], n)
		}
		if n := f.catalog.size(); n != maxStrangers+1 {
			t.Errorf("%d pods are kept", n)
		}
	}
	f.wantServed(30, 15, served("a", 1000, 1))
	// The API server lists one of those that were refused, and then lists what is
	// known already no more.
	name := fmt.Sprintf("o%04d", maxStrangers+beyond-1)
	f.SetPod(PodMetadata{Namespace: "ns", Name: name, UID: "2", Node: "n1"})
	f.RemovePod("ns", "p")
	for _, second := range []float64{45, 60} {
		f.scrape("n1", second, strangers(maxStrangers+beyond, second)...)
		if n := f.catalog.size(); n != maxStrangers+1 {
			t.Errorf("%d pods are kept", n)
		}
	}
	if _, err := f.Pod("ns", name); err != nil {
		t.Error(err)
	}
}

func TestRule13SwapIsServedWhereReported(t *testing.T) {
	f := newFixture(t)
	swapping := func(c exposition.Container, mebibytes uint64) exposition.Container {
		c.Swap, c.Has = mebibytes*mib, c.Has|exposition.HasSwap
		return c
	}
	f.scrape("n1", 0, swapping(sample("a", 0, 10, 1), 0), sample("b", 0, 1, 1))
	f.scrape("n1", 15, swapping(sample("a", 15, 13, 1), 5), sample("b", 15, 4, 1))
	a := served("a", 200, 1)
	a.Swap, a.HasSwap = 5*mib, true
	f.wantServed(15, 15, a, served("b", 200, 1))
}

func TestRule13OfNodes(t *testing.T) {
	f := newFixture(t)
	for round := range 2 {
		u := sample("", float64(15*round), 1, 1).Usage
		u.Swap, u.Has = 7*mib, u.Has|exposition.HasSwap
		f.clock.SetTime(at(float64(15 * round)))
		f.Put("n1", &exposition.Samples{Node: u}, at(0))
	}
	if n, err := f.Node("n1"); err != nil || !n.HasSwap || n.Swap != 7*mib {
		t.Errorf("got %+v, %v", n, err)
	}
}
