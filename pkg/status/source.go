// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"cmp"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/kubemeter/metrics-server/pkg/scrape"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// maxPods is how many withheld pods are listed at most.
const maxPods = 1000

// Source is where a Status comes from.
type Source struct {
	// Now is the time of a status.
	Now func() time.Time
	// Scrapes and Store tell how nodes and pods are.
	Scrapes func() []scrape.State
	Store   func(store.StateQuery) store.State
	// Checks are run for each status.
	Checks []NamedCheck
	// Server does not change. Its MemoryLimit is set for each status.
	Server Server
}

// NamedCheck is a health check, with its name in /readyz or /livez.
type NamedCheck struct {
	Name string
	Run  func() error
}

// status is that of now, with the nodes and pods that are asked for.
func (s *Source) status(q query) *Status {
	now := s.Now()
	maxAge := time.Duration(s.Server.MaxAge * float64(time.Second))
	bounds := ageBounds(maxAge)
	stored := s.Store(store.StateQuery{Pods: q.pods(), Limit: maxPods, Ages: bounds})
	status := &Status{
		Time:       now.UTC(),
		Server:     s.Server,
		SampleAges: histogram(bounds, stored.Ages, stored.Oldest),
		Totals:     Totals{NodesByState: map[State]int{}, PodsServed: stored.PodsServed, PodsWithheld: map[string]int{}},
	}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		status.Server.MemoryLimit = limit
	}
	for _, c := range s.Checks {
		check := Check{Name: c.Name}
		if err := c.Run(); err != nil {
			check.Message = err.Error()
		}
		status.Checks = append(status.Checks, check)
	}
	nodes := join(s.Scrapes(), stored.Nodes, now)
	status.count(nodes, now)
	status.Problems = problems(nodes)
	status.ScrapeDurations = durations(nodes)
	status.Nodes = q.selectNodes(nodes)
	for reason, n := range stored.PodsWithheld {
		status.Totals.PodsWithheld[string(reason)] = n
	}
	status.WithheldPods = WithheldPods{Selected: stored.Selected, Pods: make([]Pod, 0, len(stored.Withheld))}
	for _, p := range stored.Withheld {
		status.WithheldPods.Pods = append(status.WithheldPods.Pods,
			Pod{Namespace: p.Namespace, Name: p.Name, Node: p.Node, Reason: string(p.Reason), Message: p.Explanation})
	}
	status.Verdict = status.judge()
	return status
}

// join makes nodes of what is known of them here and there. A node that only one side
// knows has just come or is about to go.
func join(scrapes []scrape.State, stored []store.NodeState, now time.Time) []Node {
	nodes := make([]Node, 0, len(scrapes))
	for i := range scrapes {
		of := &scrapes[i]
		at, ok := slices.BinarySearchFunc(stored, of.Node, func(n store.NodeState, name string) int { return strings.Compare(n.Name, name) })
		if ok {
			nodes = append(nodes, node(of, &stored[at], now))
		}
	}
	return nodes
}

func node(of *scrape.State, in *store.NodeState, now time.Time) Node {
	n := Node{
		Name: of.Node, Address: of.Address, Failures: of.Failures,
		LastSuccess: of.Succeeded.UTC(), Duration: of.Duration.Seconds(), CertificateExpires: of.CertificateExpires.UTC(),
		Served: in.Reason == "", PodsServed: in.PodsServed, PodsWithheld: in.PodsWithheld,
	}
	if !in.Sample.IsZero() {
		n.Sample, n.SampleAge = in.Sample.UTC(), now.Sub(in.Sample).Seconds()
	}
	failed := func(s State) {
		n.State, n.Reason, n.Since = s, of.Reason, of.FailingSince.UTC()
		// The name is there already.
		n.Message = strings.TrimPrefix(of.Err.Error(), "node \""+of.Node+"\": ")
	}
	switch {
	case of.Failures > 1:
		failed(StateFailing)
	case !n.Served && of.WarmingUp && of.Failures == 0:
		n.State, n.Reason, n.Message = StateNew, string(in.Reason), in.Explanation
	case !n.Served && of.Failures == 0:
		n.State, n.Reason, n.Message = StateWithheld, string(in.Reason), in.Explanation
	case of.Failures == 1:
		failed(StateRetrying)
	case of.Refused != "":
		n.State, n.Reason, n.Message, n.Since = StatePartial, of.Refused, "for example "+of.RefusedExample, of.RefusingSince.UTC()
	default:
		n.State = StateOK
	}
	return n
}

// count fills in the totals of nodes.
func (s *Status) count(nodes []Node, now time.Time) {
	t := &s.Totals
	t.Nodes = len(nodes)
	for _, state := range States() {
		t.NodesByState[state] = 0
	}
	for i := range nodes {
		n := &nodes[i]
		t.NodesByState[n.State]++
		if n.Served {
			t.NodesServed++
		}
		if n.CertificateExpires.IsZero() {
			continue
		}
		if t.FirstCertificateExpires.IsZero() || n.CertificateExpires.Before(t.FirstCertificateExpires) {
			t.FirstCertificateExpires = n.CertificateExpires
		}
		if n.CertificateExpires.Sub(now) < expiresSoon {
			t.CertificatesExpiring++
		}
	}
}

// problems has the nodes that are not ok by state and reason, the worst state first, and
// in it the most nodes.
func problems(nodes []Node) []Problem {
	type kind struct {
		State
		reason string
	}
	of := map[kind]*Problem{}
	for i := range nodes {
		n := &nodes[i]
		if n.State == StateOK {
			continue
		}
		p := of[kind{n.State, n.Reason}]
		if p == nil {
			a := on(n.Reason)
			p = &Problem{State: n.State, Reason: n.Reason, Meaning: a.Meaning, Remedy: a.Remedy}
			of[kind{n.State, n.Reason}] = p
		}
		if p.Nodes++; p.Example == "" || n.Name < p.Example {
			p.Example, p.Message = n.Name, n.Message
		}
	}
	all := make([]Problem, 0, len(of))
	for _, p := range of {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.State.rank(), b.State.rank()), cmp.Compare(b.Nodes, a.Nodes), strings.Compare(a.Reason, b.Reason))
	})
	return all
}

func durations(nodes []Node) Histogram {
	counts := make([]int, len(durationBounds)+1)
	greatest := time.Duration(0)
	for i := range nodes {
		d := time.Duration(nodes[i].Duration * float64(time.Second))
		if d == 0 { // not scraped yet
			continue
		}
		at, _ := slices.BinarySearch(durationBounds, d)
		counts[at]++
		greatest = max(greatest, d)
	}
	return histogram(durationBounds, counts, greatest)
}

// rank orders states, the worst first.
func (s State) rank() int { return slices.Index(States(), s) }
