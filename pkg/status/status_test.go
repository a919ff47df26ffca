// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/scrape"
	"github.com/kubemeter/metrics-server/pkg/store"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

const maxAge = 4 * time.Minute

// cluster is a Source whose nodes and withheld pods tests change.
type cluster struct {
	Source
	scrapes  []scrape.State
	stored   []store.NodeState
	withheld []store.WithheldPod
}

// newCluster has sound nodes with 30 pods each.
func newCluster(nodes int) *cluster {
	c := &cluster{}
	c.Source = Source{
		Now:     func() time.Time { return now },
		Scrapes: func() []scrape.State { return c.scrapes },
		Store:   c.state,
		Server: Server{
			Name: "metrics-server-0", Version: "v0.1.0", GoVersion: "go1.26", Platform: "linux/amd64", Started: now.Add(-75 * time.Hour),
			Resolution: 60, MaxAge: maxAge.Seconds(), RequestTimeout: 10, KubeletPort: 10250,
			AddressTypes: []string{"Hostname", "InternalIP"}, KubeletTLS: "verified",
			Flags: map[string]string{"metric-resolution": "1m0s", "tls-secret": "kube-system/metrics-server-tls"},
		},
		Checks: []NamedCheck{{"metric-storage-ready", func() error { return nil }}},
	}
	for i := range nodes {
		name := fmt.Sprintf("node-%04d", i)
		c.scrapes = append(c.scrapes, scrape.State{
			Node: name, Address: fmt.Sprintf("10.0.%d.%d:10250", i/250, i%250+1),
			CertificateExpires: now.Add(time.Duration(100+i%200) * 24 * time.Hour),
			Succeeded:          now.Add(-time.Duration(i%60) * time.Second),
			Duration:           time.Duration(3+i%40) * time.Millisecond,
		})
		c.stored = append(c.stored, store.NodeState{Name: name, Sample: now.Add(-time.Duration(i%60) * time.Second), PodsServed: 30})
	}
	return c
}

// state does what a store does with a query.
func (c *cluster) state(q store.StateQuery) store.State {
	s := store.State{Nodes: c.stored, PodsWithheld: map[store.Reason]int{}, Ages: make([]int, len(q.Ages)+1), Oldest: 59 * time.Second}
	for _, n := range c.stored {
		s.PodsServed += n.PodsServed
	}
	s.Ages[0], s.Ages[2] = s.PodsServed/2, s.PodsServed-s.PodsServed/2
	for _, p := range c.withheld {
		s.PodsWithheld[p.Reason]++
		if q.Pods(p.Key, p.Node, p.Reason) {
			if s.Selected++; len(s.Withheld) < q.Limit {
				s.Withheld = append(s.Withheld, p)
			}
		}
	}
	return s
}

// fail has scrapes of a node fail.
func (c *cluster) fail(node, times int, reason kubelet.Reason, text string) {
	s := &c.scrapes[node]
	s.Failures, s.FailingSince, s.Reason = times, now.Add(-time.Duration(times)*time.Minute), string(reason)
	s.Err = &kubelet.Error{Reason: reason, Node: s.Node, URL: "https://" + s.Address + "/metrics/resource", Err: errors.New(text)}
}

// withhold has a pod withheld.
func (c *cluster) withhold(namespace, name string, node int, reason store.Reason, why string) {
	c.withheld = append(c.withheld, store.WithheldPod{
		Key: store.Key{Namespace: namespace, Name: name}, Node: c.stored[node].Name, Reason: reason, Explanation: why,
	})
	c.stored[node].PodsServed--
	c.stored[node].PodsWithheld++
}

// faulty has one node of each state and some pods that are withheld.
func faulty(nodes int) *cluster {
	c := newCluster(nodes)
	c.fail(1, 12, kubelet.ReasonTLSUnknownAuthority, "x509: certificate signed by unknown authority: it is self-signed")
	c.fail(2, 5, kubelet.ReasonTimeout, "no complete answer in time")
	c.fail(3, 1, kubelet.ReasonConnection, "connection reset by peer")
	c.scrapes[4].WarmingUp = true
	c.stored[4].Reason, c.stored[4].Explanation = store.NoWindow, "there is one sample so far, and usage needs two"
	c.stored[5].Reason, c.stored[5].Explanation = store.Incomplete, "the kubelet's newest answer lacks its CPU or memory"
	c.scrapes[6].Refused, c.scrapes[6].RefusedExample, c.scrapes[6].RefusingSince = "value", "CPU of container a/b/c: -1", now.Add(-time.Hour)
	c.scrapes[7].CertificateExpires = now.Add(3 * 24 * time.Hour)
	c.withhold("shop", "cart-0", 2, store.Stale, "its last sample is too old")
	c.withhold("shop", "web-1", 1, store.NotScraped, "node has not reported it yet")
	c.withhold("bank", "ledger-0", 8, store.Incomplete, `container "audit" lacks its memory`)
	return c
}

func TestStates(t *testing.T) {
	s := faulty(9).status(query{view: viewNodes, sort: "name", page: 1})
	want := []struct {
		state   State
		reason  string
		message string
	}{
		{StateOK, "", ""},
		{StateFailing, "tls_unknown_authority", ""},
		{StateFailing, "timeout", ""},
		{StateRetrying, "connection", ""},
		{StateNew, "no_window", "there is one sample so far, and usage needs two"},
		{StateWithheld, "incomplete", "the kubelet's newest answer lacks its CPU or memory"},
		{StatePartial, "value", "for example CPU of container a/b/c: -1"},
		{StateOK, "", ""},
		{StateOK, "", ""},
	}
	for i, n := range s.Nodes {
		if n.State != want[i].state || n.Reason != want[i].reason || want[i].message != "" && n.Message != want[i].message {
			t.Errorf("%s is %s, %s: %s", n.Name, n.State, n.Reason, n.Message)
		}
	}
	for state, count := range s.Totals.NodesByState {
		want := map[State]int{StateOK: 3, StateFailing: 2}[state]
		if want == 0 {
			want = 1
		}
		if count != want {
			t.Errorf("%d nodes are %s, want %d", count, state, want)
		}
	}
	if s.Totals.NodesServed != 7 || s.Totals.CertificatesExpiring != 1 || !s.Totals.FirstCertificateExpires.Equal(now.Add(72*time.Hour)) {
		t.Errorf("totals: %+v", s.Totals)
	}
	if got := s.Nodes[1]; !got.Since.Equal(now.Add(-12*time.Minute)) || got.Failures != 12 || !got.Served {
		t.Errorf("a failing node: %+v", got)
	}
}

// A node that scraping or the store does not know any more is left out.
func TestNodesThatGo(t *testing.T) {
	c := newCluster(3)
	c.stored = c.stored[1:]
	c.scrapes = c.scrapes[:2]
	if nodes := c.status(query{sort: "name"}).Nodes; len(nodes) != 1 || nodes[0].Name != "node-0001" {
		t.Errorf("got %v", nodes)
	}
}

func TestProblems(t *testing.T) {
	c := newCluster(20)
	for i := 3; i < 9; i++ {
		c.fail(i, 3, kubelet.ReasonForbidden, "403 Forbidden")
	}
	c.fail(12, 3, kubelet.ReasonDNS, "no such host")
	c.fail(13, 1, kubelet.ReasonTimeout, "no connection in time")
	var got []string
	for _, p := range c.status(query{sort: "name"}).Problems {
		got = append(got, fmt.Sprint(p.State, p.Reason, p.Nodes, p.Example))
		if p.Meaning == "" || p.Remedy == "" || p.Message == "" {
			t.Errorf("says nothing: %+v", p)
		}
	}
	if want := []string{"failingforbidden6node-0003", "failingdns1node-0012", "retryingtimeout1node-0013"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Each verdict names what is worst, and what to do.
func TestVerdict(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(*cluster)
		level   Level
		message string
	}{
		"well": {func(*cluster) {}, LevelOK, "All is well: 10 nodes and 300 pods are served."},
		"one starts": {
			func(c *cluster) { c.withhold("a", "b", 1, store.NoWindow, "") },
			LevelOK, "All is well: 10 nodes and 299 pods are served; 1 more pod has no usage yet.",
		},
		"no nodes": {func(c *cluster) { c.scrapes = nil }, LevelCritical, "There are no nodes to scrape."},
		"some fail": {
			func(c *cluster) { c.fail(1, 2, kubelet.ReasonTimeout, "") },
			LevelWarning, "1 of 10 nodes cannot be read: the kubelet does not answer in time.",
		},
		"most fail": {
			func(c *cluster) {
				for i := range 6 {
					c.fail(i, 2, kubelet.ReasonUnauthorized, "")
				}
				c.fail(7, 2, kubelet.ReasonTimeout, "")
			},
			LevelCritical, "7 of 10 nodes cannot be read, 6 of them because the kubelet does not know who the server is (401).",
		},
		"one is withheld": {
			func(c *cluster) { c.stored[3].Reason = store.Incomplete },
			LevelWarning, "1 of 10 nodes is not served: the kubelet reports CPU or memory and not both.",
		},
		"pods are withheld": {
			func(c *cluster) {
				c.withhold("a", "b", 1, store.Incomplete, "")
				c.withhold("a", "c", 1, store.Incomplete, "")
			},
			LevelWarning, "2 of 300 pods are withheld, most because the kubelet reports CPU or memory and not both.",
		},
		"partial": {
			func(c *cluster) { c.scrapes[1].Refused = "rate" },
			LevelWarning, "Of 1 node, something is left out: a CPU counter has risen faster than any machine's could, and began anew.",
		},
		"certificates": {
			func(c *cluster) { c.scrapes[4].CertificateExpires = now.Add(48 * time.Hour) },
			LevelWarning, "Serving certificates end within 14 days, of 1 kubelet; the first on 2026-11-28.",
		},
		"starting": {
			func(c *cluster) { c.scrapes[4].WarmingUp, c.stored[4].Reason = true, store.NoWindow },
			LevelNotice, "9 of 10 nodes and 300 of 300 pods are served; the others have just come.",
		},
		"check": {
			func(c *cluster) { c.Checks[0].Run = func() error { return errors.New("not yet") } },
			LevelWarning, "The check metric-storage-ready fails: not yet.",
		},
	} {
		c := newCluster(10)
		tt.change(c)
		got := c.status(query{sort: "name"}).Verdict
		if got.Level != tt.level || got.Message != tt.message {
			t.Errorf("%s: %s %q", name, got.Level, got.Message)
		}
		if bad := got.Level == LevelWarning || got.Level == LevelCritical; bad != (got.Remedy != "") {
			t.Errorf("%s: what to do is %q", name, got.Remedy)
		}
	}
}

// What is in metrics and logs is explained.
func TestAdvice(t *testing.T) {
	for _, reason := range store.WithheldReasons() {
		if _, ok := adviceOn[string(reason)]; !ok {
			t.Errorf("nothing is said about %s", reason)
		}
	}
	if a := on("what"); a.Meaning == "" || a.Remedy == "" {
		t.Error("nothing is said about a reason that is not known")
	}
}
