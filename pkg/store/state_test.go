// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

func TestState(t *testing.T) {
	f := newFixture(t) // n1, where ns/p runs
	f.SetNode("n2", nil)
	for _, pod := range []string{"one", "half"} {
		f.SetPod(PodMetadata{Namespace: "ns", Name: pod, UID: pod, Node: "n1"})
	}
	f.SetPod(PodMetadata{Namespace: "ns", Name: "lost", UID: "lost", Node: "n2"})
	put := func(second float64, containers ...exposition.Container) {
		f.clock.SetTime(at(second))
		f.Put("n1", &exposition.Samples{Node: sample("", second, 1+second, 1).Usage, Containers: containers}, at(second))
	}
	whole := func(second float64) []exposition.Container {
		return []exposition.Container{sample("a", second, 1+second, 1), ofPod(sample("a", second, 1+second, 1), "one"), ofPod(sample("a", second, 1, 1), "stranger")}
	}
	put(0, whole(0)...)
	late := whole(15)
	late[1] = ofPod(sample("a", 10, 11, 1), "one")
	put(15, append(late, ofPod(sample("a", 15, 1, 1), "half"))...)
	f.ScrapeFailed("n2", errors.New("timeout"))
	f.clock.SetTime(at(20))

	q := StateQuery{Limit: 10, Ages: []time.Duration{5 * time.Second, 9 * time.Second}}
	got := f.State(q)
	if len(got.Nodes) != 2 {
		t.Fatalf("the nodes are %+v", got.Nodes)
	}
	if want := (NodeState{Name: "n1", Sample: at(15).Local(), PodsServed: 2, PodsWithheld: 1}); !got.Nodes[0].Sample.Equal(want.Sample) ||
		got.Nodes[0].Reason != "" || got.Nodes[0].PodsServed != 2 || got.Nodes[0].PodsWithheld != 1 {
		t.Errorf("got %+v, want %+v", got.Nodes[0], want)
	}
	if want := (NodeState{Name: "n2", Reason: NotScraped, Explanation: "not scraped yet", PodsWithheld: 1}); got.Nodes[1] != want {
		t.Errorf("got %+v, want %+v", got.Nodes[1], want)
	}
	if got.PodsServed != 2 || got.PodsWithheld[NoWindow] != 1 || got.PodsWithheld[NotScraped] != 1 {
		t.Errorf("%d pods are served, %v withheld", got.PodsServed, got.PodsWithheld)
	}
	if !slices.Equal(got.Ages, []int{1, 0, 1}) || got.Oldest != 10*time.Second {
		t.Errorf("the ages are %v, up to %v", got.Ages, got.Oldest)
	}
	want := []WithheldPod{
		{Key{"ns", "half"}, "n1", NoWindow, `container "a" on node "n1": there is one sample so far, and usage needs two`},
		{Key{"ns", "lost"}, "n2", NotScraped, `node "n2" has not reported it yet; the last scrape failed: timeout`},
	}
	if !slices.Equal(got.Withheld, want) || got.Selected != 2 {
		t.Errorf("of %d:\n got %+v\nwant %+v", got.Selected, got.Withheld, want)
	}

	q.Limit = 1
	if got := f.State(q); got.Selected != 2 || !slices.Equal(got.Withheld, want[:1]) {
		t.Errorf("limited: %+v of %d", got.Withheld, got.Selected)
	}
	q.Pods = func(k Key, node string, r Reason) bool { return k.Name == "lost" && node == "n2" && r == NotScraped }
	if got := f.State(q); got.Selected != 1 || !slices.Equal(got.Withheld, want[1:]) || got.PodsWithheld[NoWindow] != 1 {
		t.Errorf("selected: %+v of %d, %v", got.Withheld, got.Selected, got.PodsWithheld)
	}
}

// BenchmarkState is what a look at the status costs of a store of 5,000 nodes with 30
// pods each, when all is served and when nothing is.
func BenchmarkState(b *testing.B) {
	const nodes = 5000
	bounds := []time.Duration{time.Second, time.Minute}
	for _, served := range []bool{true, false} {
		b.Run(fmt.Sprint("served=", served), func(b *testing.B) {
			s, _ := loaded(nodes, 30, 2)
			if !served {
				for n := range nodes {
					s.RemoveNode(fmt.Sprint("node-", n))
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if got := s.State(StateQuery{Limit: 1000, Ages: bounds}); (got.PodsServed == 30*nodes) != served {
					b.Fatalf("%d pods are served", got.PodsServed)
				}
			}
		})
	}
}
