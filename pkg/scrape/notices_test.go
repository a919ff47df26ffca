// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

// maxAge is that of the pools under test.
const maxAge = 4 * resolution

// told is Events that remembers what it is told, and when. The pool's lock guards it.
type told struct {
	events []string
	at     []time.Time
}

func (r *told) tell(format string, args ...any) {
	r.events, r.at = append(r.events, fmt.Sprintf(format, args...)), append(r.at, time.Now())
}

func (r *told) NodeUnavailable(n kubelet.Node, since time.Time, reason string, err error) {
	r.tell("%s unavailable for %s: %s: %v", n.Name, time.Since(since).Round(time.Second), reason, err)
}

func (r *told) NodeAvailable(n kubelet.Node, since time.Time) {
	r.tell("%s available after %s", n.Name, time.Since(since).Round(time.Second))
}

func (r *told) OutageBegins(o Outage) {
	r.tell("%d of %d nodes: %s", o.Unavailable, o.Nodes, o.Reasons)
}

func (r *told) OutageEnds(time.Time, int) { r.tell("over") }

// take returns what has been told since the last call.
func (f *fixture) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := f.told.events
	f.told.events = nil
	return events
}

// wantTold checks that each event begins with its text, and that there are no others.
func (f *fixture) wantTold(t *testing.T, want ...string) {
	t.Helper()
	got := f.take()
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Fatalf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// count is how many of some events have a text in them.
func count(events []string, text string) (n int) {
	for _, e := range events {
		if strings.Contains(e, text) {
			n++
		}
	}
	return n
}

func TestNodeIsUnavailableWhenItsPointsAreTooOld(t *testing.T) {
	run(t, 0, 1, func(t *testing.T, f *fixture) {
		time.Sleep(10 * resolution)
		f.behave(nodeName(0), fails("timeout"))
		time.Sleep(maxAge)
		f.wantTold(t)
		time.Sleep(2 * resolution)
		f.wantTold(t, "node-0 unavailable for 1m")
		f.behave(nodeName(0), fails("forbidden"))
		time.Sleep(time.Hour)
		f.wantTold(t)
		f.behave(nodeName(0), nil)
		time.Sleep(2 * resolution)
		f.wantTold(t, "node-0 available after 1h1m")
	})
}

func TestFailureWithinMaxAgeIsNotTold(t *testing.T) {
	run(t, 0, 1, func(t *testing.T, f *fixture) {
		for range 100 {
			f.behave(nodeName(0), fails("timeout"))
			time.Sleep(maxAge - resolution)
			f.behave(nodeName(0), nil)
			time.Sleep(2 * resolution)
		}
		f.wantTold(t)
	})
}

func TestNewNodeIsToldLater(t *testing.T) {
	run(t, 0, 1, func(t *testing.T, f *fixture) {
		time.Sleep(2 * resolution)
		f.wantWarm(t, "")
		f.behave("new", fails("connection_refused"))
		f.SetNode(kubelet.Node{Name: "new"})
		time.Sleep(newNode - time.Second)
		f.wantTold(t)
		time.Sleep(resolution + 2*time.Second)
		f.wantTold(t, "new unavailable for 2m")
		f.RemoveNode("new")
		time.Sleep(time.Hour)
		f.wantTold(t)
	})
}

func TestNodeThatFlapsIsToldAtTimes(t *testing.T) {
	run(t, 0, 1, func(t *testing.T, f *fixture) {
		for range 60 { // 100 s each
			f.behave(nodeName(0), fails("timeout"))
			time.Sleep(maxAge + 25*time.Second)
			f.behave(nodeName(0), nil)
			time.Sleep(resolution)
		}
		events := f.take()
		begins, ends := count(events, "unavailable"), count(events, " available")
		if most := int(100*time.Minute/quiet) + 1; begins < 10 || begins > most || ends != begins {
			t.Errorf("%d events begin and %d end, at most %d of each are due:\n%s", begins, ends, most, strings.Join(events, "\n"))
		}
	})
}

// However large an outage is, and however long.
func TestOutageIsToldInFewEvents(t *testing.T) {
	const nodes = 200
	run(t, 0, nodes, func(t *testing.T, f *fixture) {
		time.Sleep(10 * resolution)
		for i := range nodes {
			f.behave(nodeName(i), fails(kubelet.Reason([]string{"timeout", "unreachable"}[i%2])))
		}
		time.Sleep(time.Hour)
		begun := f.take()
		if count(begun, "unavailable for 1m") != maxNoticed || count(begun, "200 of 200 nodes: timeout=100 unreachable=100") != 1 || len(begun) != maxNoticed+1 {
			t.Errorf("when it begins:\n%s", strings.Join(begun, "\n"))
		}
		for i := range nodes {
			f.behave(nodeName(i), nil)
		}
		time.Sleep(10 * time.Minute)
		ended := f.take()
		if count(ended, " available after") != maxNoticed || count(ended, "over") != 1 || len(ended) != maxNoticed+1 {
			t.Errorf("when it ends:\n%s", strings.Join(ended, "\n"))
		}
	})
}

// Nodes that fail one after the other, as when their certificates expire, and recover
// so are no more than the outage, how it grows, and whom it leaves.
func TestSlowOutageIsToldInFewEvents(t *testing.T) {
	const nodes, left = 90, 5
	run(t, 0, nodes, func(t *testing.T, f *fixture) {
		time.Sleep(10 * resolution)
		for i := range nodes {
			f.behave(nodeName(i), fails("tls_expired"))
			time.Sleep(20 * time.Second)
		}
		time.Sleep(time.Hour)
		begun := f.take()
		if count(begun, "unavailable") != maxNoticed || len(begun) != maxNoticed+2 {
			t.Errorf("when it begins:\n%s", strings.Join(begun, "\n"))
		}
		for i := range nodes - left {
			f.behave(nodeName(i), nil)
			time.Sleep(20 * time.Second)
		}
		time.Sleep(time.Hour)
		ended := f.take()
		if count(ended, " available") < maxNoticed || count(ended, "over") != 1 || count(ended, "unavailable") > 2*fewUnavailable {
			t.Errorf("when it ends:\n%s", strings.Join(ended, "\n"))
		}
		f.behave(nodeName(nodes-1), nil)
		time.Sleep(2 * resolution)
		f.wantTold(t, nodeName(nodes-1)+" available") // the last are told of
	})
}

// Nodes that are restarted one after the other are no outage, even if more than are
// told of have been.
func TestRollingRestartIsNoOutage(t *testing.T) {
	const nodes = 3 * maxNoticed
	run(t, 0, nodes, func(t *testing.T, f *fixture) {
		time.Sleep(10 * resolution)
		for i := range nodes {
			f.behave(nodeName(i), fails("connection_refused"))
			if i > 0 {
				f.behave(nodeName(i-1), nil)
			}
			time.Sleep(maxAge + 2*resolution)
		}
		f.behave(nodeName(nodes-1), nil)
		time.Sleep(2 * resolution)
		events := f.take()
		if n := count(events, "unavailable"); n != nodes || count(events, " available") != n || len(events) != 2*n {
			t.Errorf("%d of %d nodes are told of:\n%s", n, nodes, strings.Join(events, "\n"))
		}
	})
}

// Nodes that were told of and deleted are no reason to be silent about others.
func TestRemovedNodesMakePlaceToTellOfOthers(t *testing.T) {
	run(t, 0, maxNoticed+1, func(t *testing.T, f *fixture) {
		time.Sleep(10 * resolution)
		for i := range maxNoticed {
			f.behave(nodeName(i), fails("timeout"))
		}
		time.Sleep(quiet + maxAge)
		for i := range maxNoticed {
			f.RemoveNode(nodeName(i))
		}
		if n := count(f.take(), "unavailable"); n != maxNoticed {
			t.Errorf("%d nodes are told of", n)
		}
		f.behave(nodeName(maxNoticed), fails("timeout"))
		time.Sleep(maxAge + 2*resolution)
		f.wantTold(t, nodeName(maxNoticed)+" unavailable")
	})
}

func TestNobodyIsTold(t *testing.T) {
	run(t, 0, 1, func(t *testing.T, f *fixture) {
		f.mu.Lock()
		f.notices.events = nil
		f.mu.Unlock()
		f.behave(nodeName(0), fails("timeout"))
		time.Sleep(time.Hour)
		f.behave(nodeName(0), nil)
		time.Sleep(time.Hour)
		f.wantTold(t)
	})
}
