// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	clocktesting "k8s.io/utils/clock/testing"
)

// checkCatalog checks how the catalog hangs together: its pods are in order, and
// each that is served is in the group of its labels, which each of them leads to.
func checkCatalog(t *testing.T, c *catalog) {
	t.Helper()
	var last *pod
	ungrouped := map[*pod]bool{}
	for p := range c.walk("", Key{}) {
		if last != nil && last.key().Compare(p.key()) >= 0 || p.dropped {
			t.Fatalf("%v is after %v, or was dropped", p.key(), last)
		}
		last = p
		if p.from != nil {
			ungrouped[p] = true
		}
	}
	for namespace, index := range c.namespaces {
		if len(index.groups) == 0 {
			t.Errorf("namespace %s is empty", namespace)
		}
		terms := 0
		for set, g := range index.groups {
			terms += len(set.all())
			if g.labels != set || len(g.pods) == 0 {
				t.Fatalf("a group of %d pods has labels %v, but is that of %v", len(g.pods), g.labels.all(), set.all())
			}
			for _, label := range set.all() {
				if !slices.Contains(index.byTerm[term(label)], g) {
					t.Fatalf("%v does not lead to a group that has it", label)
				}
			}
			for _, p := range g.pods {
				if p.namespace() != namespace || p.labels != set || !p.listed {
					t.Fatalf("%v is in namespace %s with labels %v, but has %v", p.key(), namespace, set.all(), p.labels.all())
				}
				delete(ungrouped, p)
			}
		}
		for term, groups := range index.byTerm {
			if terms -= len(groups); len(groups) == 0 {
				t.Errorf("%v leads nowhere", term)
			}
		}
		if terms != 0 {
			t.Errorf("namespace %s leads to %d groups too many", namespace, -terms)
		}
	}
	for p := range ungrouped {
		t.Fatalf("%v is served, but in no group", p.key())
	}
}

// What labelled finds is what matches among all.
func TestLabelIndex(t *testing.T) {
	rng := random(t)
	clk := clocktesting.NewFakePassiveClock(start)
	f := &fixture{T: t, Store: New(clk, maxAge), clock: clk}
	f.SetNode("n1", nil)
	selectors := []labels.Selector{labels.Everything(), labels.Nothing()}
	for _, s := range strings.Split("a=1;a==2;a!=1;a in (1,2);a in (3);a notin (1,3);a;!a;b=x;a=1,b=x;a=1,a=2;a in (1,2),b in (x,y);a,!b;a>1;a<2,b!=x;c=1;!c", ";") {
		selectors = append(selectors, selector(t, s))
	}
	name := func() string { return fmt.Sprint("p", rng.IntN(40)) }
	namespace := func() string { return fmt.Sprint("ns", rng.IntN(3)) }
	set := func() map[string]string {
		set := map[string]string{}
		for _, key := range []string{"a", "b"} {
			if value := pick(rng, []string{"", "1", "2", "3", "x"}); value != "" {
				set[key] = value
			}
		}
		return set
	}
	for i := range 1500 {
		switch n := rng.IntN(10); {
		case n < 6:
			f.SetPod(PodMetadata{Namespace: namespace(), Name: name(), UID: "1", Node: "n1", Labels: set()})
		case n < 9:
			f.RemovePod(namespace(), name())
		default: // all that are reported at second 0 are served from second 10
			second := float64(10 * i)
			all := f.many(0)
			for j := range 120 {
				c := ofPod(sample("a", second, second, 1), fmt.Sprint("p", j/3))
				c.Namespace = fmt.Appendf(nil, "ns%d", j%3)
				all = append(all, c)
			}
			f.scrape("n1", second, all...)
		}
		checkCatalog(t, f.catalog)
		for _, namespace := range []string{"", namespace(), "none"} {
			s := pick(rng, selectors)
			found := map[*pod]int{}
			for _, p := range f.catalog.labelled(namespace, s) {
				if found[p]++; found[p] > 1 || !s.Matches(labels.Set(p.labels.all().Map())) || namespace != "" && p.namespace() != namespace {
					t.Fatalf("%v in namespace %q: found %d times %v with %v", s, namespace, found[p], p.key(), p.labels.all())
				}
			}
			for p := range f.catalog.walk(namespace, Key{}) {
				if p.from != nil && s.Matches(labels.Set(p.labels.all().Map())) != (found[p] == 1) {
					t.Fatalf("%v in namespace %q: %v has %v, and is found %d times", s, namespace, p.key(), p.labels.all(), found[p])
				}
			}
		}
	}
	f.SyncPods(nil)
	f.RemoveNode("n1")
	if n := f.catalog.pods.Len(); n+len(f.catalog.namespaces)+len(f.labels.sets) != 0 {
		t.Errorf("%d pods, %d namespaces and %d label sets are left", n, len(f.catalog.namespaces), len(f.labels.sets))
	}
}

// spy is a field selector that acts when it is asked, which is while a change is
// published.
type spy struct {
	fields.Selector
	act func()
}

func (s *spy) Matches(f fields.Fields) bool {
	s.act()
	return s.Selector.Matches(f)
}

// Whoever lists as of the revision before a change, while it is published, must
// find what was there, and whoever lists as of its revision what is.
func TestIndexHasWhatIsBeingPublished(t *testing.T) {
	f := running(t)
	found := func(q Query) (n int) {
		for range f.walkPods(&q) {
			n++
		}
		return n
	}
	isWeb, isDB := Query{Labels: selector(t, "app=web")}, Query{Labels: selector(t, "app=db")}
	var seen [4]int
	look := func() {
		nodes := 0
		for range f.walkNodes(&Query{}) {
			nodes++
		}
		seen = [4]int{found(isWeb), found(isDB), found(Query{Namespace: "ns", Labels: selector(t, "app in (web,db)")}), nodes}
	}
	if _, err := f.WatchPods(Query{Fields: &spy{fields.ParseSelectorOrDie("metadata.name!=x"), look}}, Start{}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func()
		want [4]int // pods with app=web, with app=db, with either; nodes
	}{
		{"relabelled", func() { f.relabel(db) }, [4]int{1, 1, 1, 1}},
		{"scraped", func() { f.scrape("n1", 30, sample("a", 30, 16, 1)) }, [4]int{0, 1, 1, 1}},
		{"removed", func() { f.RemovePod("ns", "p") }, [4]int{0, 1, 1, 1}},
		{"back", func() {
			f.scrape("n1", 45, sample("a", 45, 19, 1))
			f.scrape("n1", 60, sample("a", 60, 22, 1))
			f.relabel(web)
		}, [4]int{1, 0, 1, 1}},
		{"another UID", func() { f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "2", Node: "n1", Labels: db}) }, [4]int{1, 0, 1, 1}},
		{"scraped again", func() {
			f.scrape("n1", 75, sample("a", 75, 25, 1))
			f.scrape("n1", 90, sample("a", 90, 28, 1))
		}, [4]int{0, 1, 1, 1}},
		{"node removed", func() { f.RemoveNode("n1") }, [4]int{0, 1, 1, 1}},
	} {
		seen = [4]int{}
		if step.do(); seen != step.want {
			t.Errorf("%s: while that was published, %v were found, want %v", step.name, seen, step.want)
		}
	}
	if look(); seen != [4]int{0, 1, 1, 0} {
		t.Errorf("in the end %v are found", seen)
	}
}

func TestLabelIndexWithoutMatches(t *testing.T) {
	c := newCatalog()
	for _, s := range []string{"", "a=1", "!a"} {
		if found := c.labelled("ns", selector(t, s)); len(found) != 0 {
			t.Errorf("%q finds %d pods in an empty catalog", s, len(found))
		}
	}
}

// A walk takes chunks of pods, and goes on after each with those that have come.
func TestWalk(t *testing.T) {
	f := newFixture(t)
	f.RemovePod("ns", "p")
	const pods = 2*walkChunk + 2
	for i := range pods {
		for _, namespace := range []string{"b", "d"} {
			f.SetPod(PodMetadata{Namespace: namespace, Name: fmt.Sprintf("p%06d", i), UID: "1", Node: "n1"})
		}
	}
	count := func(namespace string, after Key) (n int) {
		last := after
		for p := range f.catalog.walk(namespace, after) {
			if p.key().Compare(last) <= 0 || namespace != "" && p.namespace() != namespace {
				t.Fatalf("%v after %v", p.key(), last)
			}
			last = p.key()
			n++
		}
		return n
	}
	for _, tt := range []struct {
		namespace string
		after     Key
		want      int
	}{
		{"", Key{}, 2 * pods},
		{"b", Key{}, pods},
		{"d", Key{}, pods},
		{"a", Key{}, 0},
		{"c", Key{}, 0},
		{"e", Key{}, 0},
		{"b", Key{"b", "p000000"}, pods - 1},
		{"b", Key{"b", "p0000000"}, pods - 1}, // of which there is no pod
		{"b", Key{"b", fmt.Sprintf("p%06d", pods-1)}, 0},
		{"b", Key{"b", "q"}, 0},
		{"b", Key{"a", "q"}, pods},
		{"b", Key{"c", ""}, 0},
		{"d", Key{"c", "q"}, pods},
		{"", Key{"b", fmt.Sprintf("p%06d", walkChunk)}, 2*pods - walkChunk - 1},
		{"", Key{"c", ""}, pods},
		{"", Key{"d", "q"}, 0},
	} {
		if got := count(tt.namespace, tt.after); got != tt.want {
			t.Errorf("%d pods of namespace %q after %v, want %d", got, tt.namespace, tt.after, tt.want)
		}
	}

	var walked []string
	for p := range f.catalog.walk("b", Key{}) {
		walked = append(walked, p.name)
		if len(walked) == walkChunk {
			for _, name := range []string{"p000000b", "p000511b", "p000600b", "p000600c"} {
				f.SetPod(PodMetadata{Namespace: "b", Name: name, UID: "1", Node: "n1"})
			}
			f.RemovePod("b", "p000000")
			f.RemovePod("b", "p000512")
			f.RemovePod("b", "p000600c")
		}
	}
	if len(walked) != pods+2-1 || !slices.IsSorted(walked) || !slices.Contains(walked, "p000511b") || !slices.Contains(walked, "p000600b") {
		t.Errorf("walked %d pods, want the %d that there were, two more and one fewer", len(walked), pods)
	}
	for range f.catalog.walk("", Key{}) {
		break // ends the walk
	}
}

func TestWithout(t *testing.T) {
	for _, set := range [][]int{{1}, {1, 2}, {2, 1}, {3, 1, 2}, {2, 3}, nil} {
		want := slices.DeleteFunc(slices.Clone(set), func(e int) bool { return e == 1 })
		got := without(slices.Clone(set), 1)
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) || len(want) == 0 && got != nil {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	set := rng.Perm(100)
	for _, e := range rng.Perm(100) {
		set = without(set, e)
	}
	if set != nil {
		t.Errorf("%v are left", set)
	}
}
