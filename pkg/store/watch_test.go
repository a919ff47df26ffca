// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

// follower takes a watcher's events, builds from them what is served, and checks
// what holds of the events of any watcher.
type follower[V Value] struct {
	w     *Watcher[V]
	query Query
	known map[Key]V
	upTo  uint64 // the revision up to which it has all events
	// syncing until Synced has come.
	syncing bool
	// replaying until the first events have come, which may leave out states.
	replaying bool
	ready     bool // Ready has told of what Next will return
}

// follow begins to follow pods from a start of which it knows what was served.
func (f *fixture) follow(q Query, start Start, known ...PodUsage) *follower[PodUsage] {
	f.Helper()
	w, err := f.WatchPods(q, start)
	if err != nil {
		f.Fatal(err)
	}
	then := List[PodUsage]{Items: known, Revision: start.Revision}
	if start == (Start{}) {
		then = f.Pods(q)
	}
	return newFollower(w, q, start, then)
}

func (f *fixture) followNodes(q Query, start Start, known ...NodeUsage) *follower[NodeUsage] {
	f.Helper()
	w, err := f.WatchNodes(q, start)
	if err != nil {
		f.Fatal(err)
	}
	then := List[NodeUsage]{Items: known, Revision: start.Revision}
	if start == (Start{}) {
		then = f.Nodes(q)
	}
	return newFollower(w, q, start, then)
}

// newFollower follows a watcher from what a list has shown. The list is empty if
// the watcher begins with what there is.
func newFollower[V Value](w *Watcher[V], q Query, start Start, then List[V]) *follower[V] {
	fw := &follower[V]{
		w: w, query: q, known: map[Key]V{}, upTo: then.Revision,
		syncing: start.Current, replaying: !start.Current && start.Revision != 0,
	}
	for _, v := range then.Items {
		fw.known[v.Key()] = v
	}
	return fw
}

// take takes all events that there are.
func (fw *follower[V]) take() (all []*Event[V], err error) {
	for {
		events, err := fw.next()
		if all = append(all, events...); err != nil || !fw.syncing && !fw.replaying {
			return all, err
		}
	}
}

// next calls Next once.
func (fw *follower[V]) next() ([]*Event[V], error) {
	select {
	case <-fw.w.Ready():
		fw.ready = true
	default:
	}
	wasSyncing := fw.syncing
	events, upTo, err := fw.w.Next()
	if err != nil {
		return events, err
	}
	if len(events) > 0 && !fw.ready && len(fw.w.Ready()) == 0 {
		return events, errors.New("events without Ready")
	}
	fw.ready = false
	for _, e := range events {
		if err := fw.apply(e, upTo); err != nil {
			return events, err
		}
	}
	switch {
	case fw.syncing && (upTo != 0 || len(fw.w.Ready()) == 0):
		return events, fmt.Errorf("a page is missing, but Next returned revision %d and Ready is %v", upTo, len(fw.w.Ready()) > 0)
	case wasSyncing && !fw.syncing && events[len(events)-1].Type != Synced:
		return events, errors.New("events after Synced on the last page")
	case !fw.syncing && upTo < fw.upTo:
		return events, fmt.Errorf("revision %d after %d", upTo, fw.upTo)
	case !fw.syncing:
		fw.upTo = upTo
	}
	fw.replaying = fw.w.replay != nil
	return events, nil
}

// breakOff takes some of the events that there are, as a client whose connection
// breaks, and goes on with another watch from the last.
func (fw *follower[V]) breakOff(rng *rand.Rand, watch func(Query, Start) (*Watcher[V], error)) error {
	events, upTo, err := fw.w.Next()
	if err != nil {
		return err
	}
	for _, e := range events[:rng.IntN(len(events)+1)] {
		if err := fw.apply(e, upTo); err != nil {
			return err
		}
	}
	fw.w.Stop()
	w, err := watch(fw.query, Start{Revision: fw.upTo})
	if err != nil {
		return err
	}
	w.query.Limit = fw.w.query.Limit
	fw.w, fw.replaying = w, true
	return nil
}

// apply takes in an event that came with a revision, 0 while pages are missing.
func (fw *follower[V]) apply(e *Event[V], upTo uint64) error {
	if e.Type == Synced {
		if !fw.syncing || upTo == 0 {
			return errors.New("Synced comes once, with a revision")
		}
		fw.syncing = false
		return nil
	}
	v, key := e.Value, e.Value.Key()
	revision := v.times().revision
	known, isKnown := fw.known[key]
	switch {
	case e.Type == Added && isKnown:
		return fmt.Errorf("%v is added, but known", key)
	case e.Type != Added && !isKnown:
		return fmt.Errorf("%v is unknown, but modified or deleted", key)
	case isKnown && revision <= known.times().revision:
		return fmt.Errorf("%v: revision %d after %d", key, revision, known.times().revision)
	case !fw.syncing && (revision <= fw.upTo || revision > upTo):
		return fmt.Errorf("%v: revision %d is not in (%d, %d]", key, revision, fw.upTo, upTo)
	case !selects(fw.query, v):
		return fmt.Errorf("%v does not match", key)
	}
	if e.Type == Deleted && !fw.replaying {
		if d := difference([]V{unrevised(v)}, []V{unrevised(known)}); d != "" {
			return fmt.Errorf("deleted is not what was: %s", d)
		}
	}
	if !fw.syncing {
		fw.upTo = revision
	}
	if e.Type == Deleted {
		delete(fw.known, key)
	} else {
		fw.known[key] = v
	}
	return nil
}

// state is what is served by now, ordered by key.
func (fw *follower[V]) state() []V { return inKeyOrder(maps.Clone(fw.known)) }

func inKeyOrder[V Value](known map[Key]V) []V {
	return slices.SortedFunc(maps.Values(known), func(a, b V) int { return a.Key().Compare(b.Key()) })
}

// plain is a value as it can be compared and shown.
type plain[V Value] struct {
	Value  V
	Labels map[string]string
}

func plainly[V Value](v V) plain[V] {
	p := plain[V]{v, v.attributes().labels.all().Map()}
	switch u := any(&p.Value).(type) {
	case *PodUsage:
		u.selectable.labels = nil
	case *NodeUsage:
		u.labels = nil
	}
	return p
}

// unrevised is a value without when it changed.
func unrevised[V Value](v V) V {
	switch u := any(&v).(type) {
	case *PodUsage:
		u.changed = times{}
	case *NodeUsage:
		u.changed = times{}
	}
	return v
}

// selects tells whether a query matches, without the help of the store.
func selects[V Value](q Query, v V) bool {
	key := v.Key()
	has, set := fields.Set{FieldName: key.Name, FieldNamespace: key.Namespace}, labels.Set{}
	switch u := any(v).(type) {
	case PodUsage:
		has[FieldNodeName], set = u.Node(), u.Labels().Map()
	case NodeUsage:
		set = u.Labels().Map()
	}
	return (q.Namespace == "" || q.Namespace == key.Namespace) &&
		(q.Labels == nil || q.Labels.Matches(set)) && (q.Fields == nil || q.Fields.Matches(has))
}

// filter returns the values that a query matches.
func filter[V Value](q Query, all []V) (some []V) {
	for _, v := range all {
		if selects(q, v) {
			some = append(some, v)
		}
	}
	return some
}

// difference says where two lists differ, "" if they do not.
func difference[V Value](got, want []V) string {
	for i := range min(len(got), len(want)) {
		if got, want := plainly(got[i]), plainly(want[i]); !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("\n got %+v\nwant %+v", got, want)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d objects, want %d", len(got), len(want))
	}
	return ""
}

// describe says of a pod's event what tests of single steps look at.
func describe(e *Event[PodUsage]) string {
	p := e.Value
	return describeType(e.Type) + strings.TrimRight(fmt.Sprintf(" %s/%s %s %v %s",
		p.Namespace, p.Name, p.Node(), p.Timestamp.Sub(start), labels.Set(p.Labels().Map())), " ")
}

func describeNode(e *Event[NodeUsage]) string {
	return describeType(e.Type) + strings.TrimRight(fmt.Sprintf(" %s %v %s",
		e.Value.Name, e.Value.Timestamp.Sub(start), labels.Set(e.Value.Labels().Map())), " ")
}

func describeType(t EventType) string {
	return []string{Added: "Added", Modified: "Modified", Deleted: "Deleted", Synced: "Synced"}[t]
}

// wantEvents checks which events there are, and that by them all is known that
// is served.
func (f *fixture) wantEvents(fw *follower[PodUsage], want ...string) {
	f.Helper()
	compareEvents(f.T, fw, describe, f.Pods(fw.query).Items, want)
}

func (f *fixture) wantNodeEvents(fw *follower[NodeUsage], want ...string) {
	f.Helper()
	compareEvents(f.T, fw, describeNode, f.Nodes(fw.query).Items, want)
}

func compareEvents[V Value](t *testing.T, fw *follower[V], describe func(*Event[V]) string, served []V, want []string) {
	t.Helper()
	events, err := fw.take()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		if e.Type == Synced {
			got = append(got, "Synced")
		} else {
			got = append(got, describe(e))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n got %q\nwant %q", got, want)
	}
	if d := difference(fw.state(), served); d != "" {
		t.Error("by its events it knows: ", d)
	}
}

func selector(t testing.TB, s string) labels.Selector {
	t.Helper()
	parsed, err := labels.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// onNode selects pods by node: "=n1" or "!=n1".
func onNode(s string) Query {
	return Query{Fields: fields.ParseSelectorOrDie(FieldNodeName + s)}
}

// relabel changes the labels of pod ns/p.
func (f *fixture) relabel(set map[string]string) { f.place("n1", set) }

// place says on which node pod ns/p runs.
func (f *fixture) place(node string, set map[string]string) {
	f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "1", Node: node, Labels: set})
}

var (
	web = map[string]string{"app": "web"}
	db  = map[string]string{"app": "db"}
)

// running serves ns/p with app=web, from n1, as of second 15.
func running(t *testing.T) *fixture {
	f := newFixture(t)
	f.relabel(web)
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	f.scrape("n1", 15, sample("a", 15, 13, 1))
	return f
}

func TestWatchTellsOfScrapes(t *testing.T) {
	f := newFixture(t)
	w := f.follow(Query{}, Start{})
	f.scrape("n1", 0, sample("a", 0, 10, 1))
	f.wantEvents(w) // no window yet
	f.scrape("n1", 15, sample("a", 15, 13, 1))
	f.wantEvents(w, "Added ns/p n1 15s")
	f.scrape("n1", 30, sample("a", 30, 16, 1))
	f.wantEvents(w, "Modified ns/p n1 30s")
	f.scrape("n1", 45, sample("a", 45, 19, 1))
	f.scrape("n1", 60, sample("a", 60, 22, 1))
	f.wantEvents(w, "Modified ns/p n1 45s", "Modified ns/p n1 1m0s")

	f.scrape("n1", 70, sample("a", 60, 25, 9)) // no news
	f.scrape("n1", 70, sample("a", 50, 25, 9))
	f.ScrapeFailed("n1", errors.New("timeout"))
	f.wantEvents(w)
	f.scrape("n1", 64, sample("a", 64, 23, 1)) // replaces the last point
	f.wantEvents(w, "Modified ns/p n1 1m4s")
}

// The newest of two containers makes an event, though the pod's timestamp stays.
func TestWatchTellsOfEachContainersSample(t *testing.T) {
	f := newFixture(t)
	f.scrape("n1", 0, sample("a", 0, 10, 1), sample("b", 0, 10, 1))
	f.scrape("n1", 15, sample("a", 15, 13, 1), sample("b", 15, 13, 1))
	w := f.follow(Query{}, Start{})
	f.scrape("n1", 30, sample("a", 15, 13, 1), sample("b", 30, 16, 2))
	f.wantEvents(w, "Modified ns/p n1 15s")
	if got := w.state()[0].Containers[1]; got != served("b", 200, 2) {
		t.Errorf("got %+v", got)
	}
}

func TestWatchTellsNothingOfWhatChangesNothing(t *testing.T) {
	f := running(t)
	w, revision := f.follow(Query{}, Start{}), f.Revision()
	f.relabel(map[string]string{"app": "web"})
	f.SyncPods([]PodMetadata{{Namespace: "ns", Name: "p", UID: "1", Node: "n1", Labels: web}})
	f.SetNode("n1", map[string]string{"zone": "a"}) // not served
	f.SetNode("n2", nil)
	f.RemoveNode("n2")
	f.SetPod(PodMetadata{Namespace: "ns", Name: "unreported", UID: "2", Node: "n1"})
	f.RemovePod("ns", "unreported")
	f.RemovePod("ns", "unknown")
	f.clock.SetTime(at(15).Add(maxAge)) // the last moment
	f.Expire()
	f.wantEvents(w)
	if got := f.Revision(); got != revision {
		t.Errorf("there were %d changes", (got-revision)/revisionStep)
	}
}

// Whatever takes a pod away is told with what was served last, as of the change.
func TestWatchTellsThatAPodHasGone(t *testing.T) {
	noMemory := sample("a", 30, 16, 0)
	noMemory.Has = exposition.HasCPU
	tests := []struct {
		name string
		do   func(*fixture)
	}{
		{"removed", func(f *fixture) { f.RemovePod("ns", "p") }},
		{"missing in a relist", func(f *fixture) { f.SyncPods(nil) }},
		{"another UID", func(f *fixture) { f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "2", Node: "n1", Labels: web}) }},
		{"another UID and labels", func(f *fixture) { f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "2", Node: "n1", Labels: db}) }},
		{"another UID in a relist", func(f *fixture) { f.SyncPods([]PodMetadata{{Namespace: "ns", Name: "p", UID: "2", Node: "n1"}}) }},
		{"left the kubelet's answer", func(f *fixture) { f.scrape("n1", 30) }},
		{"incomplete", func(f *fixture) { f.scrape("n1", 30, noMemory) }},
		{"new container", func(f *fixture) { f.scrape("n1", 30, sample("a", 30, 16, 1), sample("b", 30, 1, 1)) }},
		{"restarted", func(f *fixture) { f.scrape("n1", 30, sample("a", 30, 1, 1)) }},
		{"none running", func(f *fixture) { f.scrape("n1", 30, sample("a", 30, 0, 0)) }},
		{"moved to another node", func(f *fixture) { f.place("n2", web) }},
		{"node removed", func(f *fixture) { f.RemoveNode("n1") }},
		{"expired", func(f *fixture) {
			f.clock.SetTime(at(15).Add(maxAge + 1))
			f.Expire()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := running(t)
			f.SetNode("n2", nil)
			byLabel, byNode := f.follow(Query{Labels: selector(t, "app=web")}, Start{}), f.follow(onNode("=n1"), Start{})
			all, before := f.follow(Query{}, Start{}), f.Revision()
			tt.do(f)
			events, err := all.take()
			if err != nil {
				t.Fatal(err)
			}
			if len(events) != 1 || describe(events[0]) != "Deleted ns/p n1 15s app=web" {
				t.Fatalf("got %d events, %+v", len(events), events)
			}
			if got := events[0].Value.Revision(); got <= before || got != f.Revision() {
				t.Errorf("revision %d; it was %d before and is %d after the change", got, before, f.Revision())
			}
			if c := events[0].Value.Containers; len(c) != 1 || c[0] != served("a", 200, 1) {
				t.Errorf("containers %+v", c)
			}
			f.wantEvents(all)
			f.wantEvents(byLabel, "Deleted ns/p n1 15s app=web")
			f.wantEvents(byNode, "Deleted ns/p n1 15s app=web")
		})
	}
}

func TestWatchTellsOfASuccessor(t *testing.T) {
	f := running(t)
	w := f.follow(Query{}, Start{})
	f.SetPod(PodMetadata{Namespace: "ns", Name: "p", UID: "2", Node: "n1", Labels: db})
	f.scrape("n1", 30, sample("a", 30, 1, 1))
	f.wantEvents(w, "Deleted ns/p n1 15s app=web")
	f.scrape("n1", 45, sample("a", 45, 4, 1))
	f.wantEvents(w, "Added ns/p n1 45s app=db")
}

// Nobody has to read for a watcher to be told of what has expired.
func TestWatchTellsWhatTheClockExpires(t *testing.T) {
	f := running(t)
	f.SetPod(PodMetadata{Namespace: "ns", Name: "q", UID: "q", Node: "n2"})
	f.SetNode("n2", nil)
	f.scrape("n2", 5, ofPod(sample("a", 5, 1, 1), "q"))
	f.scrape("n2", 20, ofPod(sample("a", 20, 4, 1), "q"))
	w := f.follow(Query{}, Start{})
	for _, step := range []struct {
		now  time.Time
		want []string
	}{
		{at(15).Add(maxAge), nil},
		{at(15).Add(maxAge + 1), []string{"Deleted ns/p n1 15s app=web"}},
		{at(20).Add(maxAge), nil},
		{at(20).Add(maxAge + 1), []string{"Deleted ns/q n2 20s"}},
		{at(1000), nil},
	} {
		f.clock.SetTime(step.now)
		f.Expire()
		f.wantEvents(w, step.want...)
	}
	f.scrape("n1", 1000, sample("a", 1000, 1, 1))
	f.wantEvents(w)
	f.scrape("n1", 1015, sample("a", 1015, 4, 1))
	f.wantEvents(w, "Added ns/p n1 16m55s app=web")
}

// A clock that is set back far makes what there is one of the future.
func TestWatchTellsWhatAClockSetBackExpires(t *testing.T) {
	f := running(t)
	w := f.follow(Query{}, Start{})
	f.clock.SetTime(at(15).Add(-maxAge))
	f.wantEvents(w)
	f.clock.SetTime(at(15))
	f.wantEvents(w)
	f.clock.SetTime(at(15).Add(-maxAge - 1))
	f.Expire()
	f.wantEvents(w, "Deleted ns/p n1 15s app=web")
}

func TestWatchTellsWhoMatches(t *testing.T) {
	f := running(t)
	w := f.follow(Query{Labels: selector(t, "app=web")}, Start{})
	d := f.follow(Query{Labels: selector(t, "app=db")}, Start{})
	either := f.follow(Query{Labels: selector(t, "app in (web, db)")}, Start{})
	not := f.follow(Query{Labels: selector(t, "app notin (web)")}, Start{})
	nothing := f.follow(Query{Labels: labels.Nothing()}, Start{})
	elsewhere := f.follow(Query{Namespace: "n"}, Start{})

	f.relabel(db)
	f.wantEvents(w, "Deleted ns/p n1 15s app=web") // what it was
	f.wantEvents(d, "Added ns/p n1 15s app=db")
	f.wantEvents(either, "Modified ns/p n1 15s app=db")
	f.wantEvents(not, "Added ns/p n1 15s app=db")
	f.scrape("n1", 30, sample("a", 30, 16, 1))
	f.wantEvents(w)
	f.wantEvents(d, "Modified ns/p n1 30s app=db")
	f.wantEvents(either, "Modified ns/p n1 30s app=db")
	f.wantEvents(not, "Modified ns/p n1 30s app=db")
	f.relabel(map[string]string{"app": "web", "v": "2"})
	f.wantEvents(w, "Added ns/p n1 30s app=web,v=2")
	f.wantEvents(d, "Deleted ns/p n1 30s app=db")
	f.wantEvents(either, "Modified ns/p n1 30s app=web,v=2")
	f.wantEvents(not, "Deleted ns/p n1 30s app=db")
	f.relabel(nil)
	f.wantEvents(w, "Deleted ns/p n1 30s app=web,v=2")
	f.wantEvents(d)
	f.wantEvents(either, "Deleted ns/p n1 30s app=web,v=2")
	f.wantEvents(not, "Added ns/p n1 30s")
	f.wantEvents(nothing)
	f.wantEvents(elsewhere)
}

// One change is one event to all who are told the same.
func TestWatchersShareEvents(t *testing.T) {
	f := running(t)
	var events []*Event[PodUsage]
	watchers := []*follower[PodUsage]{
		f.follow(Query{}, Start{}), f.follow(Query{Namespace: "ns"}, Start{}), f.follow(Query{Labels: selector(t, "app in (web,db)")}, Start{}),
	}
	f.relabel(db)
	for _, w := range watchers {
		got, err := w.take()
		if err != nil || len(got) != 1 {
			t.Fatalf("got %d events, %v", len(got), err)
		}
		events = append(events, got...)
	}
	if events[0] != events[1] || events[1] != events[2] {
		t.Error("equal events are not the same")
	}
}

func TestWatchOfAPodThatMoves(t *testing.T) {
	f := newFixture(t)
	f.SetNode("n2", nil)
	f.scrape("n2", 0, sample("a", 0, 1, 1))
	f.scrape("n1", 1, sample("a", 1, 10, 1))
	f.scrape("n2", 10, sample("a", 10, 2, 1))
	f.scrape("n1", 16, sample("a", 16, 13, 1))
	all := f.follow(Query{}, Start{})
	n1, not1 := f.follow(onNode("=n1"), Start{}), f.follow(onNode("!=n1"), Start{})
	n2, not2 := f.follow(onNode("=n2"), Start{}), f.follow(onNode("!=n2"), Start{})

	f.scrape("n2", 20, sample("a", 20, 3, 1)) // it is not for n2 to say
	f.wantEvents(all)
	f.place("n2", nil)
	f.wantEvents(all, "Modified ns/p n2 20s")
	f.wantEvents(n1, "Deleted ns/p n1 16s")
	f.wantEvents(n2, "Added ns/p n2 20s")
	f.wantEvents(not1, "Added ns/p n2 20s")
	f.wantEvents(not2, "Deleted ns/p n1 16s")

	f.scrape("n1", 31, sample("a", 31, 16, 1)) // it has not forgotten the pod yet
	f.wantEvents(all)
	f.RemoveNode("n2")
	f.wantEvents(all, "Deleted ns/p n2 20s")
}

// scrapeNode puts an answer that is about the node only.
func (f *fixture) scrapeNode(node string, second, cpu float64) {
	f.clock.SetTime(at(second))
	f.Put(node, &exposition.Samples{Node: sample("", second, cpu, 1).Usage}, at(second))
}

func TestWatchOfNodes(t *testing.T) {
	f := newFixture(t)
	a, b := map[string]string{"zone": "a"}, map[string]string{"zone": "b"}
	f.SetNode("n1", a)
	all, pods := f.followNodes(Query{}, Start{}), f.follow(Query{}, Start{})
	inB := f.followNodes(Query{Labels: selector(t, "zone=b")}, Start{})
	n1 := f.followNodes(Query{Fields: fields.ParseSelectorOrDie("metadata.name=n1")}, Start{})
	n2 := f.followNodes(Query{Fields: fields.ParseSelectorOrDie("metadata.name=n2")}, Start{})
	f.scrapeNode("n1", 0, 1)
	f.wantNodeEvents(all)
	f.scrapeNode("n1", 15, 2)
	f.wantNodeEvents(all, "Added n1 15s zone=a")
	f.wantNodeEvents(inB)
	f.SetNode("n1", map[string]string{"zone": "a"})
	f.wantNodeEvents(all)
	f.SetNode("n1", b)
	f.wantNodeEvents(all, "Modified n1 15s zone=b")
	f.wantNodeEvents(inB, "Added n1 15s zone=b")
	f.scrapeNode("n1", 30, 3)
	f.wantNodeEvents(all, "Modified n1 30s zone=b")
	f.wantNodeEvents(inB, "Modified n1 30s zone=b")
	f.scrapeNode("n1", 30, 4) // no news
	f.wantNodeEvents(all)
	f.SetNode("n1", nil)
	f.wantNodeEvents(all, "Modified n1 30s")
	f.wantNodeEvents(inB, "Deleted n1 30s zone=b")
	f.scrape("n1", 45) // without the node's usage
	f.wantNodeEvents(all, "Deleted n1 30s")
	f.scrapeNode("n1", 60, 4)
	f.wantNodeEvents(all, "Added n1 1m0s")
	f.RemoveNode("n1")
	f.wantNodeEvents(all, "Deleted n1 1m0s")
	if got := f.Revision(); all.upTo != got || all.upTo == 0 {
		t.Errorf("the watcher is at %d, the store at %d", all.upTo, got)
	}

	f.SetNode("n1", b) // comes again
	f.scrapeNode("n1", 75, 5)
	f.scrapeNode("n1", 90, 6)
	f.wantNodeEvents(all, "Added n1 1m30s zone=b")
	f.clock.SetTime(at(90).Add(maxAge + 1))
	f.Expire()
	f.wantNodeEvents(all, "Deleted n1 1m30s zone=b")
	f.wantNodeEvents(inB, "Added n1 1m30s zone=b", "Deleted n1 1m30s zone=b")
	f.wantNodeEvents(n2)
	if events, err := n1.take(); err != nil || len(events) != 9 {
		t.Errorf("by name: %d events, %v", len(events), err)
	}
	f.wantEvents(pods)
}

// What has changed since a revision is told once for each object, as of now.
func TestWatchFromARevision(t *testing.T) {
	remove := func(f *fixture) { f.RemovePod("ns", "p") }
	label := func(set map[string]string) func(*fixture) {
		return func(f *fixture) { f.relabel(set) }
	}
	scrape := func(seconds ...float64) func(*fixture) {
		return func(f *fixture) {
			for _, second := range seconds {
				f.scrape("n1", second, sample("a", second, 10+second/5, 1))
			}
		}
	}
	tests := []struct {
		name          string
		selector      string
		before, after []func(*fixture) // the revision
		want          []string
	}{
		{"nothing", "", nil, nil, nil},
		{"new samples", "", nil, []func(*fixture){scrape(30, 45)}, []string{"Modified ns/p n1 45s app=web"}},
		{"labels, both match", "", nil, []func(*fixture){label(db)}, []string{"Modified ns/p n1 15s app=db"}},
		{"labels and samples", "", nil, []func(*fixture){scrape(30), label(db), scrape(45)}, []string{"Modified ns/p n1 45s app=db"}},
		{"begins to match", "app=db", nil, []func(*fixture){label(db), scrape(30)}, []string{"Added ns/p n1 30s app=db", "Modified ns/p n1 30s app=db"}},
		{"ceases to match", "app=web", nil, []func(*fixture){scrape(30), label(db), scrape(45)}, []string{"Deleted ns/p n1 30s app=web"}},
		{"never matches", "app=x", nil, []func(*fixture){scrape(30), label(db), remove}, nil},
		{
			"matches for a moment", "app=db", nil, []func(*fixture){label(db), label(web)},
			[]string{"Added ns/p n1 15s app=db", "Deleted ns/p n1 15s app=db"},
		},
		{
			"matched before, and after again", "app=web", nil,
			[]func(*fixture){label(db), scrape(30), label(web), scrape(45)},
			[]string{"Deleted ns/p n1 15s app=web", "Added ns/p n1 45s app=web", "Modified ns/p n1 45s app=web"},
		},
		{
			"out, in and out", "app=web", nil, []func(*fixture){label(db), label(web), scrape(30), label(db)},
			[]string{"Deleted ns/p n1 15s app=web", "Added ns/p n1 30s app=web", "Deleted ns/p n1 30s app=web"},
		},
		{"matching labels twice, then none", "app", nil, []func(*fixture){label(db), label(web), label(nil)}, []string{"Deleted ns/p n1 15s app=web"}},
		{"had other labels before the revision", "app=db", []func(*fixture){label(db), label(web)}, []func(*fixture){label(db)}, []string{"Added ns/p n1 15s app=db"}},
		{"matched before the revision", "app=web", []func(*fixture){label(db)}, []func(*fixture){scrape(30), label(nil)}, nil},
		{"removed", "", nil, []func(*fixture){scrape(30), remove}, []string{"Deleted ns/p n1 30s app=web"}},
		{"added", "", []func(*fixture){remove}, []func(*fixture){label(web), scrape(100, 115, 130)}, []string{"Added ns/p n1 2m10s app=web", "Modified ns/p n1 2m10s app=web"}},
		{
			"added and removed", "", []func(*fixture){remove}, []func(*fixture){label(web), scrape(100, 115), remove},
			[]string{"Added ns/p n1 1m55s app=web", "Deleted ns/p n1 1m55s app=web"},
		},
		{
			"removed and added", "", nil, []func(*fixture){remove, label(db), scrape(30, 45, 60)},
			[]string{"Deleted ns/p n1 15s app=web", "Added ns/p n1 1m0s app=db", "Modified ns/p n1 1m0s app=db"},
		},
		{
			"removed, added and removed", "", nil, []func(*fixture){remove, label(db), scrape(30, 45), remove},
			[]string{"Deleted ns/p n1 15s app=web", "Added ns/p n1 45s app=db", "Deleted ns/p n1 45s app=db"},
		},
		{
			"another pod of the name that does not match", "app=web", nil, []func(*fixture){remove, label(db), scrape(30, 45)},
			[]string{"Deleted ns/p n1 15s app=web"},
		},
		{
			"expired and back", "", nil, []func(*fixture){scrape(100, 115)},
			[]string{"Deleted ns/p n1 15s app=web", "Added ns/p n1 1m55s app=web"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := running(t)
			for _, do := range tt.before {
				do(f)
			}
			q := Query{Labels: selector(t, tt.selector)}
			then := f.Pods(q)
			if then.Revision != f.Revision() {
				t.Fatalf("list of revision %d, store at %d", then.Revision, f.Revision())
			}
			for _, do := range tt.after {
				do(f)
			}
			w := f.follow(q, Start{Revision: then.Revision}, then.Items...)
			f.wantEvents(w, tt.want...)
			f.scrape("n1", 145, sample("a", 145, 40, 1)) // and goes on
			f.scrape("n1", 160, sample("a", 160, 43, 1))
			if _, err := w.take(); err != nil {
				t.Error(err)
			}
			f.wantEvents(w)
		})
	}
}

// Several objects come in the order of their newest revisions.
func TestWatchFromARevisionIsInOrder(t *testing.T) {
	f := newFixture(t)
	put := func(second float64, pods string) {
		var all []exposition.Container
		for _, p := range strings.Fields(pods) {
			f.SetPod(PodMetadata{Namespace: "ns", Name: p, UID: p, Node: "n1"})
			all = append(all, ofPod(sample("a", second, second, 1), p))
		}
		f.scrape("n1", second, all...)
	}
	put(0, "a b c d")
	put(15, "a b c d")
	then := f.Pods(Query{})
	put(30, "a b c d e")
	f.RemovePod("ns", "b")
	f.SetPod(PodMetadata{Namespace: "ns", Name: "a", UID: "a", Node: "n1", Labels: db})
	put(45, "c d e")
	w := f.follow(Query{}, Start{Revision: then.Revision}, then.Items...)
	f.wantEvents(w, "Deleted ns/b n1 30s", "Deleted ns/a n1 30s app=db", "Modified ns/c n1 45s", "Modified ns/d n1 45s", "Added ns/e n1 45s")
}

func TestWatchOfNodesFromARevision(t *testing.T) {
	f := newFixture(t)
	f.SetNode("n2", map[string]string{"zone": "a"})
	for i, n := range []string{"n1", "n2", "n1", "n2"} {
		f.scrapeNode(n, float64(10*i), float64(i+1))
	}
	q := Query{Labels: selector(t, "zone notin (b)")}
	then, all := f.Nodes(q), f.Nodes(Query{})
	f.SetNode("n1", map[string]string{"zone": "b"})
	f.RemoveNode("n2")
	f.SetNode("n2", map[string]string{"zone": "c"}) // another one
	f.scrapeNode("n2", 40, 1)
	f.scrapeNode("n2", 50, 2)
	f.wantNodeEvents(f.followNodes(q, Start{Revision: then.Revision}, then.Items...),
		"Deleted n1 20s", "Deleted n2 30s zone=a", "Added n2 50s zone=c")
	f.wantNodeEvents(f.followNodes(Query{}, Start{Revision: all.Revision}, all.Items...),
		"Modified n1 20s zone=b", "Deleted n2 30s zone=a", "Added n2 50s zone=c")
}

func (f *fixture) wantExpired(q Query, revision uint64) {
	f.Helper()
	if _, err := f.WatchPods(q, Start{Revision: revision}); !errors.Is(err, ErrExpired) {
		f.Errorf("watch from revision %d: %v, want ErrExpired", revision, err)
	}
	if n := len(f.pods.watchers.namespaces); n != 0 {
		f.Errorf("%d watchers are registered", n)
	}
}

func TestWatchFromAnUnknownRevision(t *testing.T) {
	f := running(t)
	first, newest := f.revisions.first, f.Revision()
	for _, revision := range []uint64{1, first - revisionStep, first - 1, newest - 1, newest + 2, newest + revisionStep} {
		f.wantExpired(Query{}, revision)
	}
	if _, err := f.WatchNodes(Query{}, Start{Revision: newest + revisionStep}); !errors.Is(err, ErrExpired) {
		t.Errorf("of nodes: %v", err)
	}
	// The first revision is that of the empty store.
	f.wantEvents(f.follow(Query{}, Start{Revision: first}), "Added ns/p n1 15s app=web")
}

func TestWatchFromARevisionThatIsForgotten(t *testing.T) {
	f := running(t)
	then := f.Pods(Query{})
	for i := range minHistory {
		f.relabel(map[string]string{"i": fmt.Sprint(i)})
	}
	w := f.follow(Query{}, Start{Revision: then.Revision}, then.Items...)
	f.wantEvents(w, fmt.Sprint("Modified ns/p n1 15s i=", minHistory-1))
	w.w.Stop()
	if n := cap(f.pods.history); n != minHistory {
		t.Errorf("the history of one pod has grown to %d changes", n)
	}
	f.relabel(nil)
	f.wantExpired(Query{}, then.Revision)
	f.wantExpired(Query{Namespace: "other"}, then.Revision)
	f.wantEvents(f.follow(Query{}, Start{Revision: then.Revision + revisionStep}, then.Items...), "Modified ns/p n1 15s")
	// Nodes have a history of their own.
	if _, err := f.WatchNodes(Query{}, Start{Revision: then.Revision}); err != nil {
		t.Error(err)
	}
}

// many returns the containers of n pods on n1, which it lists.
func (f *fixture) many(n int) []exposition.Container {
	all := make([]exposition.Container, n)
	for i := range all {
		name := fmt.Sprintf("p%06d", i)
		f.SetPod(PodMetadata{Namespace: "ns", Name: name, UID: name, Node: "n1"})
		all[i] = ofPod(sample("a", 0, 0, 1), name)
	}
	return all
}

// scrapeMany puts containers as of a second.
func (f *fixture) scrapeMany(node string, second float64, all []exposition.Container) {
	for i := range all {
		all[i].Time, all[i].CPU = at(second).UnixNano(), uint64(second*1e9)+1
	}
	f.scrape(node, second, all...)
}

// However many they are, changes come in steps.
func TestWatchFromARevisionWithManyChanges(t *testing.T) {
	f := newFixture(t)
	all, first := f.many(maxWaiting+1), f.Revision()
	for round := range 2 {
		f.scrapeMany("n1", 15*float64(round), all)
	}
	w := f.follow(Query{}, Start{Revision: first})
	for len(w.known) < len(all) {
		if events, err := w.next(); err != nil || len(events) == 0 || len(events) > step {
			t.Fatalf("%d events, %v", len(events), err)
		}
	}
	f.wantEvents(w)
	w = f.follow(Query{Fields: fields.ParseSelectorOrDie("metadata.name!=p000005")}, Start{Revision: first})
	if events, err := w.take(); err != nil || len(events) != maxWaiting {
		t.Errorf("%d events, %v", len(events), err)
	}
}

func TestWatchBeginsWithWhatThereIs(t *testing.T) {
	f := newFixture(t)
	all := f.many(2*step + 10)
	for round := range 2 {
		f.scrapeMany("n1", 15*float64(round), all)
	}
	key := func(i int) string { return string(all[i].Pod) }
	set := func(i int, labels map[string]string) {
		f.SetPod(PodMetadata{Namespace: "ns", Name: key(i), UID: key(i), Node: "n1", Labels: labels})
	}
	add := func(name string, second float64) {
		f.SetPod(PodMetadata{Namespace: "ns", Name: name, UID: name, Node: name})
		f.SetNode(name, nil)
		for round := range 2 {
			second := second + 10*float64(round)
			f.scrape(name, second, ofPod(sample("a", second, second, 1), name))
		}
	}
	w := f.follow(Query{Labels: selector(t, "app!=db")}, Start{Current: true})
	page := func(wantAdded int, want ...string) {
		t.Helper()
		events, err := w.next()
		if err != nil {
			t.Fatal(err)
		}
		var others []string
		for _, e := range events {
			if e.Type == Synced {
				others = append(others, "Synced")
			} else if e.Type == Added && e.Value.Labels() == nil && e.Value.Timestamp.Equal(at(15)) {
				wantAdded--
			} else {
				others = append(others, describe(e))
			}
		}
		if wantAdded != 0 {
			t.Errorf("%d pods are missing", wantAdded)
		}
		if !slices.Equal(others, want) {
			t.Errorf("beside the page\n got %q\nwant %q", others, want)
		}
	}

	page(step)
	if got := w.state()[step-1].Name; got != key(step-1) {
		t.Errorf("the first page ends with %s", got)
	}
	// Of the page that was read.
	set(0, web)
	set(1, db)
	f.RemovePod("ns", key(2))
	set(3, db)
	set(3, web)
	add("p000004b", 20)
	// Of those to come.
	set(step, web)
	set(step+1, db)
	f.RemovePod("ns", key(step+2))
	set(step+3, db)
	set(step+3, nil)
	add("p000520b", 40)
	page(step-2,
		"Modified ns/"+key(0)+" n1 15s app=web", "Deleted ns/"+key(1)+" n1 15s", "Deleted ns/"+key(2)+" n1 15s",
		"Deleted ns/"+key(3)+" n1 15s", "Added ns/"+key(3)+" n1 15s app=web", "Added ns/p000004b p000004b 30s",
		"Added ns/"+key(step)+" n1 15s app=web", "Added ns/p000520b p000520b 50s")

	// Of pages that were read, and of the last, which is cut.
	f.RemovePod("ns", "p000004b")
	set(step, nil)
	f.RemovePod("ns", key(2*step+3))
	page(8, "Deleted ns/p000004b p000004b 30s", "Modified ns/"+key(step)+" n1 15s", "Synced")
	f.wantEvents(w)

	set(5, web)
	add("z", 55)
	f.wantEvents(w, "Modified ns/"+key(5)+" n1 15s app=web", "Added ns/z z 1m5s")
}

func TestSyncedComesAfterTheLastPage(t *testing.T) {
	for _, pods := range []int{0, 1, step - 1, step, step + 1, 2 * step} {
		f := newFixture(t)
		all := f.many(pods)
		for round := range 2 {
			f.scrapeMany("n1", 15*float64(round), all)
		}
		w := f.follow(Query{}, Start{Current: true, Revision: 12345})
		calls := 0
		for w.syncing {
			calls++
			if _, err := w.next(); err != nil {
				t.Fatal(err)
			}
		}
		if want := max(1, (pods+step-1)/step); calls != want || len(w.known) != pods {
			t.Errorf("%d pods: %d in %d pages, want %d pages", pods, len(w.known), calls, want)
		}
		if w.upTo != f.Revision() {
			t.Errorf("%d pods: synced as of %d, want %d", pods, w.upTo, f.Revision())
		}
	}
}

func TestWatchOfNodesBeginsWithWhatThereIs(t *testing.T) {
	f := newFixture(t)
	f.SetNode("n2", nil)
	for i, n := range []string{"n2", "n1", "n2", "n1"} {
		f.scrapeNode(n, float64(10*i), float64(i+1))
	}
	w := f.followNodes(Query{}, Start{Current: true})
	f.wantNodeEvents(w, "Added n1 30s", "Added n2 20s", "Synced")
	f.RemoveNode("n2")
	f.wantNodeEvents(w, "Deleted n2 20s")
}

func TestWatchBeginsNow(t *testing.T) {
	f := running(t)
	w, err := f.WatchPods(Query{}, Start{})
	if err != nil {
		t.Fatal(err)
	}
	if events, upTo, err := w.Next(); len(events) != 0 || upTo != f.Revision() || err != nil {
		t.Errorf("%d events, revision %d of %d, %v", len(events), upTo, f.Revision(), err)
	}
	f.relabel(db)
	if events, _, _ := w.Next(); len(events) != 1 || describe(events[0]) != "Modified ns/p n1 15s app=db" {
		t.Errorf("got %+v", events)
	}
}

func TestWatcherThatTakesNothingIsEnded(t *testing.T) {
	f := newFixture(t)
	f.SetNode("n2", nil)
	// So many that the history is longer than what may wait.
	const pods = maxWaiting/2 + 1000
	all := f.many(pods)
	some, others := all[:maxWaiting-pods], all[maxWaiting-pods:]
	for _, c := range others {
		f.SetPod(PodMetadata{Namespace: "ns", Name: string(c.Pod), UID: string(c.Pod), Node: "n2"})
	}
	for round := range 2 {
		f.scrapeMany("n1", 10*float64(round), some)
		f.scrapeMany("n2", 10*float64(round), others)
	}
	behind, other := f.follow(Query{Namespace: "ns"}, Start{}), f.follow(Query{Namespace: "ns"}, Start{})
	paging := f.follow(Query{}, Start{Current: true})
	if _, err := paging.next(); err != nil { // one page, of which too much will change
		t.Fatal(err)
	}
	f.scrapeMany("n1", 20, some)
	f.scrapeMany("n2", 20, others)
	f.scrapeMany("n1", 30, some)
	if n := len(behind.w.waiting); n != maxWaiting || behind.w.ended != nil {
		t.Fatalf("%d events wait, ended with %v", n, behind.w.ended)
	}
	if _, err := other.take(); err != nil {
		t.Error(err)
	}
	f.SetPod(PodMetadata{Namespace: "ns", Name: "p000000", UID: "p000000", Node: "n1", Labels: web})
	if behind.w.ended == nil {
		t.Error("one more event waits than may")
	}
	f.scrapeMany("n2", 30, others)
	if behind.w.waiting != nil {
		t.Errorf("%d events are kept", len(behind.w.waiting))
	}
	if got := f.pods.watchers.namespaces["ns"][anything].always; len(got) != 1 || got[0] != other.w {
		t.Errorf("%d watchers are registered, want the other one", len(got))
	}
	if len(behind.w.Ready()) == 0 {
		t.Error("it is not told of its end")
	}
	for range 2 {
		if events, _, err := behind.w.Next(); len(events) != 0 || !errors.Is(err, ErrFellBehind) {
			t.Errorf("%d events and %v, want ErrFellBehind", len(events), err)
		}
		behind.w.Stop()
	}
	if events, err := other.take(); err != nil || len(events) != 1+len(others) {
		t.Errorf("the other has %d events, %v", len(events), err)
	}

	// It can go on where it was.
	again := f.follow(behind.query, Start{Revision: behind.upTo}, behind.state()...)
	if events, err := again.take(); err != nil || len(events) != pods || events[0].Type != Modified {
		t.Errorf("%d events, %v", len(events), err)
	}
	f.wantEvents(again)

	// One that still pages is ended too.
	for second := 40.0; paging.w.ended == nil; second += 10 {
		if f.scrapeMany("n1", second, some); second > 1000 {
			t.Fatal("it is never ended")
		}
	}
	if events, upTo, err := paging.w.Next(); len(events) != 0 || !errors.Is(err, ErrFellBehind) {
		t.Errorf("while paging: %d events up to %d and %v, want ErrFellBehind", len(events), upTo, err)
	}
}

func TestStop(t *testing.T) {
	f := running(t)
	w, other := f.follow(Query{}, Start{}), f.follow(Query{}, Start{})
	f.relabel(db)
	w.w.Stop()
	f.relabel(nil)
	f.wantEvents(other, "Modified ns/p n1 15s app=db", "Modified ns/p n1 15s")
	for _, want := range []int{1, 0} {
		if events, _, err := w.w.Next(); len(events) != want || err != nil {
			t.Errorf("after Stop: %d events and %v, want %d", len(events), err, want)
		}
		w.w.Stop()
	}
	other.w.Stop()
	if len(f.pods.watchers.namespaces) != 0 {
		t.Error("a watcher is left")
	}
}

// Who is stopped while it catches up is not there afterwards, even if asked on.
func TestStopWhileCatchingUp(t *testing.T) {
	f := running(t)
	first := f.revisions.first
	for _, start := range []Start{{}, {Current: true}, {Revision: first}} {
		w := f.follow(Query{}, start)
		w.w.Stop()
		for range 3 {
			if _, _, err := w.w.Next(); err != nil {
				t.Errorf("%+v: %v", start, err)
			}
		}
		if len(f.pods.watchers.namespaces) != 0 {
			t.Fatalf("%+v: it is registered after Stop", start)
		}
	}
}

// Nothing may be left of watchers that have stopped, whatever they asked for.
func TestNothingIsLeftOfWatchers(t *testing.T) {
	f := running(t)
	var watchers, staying []*Watcher[PodUsage]
	open := func(namespace string, labels labels.Selector, field string, start Start) *Watcher[PodUsage] {
		w, err := f.WatchPods(Query{Namespace: namespace, Labels: labels, Fields: fields.ParseSelectorOrDie(field)}, start)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for _, namespace := range []string{"", "ns", "other"} {
		for _, labels := range []labels.Selector{
			nil, labels.Everything(), labels.Nothing(), selector(t, "app=web"), selector(t, "app in (web,db),x in (1,2,3)"), selector(t, "!app"),
		} {
			for _, field := range []string{"", "metadata.name=p", "metadata.name!=p", "spec.nodeName=n1", "metadata.namespace=ns", "metadata.name="} {
				for _, start := range []Start{{}, {Current: true}, {Revision: f.Revision()}} {
					watchers = append(watchers, open(namespace, labels, field, start))
				}
			}
		}
		staying = append(staying, open(namespace, nil, "", Start{}))
	}
	f.relabel(db)
	f.relabel(nil)
	// In an order that differs from that of their coming.
	slices.SortStableFunc(watchers, func(a, b *Watcher[PodUsage]) int {
		return cmp.Compare(fmt.Sprint(a.query.Labels), fmt.Sprint(b.query.Labels))
	})
	for i, w := range watchers {
		if i%2 == 0 {
			_, _, _ = w.Next()
		}
		w.Stop()
	}
	for _, w := range staying {
		byTerm := f.pods.watchers.namespaces[w.query.Namespace]
		r := byTerm[anything]
		if len(byTerm) != 1 || len(r.asked) != 0 || len(r.matches) != 0 || !slices.Equal(r.always, []*Watcher[PodUsage]{w}) {
			t.Errorf("beside the one that stays, in %q are left %+v", w.query.Namespace, byTerm)
		}
		w.Stop()
	}
	if n := len(f.pods.watchers.namespaces); n != 0 {
		t.Errorf("%d namespaces are left", n)
	}
}

// Watchers whose selector can only be asked are asked once for each set of
// labels, also when they take the place of others.
func TestWatchersThatAreAskedByLabel(t *testing.T) {
	f := running(t)
	var watchers []*follower[PodUsage]
	open := func(i int) *follower[PodUsage] {
		return f.follow(Query{Labels: selector(t, fmt.Sprintf("app!=w%d", i))}, Start{})
	}
	for i := range 150 {
		watchers = append(watchers, open(i))
	}
	check := func() {
		t.Helper()
		for i, w := range watchers {
			if w == nil {
				continue
			}
			if _, err := w.take(); err != nil {
				t.Fatalf("watcher %d: %v", i, err)
			}
			if d := difference(w.state(), f.Pods(w.query).Items); d != "" {
				t.Fatalf("watcher %d knows: %s", i, d)
			}
		}
	}
	label := func(i int) { f.relabel(map[string]string{"app": fmt.Sprint("w", i)}) }
	for _, i := range []int{0, 63, 64, 149, 63} {
		label(i)
		check()
	}
	var stopped []*follower[PodUsage]
	for _, i := range []int{0, 63, 64, 149} {
		watchers[i].w.Stop()
		stopped, watchers[i] = append(stopped, watchers[i]), nil
	}
	label(64)
	check()
	for _, w := range stopped {
		if events, err := w.take(); len(events) != 0 || err != nil {
			t.Errorf("a watcher that was stopped has %d events, %v", len(events), err)
		}
	}
	for i, other := range map[int]int{0: 64, 63: 1, 64: 63, 149: 7} { // in another's place
		watchers[i] = open(other)
	}
	for _, i := range []int{0, 1, 7, 63, 64, 149} {
		label(i)
		check()
	}
	if n := len(f.pods.watchers.namespaces[""][anything].asked); n != len(watchers) {
		t.Errorf("%d watchers have %d places", len(watchers), n)
	}
}

// What is remembered of sets of labels is bounded.
func TestRoutesForget(t *testing.T) {
	var r route[PodUsage]
	r.add(&Watcher[PodUsage]{query: Query{Labels: selector(t, "!app")}})
	for i := range maxAnswers + 10 {
		matched := 0
		for range r.matching(&labelSet{labels: Labels{{"i", fmt.Sprint(i)}}}) {
			matched++
		}
		if matched != 1 || len(r.matches) > maxAnswers {
			t.Fatalf("set %d: matched %d times, %d sets are remembered", i, matched, len(r.matches))
		}
	}
}
