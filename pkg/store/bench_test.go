// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"iter"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

// crowded returns a store with 10,000 pods in namespace ns: tier=t0 to t9 are
// the labels of 1,000 each, app=a0 to a999 of the ten replicas of a workload,
// and only=this of one pod. Each pod has a label of its own as well, as those of
// a StatefulSet do, if distinct.
func crowded(b *testing.B, distinct bool) *Store {
	b.Helper()
	const nodes, pods = 100, 100
	s, samples := loaded(nodes, 0, 0)
	now := time.Now()
	for i := range nodes * pods {
		name := fmt.Sprintf("pod-%05d", i)
		set := map[string]string{"tier": fmt.Sprint("t", i%10), "app": fmt.Sprint("a", i%1000)}
		if distinct {
			set["pod"] = name
		}
		if i == 5000 {
			set["only"] = "this"
		}
		s.SetPod(PodMetadata{Namespace: "ns", Name: name, UID: name, Node: nodeNames[i%nodes], Labels: set})
		usage := exposition.Usage{Time: now.UnixNano(), CPU: 1e9, Memory: mib, Has: cpuAndMemory}
		on := samples[i%nodes]
		for _, c := range []string{"c-0", "c-1"} {
			on.Containers = append(on.Containers, exposition.Container{Namespace: []byte("ns"), Pod: []byte(name), Name: []byte(c), Usage: usage})
		}
	}
	for range 2 {
		for n, sample := range samples {
			advance(sample, 15*time.Second)
			s.Put(nodeNames[n], sample, now)
		}
	}
	return s
}

// BenchmarkListByLabel lists some of 10,000 pods of a namespace. "by walking" is
// what the index saves: a look at each pod of the namespace.
func BenchmarkListByLabel(b *testing.B) {
	for _, distinct := range []bool{false, true} {
		s := crowded(b, distinct)
		walk := func(q *Query) iter.Seq[object[PodUsage]] {
			return func(yield func(object[PodUsage]) bool) {
				for p := range s.catalog.walk(q.Namespace, q.After) {
					if !yield(p) {
						return
					}
				}
			}
		}
		for _, bm := range []struct {
			name, selector string
			pods           int
		}{
			{"one", "only=this", 1},
			{"ten", "app=a7", 10},
			{"thousand", "tier=t3", 1000},
			{"thousand-in", "tier in (t3)", 1000},
			{"twenty-in", "app in (a7,a8)", 20},
			{"one-of-thousand", "tier=t0,only=this", 1},
			{"thousand-not-indexable", "tier notin (t0,t1,t2,t4,t5,t6,t7,t8,t9)", 1000},
			{"one-not-indexable", "only", 1},
		} {
			q := Query{Namespace: "ns", Labels: selector(b, bm.selector)}
			run := func(kind string, list func() List[PodUsage]) {
				b.Run(fmt.Sprintf("distinct=%v/%s/%s", distinct, bm.name, kind), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if n := len(list().Items); n != bm.pods {
							b.Fatalf("%d pods, want %d", n, bm.pods)
						}
					}
				})
			}
			run("by index", func() List[PodUsage] { return s.Pods(q) })
			run("by walking", func() List[PodUsage] { return s.pods.list(&q, walk) })
		}
	}
}

// watched are the ways of watching that a scrape of node-0 is measured with.
var watched = []struct {
	name     string
	watchers int
	query    func(i int) Query
	events   bool // the scrape is told of
}{
	{"nobody", 0, nil, false},
	{"1000 labels that no pod has", 1000, func(i int) Query {
		return Query{Labels: labels.SelectorFromSet(labels.Set{"app": fmt.Sprint("other-", i)})}
	}, false},
	{"1000 other namespaces", 1000, func(i int) Query { return Query{Namespace: fmt.Sprint("other-", i)} }, false},
	{"1000 other nodes", 1000, func(i int) Query { return onNode(fmt.Sprint("=other-", i)) }, false},
	{"1000 other names", 1000, func(i int) Query {
		return Query{Namespace: "ns-0", Fields: fields.OneTermEqualSelector(FieldName, fmt.Sprint("other-", i))}
	}, false},
	{"1000 without a label, unmatched", 1000, func(i int) Query {
		return Query{Labels: labels.NewSelector().Add(requirement("!app")).Add(requirement(fmt.Sprintf("x!=%d", i)))}
	}, false},
	{"1 of all", 1, func(int) Query { return Query{} }, true},
	{"100 of all", 100, func(int) Query { return Query{} }, true},
	{"1000 without a label, matched", 1000, func(i int) Query {
		return Query{Labels: labels.NewSelector().Add(requirement(fmt.Sprintf("app notin (x-%d)", i)))}
	}, true},
}

func requirement(s string) labels.Requirement {
	parsed, err := labels.ParseToRequirements(s)
	if err != nil {
		panic(err)
	}
	return parsed[0]
}

// BenchmarkPutWatched scrapes one node, of 30 pods with two containers each.
func BenchmarkPutWatched(b *testing.B) {
	for _, bm := range watched {
		b.Run(bm.name, func(b *testing.B) {
			s, samples := loaded(1, 30, 2)
			var watchers []*Watcher[PodUsage]
			for i := range bm.watchers {
				w, err := s.WatchPods(bm.query(i), Start{})
				if err != nil {
					b.Fatal(err)
				}
				watchers = append(watchers, w)
			}
			now, waiting := time.Now(), 0
			b.ReportAllocs()
			for b.Loop() {
				advance(samples[0], 15*time.Second)
				s.Put("node-0", samples[0], now)
				if waiting += 30; !bm.events || waiting < maxWaiting-30 {
					continue
				}
				b.StopTimer()
				for _, w := range watchers {
					if events, _, err := w.Next(); err != nil || len(events) == 0 {
						b.Fatalf("%d events, %v", len(events), err)
					}
				}
				waiting = 0
				b.StartTimer()
			}
		})
	}
}

// Watchers of what is elsewhere do not cost a scrape an allocation.
func TestPutDoesNotAllocateForOtherWatchers(t *testing.T) {
	for _, tt := range watched {
		if tt.events {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			s, samples := loaded(1, 30, 2)
			for i := range tt.watchers {
				if _, err := s.WatchPods(tt.query(i), Start{}); err != nil {
					t.Fatal(err)
				}
			}
			now := time.Now()
			allocs := testing.AllocsPerRun(100, func() {
				advance(samples[0], 15*time.Second)
				s.Put("node-0", samples[0], now)
			})
			if allocs > 0 {
				t.Errorf("%v allocations per scrape", allocs)
			}
		})
	}
}
