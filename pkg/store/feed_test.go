// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

var seedFlag = flag.Uint64("seed", 0, "of the random tests; 0 is another one each time")

// random returns a generator, and logs its seed if the test fails.
func random(t *testing.T) *rand.Rand {
	seed := cmp.Or(*seedFlag, rand.Uint64())
	t.Logf("-seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func pick[E any](rng *rand.Rand, from []E) E { return from[rng.IntN(len(from))] }

// chance is true so often in a hundred.
func chance(rng *rand.Rand, percent int) bool { return rng.IntN(100) < percent }

// world is what a cluster does at random to a store, and what there is to ask
// for.
type world struct {
	nodes, namespaces, names []string

	rng      *rand.Rand
	kubelets map[string]map[Key]map[string]*exposition.Usage // by node, pod and container
}

func newWorld(rng *rand.Rand) *world {
	w := &world{
		nodes: []string{"n0", "n1", "n2", "n3"}, namespaces: []string{"a", "b", "c"}, names: []string{"p0", "p1", "p2", "p3", "p4", "p5"},
		rng: rng, kubelets: map[string]map[Key]map[string]*exposition.Usage{},
	}
	for _, n := range w.nodes {
		w.kubelets[n] = map[Key]map[string]*exposition.Usage{}
	}
	return w
}

func (w *world) key() Key { return Key{pick(w.rng, w.namespaces), pick(w.rng, w.names)} }

func (w *world) labels() map[string]string {
	set := map[string]string{}
	if app := pick(w.rng, []string{"", "web", "web", "db", "cache"}); app != "" {
		set["app"] = app
	}
	if tier := pick(w.rng, []string{"", "1", "2", "3"}); tier != "" {
		set["tier"] = tier
	}
	return set
}

func (w *world) metadata(k Key) PodMetadata {
	uid := "1"
	if chance(w.rng, 10) {
		uid = "2"
	}
	return PodMetadata{Namespace: k.Namespace, Name: k.Name, UID: uid, Node: pick(w.rng, w.nodes), Labels: w.labels()}
}

// query is one of any kind.
func (w *world) query(t *testing.T) Query {
	labelled := []string{
		"app=web", "app==db", "app!=web", "app in (web,db)", "app in (cache)", "app notin (web,cache)", "app", "!app",
		"tier>1", "tier<3", "tier=2", "tier in (1,2,3)", "tier notin (2)", "!tier", "app=none",
	}
	fielded := []string{
		"spec.nodeName=n0", "spec.nodeName=n1", "spec.nodeName!=n1", "spec.nodeName!=n2", "spec.nodeName=none", "spec.nodeName=",
		"metadata.name=p1", "metadata.name!=p1", "metadata.name=n1", "metadata.namespace=a", "metadata.namespace!=a",
	}
	some := func(of []string, counts ...int) string {
		var parts []string
		for range pick(w.rng, counts) {
			parts = append(parts, pick(w.rng, of))
		}
		return strings.Join(parts, ",")
	}
	q := Query{Namespace: pick(w.rng, append([]string{"", "", "", "none"}, w.namespaces...))}
	if s := some(labelled, 0, 1, 1, 2); s != "" || chance(w.rng, 50) {
		q.Labels = selector(t, s)
	} else if chance(w.rng, 10) {
		q.Labels = labels.Nothing()
	}
	if s := some(fielded, 0, 0, 1, 1, 2); s != "" || chance(w.rng, 50) {
		q.Fields = fields.ParseSelectorOrDie(s)
	}
	return q
}

func describeQuery(q Query) string {
	return fmt.Sprintf("namespace %q, labels %v, fields %v, after %v, limit %d", q.Namespace, q.Labels, q.Fields, q.After, q.Limit)
}

// answer is what a node's kubelet says at a time.
func (w *world) answer(node string, now time.Time) *exposition.Samples {
	pods := w.kubelets[node]
	if k := w.key(); chance(w.rng, 40) && pods[k] == nil {
		pods[k] = map[string]*exposition.Usage{"c0": {}}
	}
	s := &exposition.Samples{}
	if chance(w.rng, 90) {
		s.Node = exposition.Usage{Time: now.UnixNano(), CPU: uint64(now.Sub(start)), Memory: w.rng.Uint64N(100), Has: cpuAndMemory}
	}
	for _, k := range inOrderOf(pods) {
		if chance(w.rng, 5) {
			delete(pods, k)
			continue
		}
		containers := pods[k]
		if c := fmt.Sprint("c", w.rng.IntN(3)); !chance(w.rng, 5) {
			// stays as it is
		} else if containers[c] == nil {
			containers[c] = &exposition.Usage{}
		} else if len(containers) > 1 {
			delete(containers, c)
		}
		for c, u := range containers {
			sample := exposition.Container{Namespace: []byte(k.Namespace), Pod: []byte(k.Name), Name: []byte(c)}
			if u.Time == 0 || !chance(w.rng, 10) { // else it has no news
				u.CPU += w.rng.Uint64N(1e9)
				u.Time, u.Memory, u.Has = now.UnixNano(), 1+w.rng.Uint64N(100), cpuAndMemory
			}
			switch sample.Usage = *u; w.rng.IntN(40) {
			case 0:
				sample.Has = exposition.HasCPU
			case 1:
				sample.CPU, sample.Memory = 0, 0
			case 2:
				u.CPU = 0
			}
			s.Containers = append(s.Containers, sample)
		}
	}
	return s
}

func inOrderOf[V any](m map[Key]V) []Key {
	keys := make([]Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, Key.Compare)
	return keys
}

// step does something to the store.
func (w *world) step(f *fixture) {
	switch n := w.rng.IntN(100); {
	case n < 45:
		f.clock.SetTime(f.clock.Now().Add(time.Duration(w.rng.Int64N(int64(15 * time.Second)))))
		node := pick(w.rng, w.nodes)
		f.Put(node, w.answer(node, f.clock.Now()), f.clock.Now())
	case n < 72:
		f.SetPod(w.metadata(w.key()))
	case n < 80:
		k := w.key()
		f.RemovePod(k.Namespace, k.Name)
	case n < 82:
		pods := map[Key]PodMetadata{}
		for range 20 {
			k := w.key()
			pods[k] = w.metadata(k)
		}
		var all []PodMetadata
		for _, m := range pods {
			all = append(all, m)
		}
		f.SyncPods(all)
	case n < 92:
		f.SetNode(pick(w.rng, w.nodes), w.labels())
	case n < 95:
		f.RemoveNode(pick(w.rng, w.nodes))
	case n < 97:
		f.clock.SetTime(f.clock.Now().Add(time.Duration(w.rng.Int64N(int64(2 * maxAge)))))
		f.Expire()
	default:
		f.clock.SetTime(f.clock.Now().Add(time.Duration(w.rng.Int64N(int64(maxAge)))))
	}
}

// model follows what random queries match, from random starts, and compares what
// their watchers tell with what is listed.
type model[V Value] struct {
	list      func(Query) List[V]
	watch     func(Query, Start) (*Watcher[V], error)
	past      []List[V] // all that was served, at some revisions
	followers []*follower[V]
	seen      [Synced + 1]int
}

func (m *model[V]) step(t *testing.T, w *world) {
	all := m.list(Query{})
	m.past = append(m.past, all)
	for _, v := range all.Items {
		if v.times().revision > all.Revision || v.times().since > v.times().revision {
			t.Fatalf("in a list of revision %d is %+v", all.Revision, v)
		}
	}
	q := w.query(t)
	if d := difference(m.list(q).Items, filter(q, all.Items)); d != "" {
		t.Fatalf("list of %s: %s", describeQuery(q), d)
	}
	m.page(t, w.rng, q, filter(q, all.Items))
	if len(m.followers) < 20 {
		m.open(t, w)
	}
	for i, fw := range m.followers {
		var events []*Event[V]
		var err error
		switch {
		case (fw.syncing || fw.replaying) && chance(w.rng, 70):
			events, err = fw.next()
		case !fw.syncing && chance(w.rng, 20):
			err = fw.breakOff(w.rng, m.watch)
		case chance(w.rng, 50):
			events, err = fw.take()
			if d := difference(fw.state(), filter(fw.query, all.Items)); d != "" && err == nil {
				err = errors.New(d)
			}
		}
		if err != nil {
			t.Fatalf("watch of %s: %v", describeQuery(fw.query), err)
		}
		for _, e := range events {
			m.seen[e.Type]++
		}
		if chance(w.rng, 2) {
			fw.w.Stop()
			m.followers[i] = m.followers[0]
			m.followers = m.followers[1:]
			break
		}
	}
}

// page lists page by page.
func (m *model[V]) page(t *testing.T, rng *rand.Rand, q Query, want []V) {
	var got []V
	for more := true; more; {
		q.Limit = 1 + rng.IntN(5)
		l := m.list(q)
		if got = append(got, l.Items...); len(l.Items) > q.Limit || l.More && l.Last != l.Items[len(l.Items)-1].Key() {
			t.Fatalf("list of %s has %d objects, the last %v", describeQuery(q), len(l.Items), l.Last)
		}
		q.After, more = l.Last, l.More
	}
	if d := difference(got, want); d != "" {
		t.Fatalf("pages of %s: %s", describeQuery(q), d)
	}
}

func (m *model[V]) open(t *testing.T, w *world) {
	q := w.query(t)
	var s Start
	var then List[V]
	switch w.rng.IntN(3) {
	case 0:
		then = m.list(q)
	case 1:
		then = pick(w.rng, m.past) // some so long ago that it catches up in several steps
		then.Items = filter(q, then.Items)
		s.Revision = then.Revision
	case 2:
		s.Current = true
	}
	watcher, err := m.watch(q, s)
	if err != nil {
		t.Fatalf("watch of %s from %+v: %v", describeQuery(q), s, err)
	}
	watcher.query.Limit = 1 + w.rng.IntN(5) // small pages
	m.followers = append(m.followers, newFollower(watcher, q, s, then))
}

// Whatever happens, by its events a watcher knows what is listed, and lists by
// index and by page have what is listed and matches.
func TestWatchersKnowWhatIsListed(t *testing.T) {
	rng := random(t)
	var seen [Synced + 1]int
	for range 4 {
		w := newWorld(rng)
		clk := clocktesting.NewFakePassiveClock(start)
		f := &fixture{T: t, Store: New(clk, maxAge), clock: clk}
		pods := &model[PodUsage]{list: f.Pods, watch: f.WatchPods}
		nodes := &model[NodeUsage]{list: f.Nodes, watch: f.WatchNodes}
		for range 400 {
			w.step(f)
			pods.step(t, w)
			nodes.step(t, w)
			checkGets(f, w)
			checkCatalog(t, f.catalog)
		}
		for _, fw := range pods.followers {
			fw.w.Stop()
		}
		for _, fw := range nodes.followers {
			fw.w.Stop()
		}
		if a, b := len(f.pods.watchers.namespaces), len(f.nodes.watchers.namespaces); a+b != 0 {
			t.Errorf("watchers of pods are left in %d namespaces, of nodes in %d", a, b)
		}
		if a, b := len(f.Pods(Query{}).Items), len(f.Nodes(Query{}).Items); f.pods.served != a || f.nodes.served != b {
			t.Errorf("%d pods and %d nodes are said to be served, but %d and %d are", f.pods.served, f.nodes.served, a, b)
		}
		for i := range seen {
			seen[i] += pods.seen[i]
		}
	}
	for i, n := range seen {
		if n < 100 {
			t.Errorf("only %d events were %s", n, describeType(EventType(i)))
		}
	}
}

// checkGets compares the pods that can be got with those that are listed.
func checkGets(f *fixture, w *world) {
	f.Helper()
	var got []PodUsage
	for _, namespace := range w.namespaces {
		for _, name := range w.names {
			if p, err := f.Pod(namespace, name); err == nil {
				got = append(got, p)
			}
		}
	}
	if d := difference(got, f.Pods(Query{}).Items); d != "" {
		f.Fatal("pods by name: ", d)
	}
}

// record is the history of all objects, as a watcher has told it.
type record[V Value] struct {
	fw     *follower[V]
	from   List[V] // when it had synced
	events []*Event[V]
	err    error
}

// begin opens the watcher and goes on until it has synced.
func (r *record[V]) begin(watch func(Query, Start) (*Watcher[V], error)) error {
	s := Start{Current: true}
	w, err := watch(Query{}, s)
	if err != nil {
		return err
	}
	r.fw = newFollower(w, Query{}, s, List[V]{})
	if _, err = r.fw.take(); err != nil {
		return err
	}
	r.from = List[V]{Items: r.fw.state(), Revision: r.fw.upTo}
	return nil
}

// run takes events until stopped.
func (r *record[V]) run(stop <-chan struct{}) {
	for running := true; running && r.err == nil; {
		select {
		case <-r.fw.w.Ready():
			r.fw.ready = true
		case <-stop:
			running = false
		}
		var events []*Event[V]
		events, r.err = r.fw.take()
		r.events = append(r.events, events...)
	}
}

// claim is what someone has seen of the store.
type claim[V Value] struct {
	who   string
	query Query
	List[V]
}

// check compares claims with the states that were recorded.
func (r *record[V]) check(t *testing.T, claims []claim[V]) {
	if r.err != nil {
		t.Fatal("who records: ", r.err)
	}
	slices.SortFunc(claims, func(a, b claim[V]) int { return cmp.Compare(a.Revision, b.Revision) })
	state := map[Key]V{}
	for _, v := range r.from.Items {
		state[v.Key()] = v
	}
	events, checked := r.events, 0
	for _, c := range claims {
		if c.Revision > r.fw.upTo {
			t.Fatalf("%s of revision %d, but the store is at %d", c.who, c.Revision, r.fw.upTo)
		}
		for len(events) > 0 && events[0].Value.times().revision <= c.Revision {
			if v := events[0].Value; events[0].Type == Deleted {
				delete(state, v.Key())
			} else {
				state[v.Key()] = v
			}
			events = events[1:]
		}
		if c.Revision < r.from.Revision {
			continue
		}
		want := filter(c.query, inKeyOrder(state))
		want = slices.DeleteFunc(want, func(v V) bool {
			return v.Key().Compare(c.query.After) <= 0 || c.More && v.Key().Compare(c.Last) > 0
		})
		if n := len(c.Items); c.query.Limit > 0 && n > c.query.Limit || c.More && c.query.Limit == 0 {
			t.Fatalf("%s of %s has %d objects, more is %v", c.who, describeQuery(c.query), n, c.More)
		}
		if d := difference(c.Items, want); d != "" {
			t.Fatalf("%s of %s, as of revision %d: %s", c.who, describeQuery(c.query), c.Revision, d)
		}
		checked++
	}
	t.Logf("%d events, %d claims checked", len(r.events), checked)
	if checked < len(claims)/2 || checked == 0 || len(r.events) == 0 {
		t.Error("too little was seen")
	}
}

// reader reads in all ways until stopped, and remembers what it saw.
type reader[V Value] struct {
	rng    *rand.Rand
	list   func(Query) List[V]
	watch  func(Query, Start) (*Watcher[V], error)
	query  func(*rand.Rand) Query
	claims []claim[V]
	err    error
}

func (r *reader[V]) run(stop <-chan struct{}) {
	for r.err == nil {
		select {
		case <-stop:
			return
		default:
		}
		if len(r.claims) > 150 { // enough to remember
			r.claims = slices.Delete(r.claims, 25, 75)
		}
		q := r.query(r.rng)
		l := r.list(q)
		r.claims = append(r.claims, claim[V]{"a list", q, l})
		if r.rng.IntN(8) == 0 {
			r.err = r.follow(q, l)
		}
	}
}

// follow watches for some rounds, from a list or from what there is.
func (r *reader[V]) follow(q Query, l List[V]) error {
	s := Start{Revision: l.Revision}
	if l.More || q.After != (Key{}) || r.rng.IntN(2) == 0 {
		s, l = Start{Current: true}, List[V]{}
	}
	q.Limit, q.After = 0, Key{}
	w, err := r.watch(q, s)
	if errors.Is(err, ErrExpired) { // it had no turn for long
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch from %+v: %w", s, err)
	}
	defer w.Stop()
	w.query.Limit = 100
	fw := newFollower(w, q, s, l)
	for range 1 + r.rng.IntN(10) {
		if _, err := fw.take(); err != nil {
			return fmt.Errorf("watch of %s from %+v: %w", describeQuery(q), s, err)
		}
		r.claims = append(r.claims, claim[V]{fmt.Sprintf("a watch from %+v", s), q, List[V]{Items: fw.state(), Revision: fw.upTo}})
	}
	return nil
}

// tickingClock is set forward by all.
type tickingClock struct{ ns atomic.Int64 }

func (c *tickingClock) tick(d time.Duration) time.Time { return time.Unix(0, c.ns.Add(int64(d))) }

func (c *tickingClock) Now() time.Time { return time.Unix(0, c.ns.Load()) }

func (c *tickingClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// busy is a store that is written to from several sides.
type busy struct {
	*Store
	clock *tickingClock
	nodes int
	pods  int // of each node
}

func newBusy(nodes, pods int, maxAge time.Duration) *busy {
	b := &busy{clock: &tickingClock{}, nodes: nodes, pods: pods}
	b.clock.ns.Store(start.UnixNano())
	b.Store = New(b.clock, maxAge)
	for n := range nodes {
		b.SetNode(fmt.Sprint("n", n), map[string]string{"zone": fmt.Sprint(n % 2)})
		for p := range pods {
			b.SetPod(b.metadata(n, p, 0))
		}
	}
	return b
}

// metadata is of a pod that is on a node, or on the next one in its version 1, if
// that reports it too.
func (b *busy) metadata(node, pod, version int) PodMetadata {
	on := node
	if pod%10 == 0 {
		on = (node + version) % b.nodes
	}
	return PodMetadata{
		Namespace: fmt.Sprint("ns", pod%3), Name: fmt.Sprintf("p-%d-%03d", node, pod), UID: "1", Node: fmt.Sprint("n", on),
		Labels: map[string]string{"app": fmt.Sprint(pod % 4), "version": fmt.Sprint(version)},
	}
}

// scrape puts a node's answer about pods of its own and of the node before it,
// of which it leaves out some.
func (b *busy) scrape(node int, leftOut func(node, pod int) bool) {
	now := b.clock.tick(time.Second)
	usage := exposition.Usage{Time: now.UnixNano(), CPU: uint64(now.Sub(start)), Memory: mib, Has: cpuAndMemory}
	s := &exposition.Samples{Node: usage}
	for _, of := range []int{node, (node + b.nodes - 1) % b.nodes} {
		for p := range b.pods {
			if of != node && p%10 != 0 || leftOut(of, p) {
				continue
			}
			m := b.metadata(of, p, 0)
			s.Containers = append(s.Containers, exposition.Container{Namespace: []byte(m.Namespace), Pod: []byte(m.Name), Name: []byte("c"), Usage: usage})
		}
	}
	b.Put(fmt.Sprint("n", node), s, now)
}

// A list shows exactly what was served as of its revision, and so does what a
// watcher has told up to one, while everything changes.
func TestListsShowOneRevision(t *testing.T) {
	const nodes, pods = 5, 120
	b := newBusy(nodes, pods, maxAge)
	all := func(int, int) bool { return false }
	for range 10 {
		for n := range nodes {
			b.scrape(n, all)
		}
	}
	rng := random(t)
	generator := func() *rand.Rand { return rand.New(rand.NewPCG(rng.Uint64(), 0)) }
	var writers, readers sync.WaitGroup
	stop, begin := make(chan struct{}), make(chan struct{}) // written is once all is recorded

	// All in all there are fewer changes than may wait for a watcher: so none
	// falls behind, however seldom it gets a turn.
	for range 2 {
		rng := generator()
		writers.Go(func() {
			<-begin
			for range 55 {
				n := rng.IntN(nodes)
				if rng.IntN(100) == 0 {
					n = nodes - 1 // so seldom that its pods expire
				}
				b.scrape(n, func(int, int) bool { return rng.IntN(50) == 0 })
			}
		})
	}
	metadata := generator()
	writers.Go(func() {
		<-begin
		for i := range 1500 {
			m := b.metadata(metadata.IntN(nodes), metadata.IntN(pods), metadata.IntN(3))
			switch metadata.IntN(10) {
			case 0:
				b.RemovePod(m.Namespace, m.Name)
			case 1:
				m.UID = fmt.Sprint(i)
			default:
				b.SetPod(m)
			}
		}
	})
	inventory := generator()
	writers.Go(func() {
		<-begin
		for range 75 {
			n := inventory.IntN(nodes)
			if inventory.IntN(10) == 0 {
				b.RemoveNode(fmt.Sprint("n", n))
			}
			b.SetNode(fmt.Sprint("n", n), map[string]string{"zone": fmt.Sprint(inventory.IntN(2))})
		}
	})

	var podRecord record[PodUsage]
	var nodeRecord record[NodeUsage]
	if err := podRecord.begin(b.WatchPods); err != nil {
		t.Fatal(err)
	}
	if err := nodeRecord.begin(b.WatchNodes); err != nil {
		t.Fatal(err)
	}
	var recorders sync.WaitGroup
	stopRecords := make(chan struct{})
	recorders.Go(func() { podRecord.run(stopRecords) })
	recorders.Go(func() { nodeRecord.run(stopRecords) })

	selectors := []Query{
		{}, {Namespace: "ns1"}, {Labels: selector(t, "app=1")}, {Labels: selector(t, "version=2")}, {Labels: selector(t, "version in (0,1),app notin (2)")},
		{Labels: selector(t, "version!=1")}, {Namespace: "ns2", Labels: selector(t, "version=1,app in (1,2)")}, onNode("=n1"), onNode("!=n2"),
		{Labels: selector(t, "version=1"), Fields: fields.ParseSelectorOrDie("spec.nodeName=n3")},
		{Fields: fields.ParseSelectorOrDie("metadata.name=p-1-010,metadata.namespace=ns1")},
	}
	query := func(rng *rand.Rand) Query {
		q := pick(rng, selectors)
		switch rng.IntN(6) {
		case 0:
			q.Limit = 1 + rng.IntN(100)
		case 1:
			q.Limit, q.After = 1+rng.IntN(100), Key{fmt.Sprint("ns", rng.IntN(3)), fmt.Sprintf("p-%d-%03d", rng.IntN(nodes), rng.IntN(pods))}
		}
		return q
	}
	var podReaders [3]*reader[PodUsage]
	for i := range podReaders {
		podReaders[i] = &reader[PodUsage]{rng: generator(), list: b.Pods, watch: b.WatchPods, query: query}
		readers.Go(func() { podReaders[i].run(stop) })
	}
	nodeReader := &reader[NodeUsage]{rng: generator(), list: b.Nodes, watch: b.WatchNodes, query: func(rng *rand.Rand) Query {
		return pick(rng, []Query{{}, {Labels: selector(t, "zone=1")}, {Labels: selector(t, "zone!=1")}, {Limit: 2}})
	}}
	readers.Go(func() { nodeReader.run(stop) })

	close(begin)
	writers.Wait()
	close(stop)
	readers.Wait()
	close(stopRecords)
	recorders.Wait()

	var podClaims []claim[PodUsage]
	for _, r := range podReaders {
		if r.err != nil {
			t.Error(r.err)
		}
		podClaims = append(podClaims, r.claims...)
	}
	if nodeReader.err != nil {
		t.Error(nodeReader.err)
	}
	podRecord.check(t, append(podClaims, claim[PodUsage]{"the last list", Query{}, b.Pods(Query{})}))
	nodeRecord.check(t, append(nodeReader.claims, claim[NodeUsage]{"the last list", Query{}, b.Nodes(Query{})}))
}

// What a list shows is where a watch from its revision goes on, whatever takes
// place between the steps of a change.
func TestNothingIsMissedBetweenListAndWatch(t *testing.T) {
	version := func(i int) map[string]string { return map[string]string{"version": fmt.Sprint(i % 2)} }
	pod := func(b *busy, i int) PodMetadata {
		m := b.metadata(0, 0, 0)
		m.Labels = version(i)
		return m
	}
	none := func(int, int) bool { return false }
	tests := []struct {
		name   string
		rounds int
		query  Query
		do     func(*busy, int)
	}{
		{"relabelled", 5000, Query{Labels: selector(t, "version in (0,1)")}, func(b *busy, i int) { b.SetPod(pod(b, i)) }},
		{"relabelled out and in", 5000, Query{Labels: selector(t, "version=1")}, func(b *busy, i int) { b.SetPod(pod(b, i)) }},
		{"removed", 500, Query{Labels: selector(t, "app=0")}, func(b *busy, _ int) {
			m := b.metadata(0, 0, 0)
			b.RemovePod(m.Namespace, m.Name)
			b.SetPod(m)
			b.scrape(0, none)
			b.clock.tick(5 * time.Second)
			b.scrape(0, none)
		}},
		{"comes and goes", 500, Query{Namespace: "ns0"}, func(b *busy, i int) {
			b.scrape(0, func(_, pod int) bool { return i%3 == 0 && pod == 0 })
			b.clock.tick(5 * time.Second)
		}},
		{"node removed", 700, onNode("=n0"), func(b *busy, i int) {
			b.RemoveNode("n0")
			b.SetNode("n0", version(i))
			b.scrape(0, none)
			b.clock.tick(5 * time.Second)
			b.scrape(0, none)
		}},
		{"node relabelled", 3000, onNode("=n0"), func(b *busy, i int) { b.SetNode("n0", version(i)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBusy(1, 3, maxAge)
			for range 2 {
				b.clock.tick(5 * time.Second)
				b.scrape(0, none)
			}
			var wg sync.WaitGroup
			stop := make(chan struct{})
			wg.Go(func() {
				defer close(stop)
				for i := range tt.rounds {
					tt.do(b, i)
				}
			})
			var pods, nodes error
			wg.Go(func() { pods = listAndWatch(b.Pods, b.WatchPods, tt.query, stop) })
			wg.Go(func() { nodes = listAndWatch(b.Nodes, b.WatchNodes, Query{}, stop) })
			wg.Wait()
			if pods != nil {
				t.Error("pods: ", pods)
			}
			if nodes != nil {
				t.Error("nodes: ", nodes)
			}
		})
	}
}

// listAndWatch lists and watches from there, over and over.
func listAndWatch[V Value](list func(Query) List[V], watch func(Query, Start) (*Watcher[V], error), q Query, stop <-chan struct{}) error {
	for last := false; !last; {
		select {
		case <-stop:
			last = true
		default:
		}
		l := list(q)
		s := Start{Revision: l.Revision}
		w, err := watch(q, s)
		if errors.Is(err, ErrExpired) && !last { // it had no turn for long
			continue
		}
		if err != nil {
			return err
		}
		fw := newFollower(w, q, s, l)
		for range 3 {
			if _, err := fw.take(); errors.Is(err, ErrFellBehind) {
				break
			} else if err != nil {
				return err
			}
		}
		if d := difference(fw.state(), list(q).Items); last && d != "" {
			return errors.New(d)
		}
		w.Stop()
	}
	return nil
}

// What is there throughout is on exactly one page, whatever comes and goes.
func TestPagesWhileScraped(t *testing.T) {
	const nodes, pods = 3, 120
	b := newBusy(nodes, pods, 1000*time.Hour) // a node may get no turn for long
	// A pod in three stays; the others come and go with their nodes' answers.
	stays := func(pod int) bool { return pod%3 == 0 }
	rng := random(t)
	for range 2 {
		b.clock.tick(5 * time.Second)
		for n := range nodes {
			b.scrape(n, func(int, int) bool { return false })
		}
	}
	var staying []Key
	for n := range nodes {
		for p := range pods {
			if m := b.metadata(n, p, 0); stays(p) {
				staying = append(staying, Key{m.Namespace, m.Name})
			}
		}
	}
	var writers sync.WaitGroup
	var stop atomic.Bool
	for n := range nodes {
		rng := rand.New(rand.NewPCG(rng.Uint64(), 0))
		writers.Go(func() {
			for !stop.Load() {
				b.scrape(n, func(node, pod int) bool { return !stays(pod) && rng.IntN(4) == 0 })
				if m := b.metadata(n, 1+3*rng.IntN(pods/3), rng.IntN(2)); rng.IntN(4) == 0 {
					b.RemovePod(m.Namespace, m.Name)
				} else {
					b.SetPod(m)
				}
			}
		})
	}
	defer writers.Wait()
	defer stop.Store(true)

	for range 150 {
		q := pick(rng, []Query{
			{}, {Namespace: "ns0"}, {Labels: selector(t, "app in (0,1,2,3)")}, {Labels: selector(t, "version")}, {Fields: fields.ParseSelectorOrDie("metadata.name!=x")},
		})
		seen := map[Key]int{}
		asked := describeQuery(q)
		for more := true; more; {
			q.Limit = 1 + rng.IntN(pick(rng, []int{3, 50, 200}))
			l := b.Pods(q)
			for _, p := range l.Items {
				if p.Key().Compare(q.After) <= 0 {
					t.Fatalf("%s: %v comes after %v", asked, p.Key(), q.After)
				}
				q.After = p.Key()
				seen[p.Key()]++
			}
			if len(l.Items) > q.Limit || l.More && l.Last.Compare(q.After) < 0 {
				t.Fatalf("%s: %d objects up to %v; the next page is after %v", asked, len(l.Items), q.After, l.Last)
			}
			q.After, more = l.Last, l.More
		}
		for _, k := range staying {
			if n := seen[k]; n != 1 && (q.Namespace == "" || q.Namespace == k.Namespace) {
				t.Fatalf("%s: %v is there throughout, but %d times on the pages", asked, k, n)
			}
		}
		for k, n := range seen {
			if n != 1 {
				t.Fatalf("%s: %v is %d times on the pages", asked, k, n)
			}
		}
	}
}

// come makes pods be served, each from a node of its name.
func (f *fixture) come(names ...string) {
	for _, name := range names {
		f.SetNode(name, nil)
		f.SetPod(PodMetadata{Namespace: "ns", Name: name, UID: name, Node: name})
		f.scrape(name, 5, ofPod(sample("a", 5, 1, 1), name))
		f.scrape(name, 15, ofPod(sample("a", 15, 2, 1), name))
	}
}

// What changes while a page is read: what comes in beyond the limit is left to
// the next page, and what goes is not made up for.
func TestPageIsSettled(t *testing.T) {
	f := newFixture(t)
	all := f.many(9)
	f.scrapeMany("n1", 0, all)
	f.scrapeMany("n1", 15, all)
	leave := func(name string) { f.RemovePod("ns", name) }
	for _, step := range []struct {
		after string
		limit int
		do    func()
		want  string
		more  string // the key after which the next page begins, "" if there is none
	}{
		{"", 3, func() {}, "p000000 p000001 p000002", "p000002"},
		{"", 3, func() { f.come("p000001b") }, "p000000 p000001 p000001b", "p000001b"},
		{"", 3, func() { f.come("p000002b") }, "p000000 p000001 p000001b", "p000001b"},
		{"p000001", 3, func() { f.come("p000000b") }, "p000001b p000002 p000002b", "p000002b"},
		{"p000001", 3, func() { leave("p000002") }, "p000001b p000002b", "p000002b"},
		{"p000001", 2, func() { leave("p000001b"); leave("p000002b") }, "", "p000002b"},
		{"p000002", 3, func() { leave("p000003"); f.come("p000003b") }, "p000003b p000004 p000005", "p000005"},
		{"p000006", 4, func() {}, "p000007 p000008", ""},
		{"p000006", 4, func() { f.come("z") }, "p000007 p000008 z", ""},
		{"p000006", 4, func() { f.come("z0", "z1", "z2") }, "p000007 p000008 z z0", "z0"},
		{"p000006", 7, func() { leave("z2") }, "p000007 p000008 z z0 z1", ""},
		{"z1", 7, func() {}, "", ""},
	} {
		q := Query{Namespace: "ns", Limit: step.limit, After: Key{"ns", step.after}}
		from := f.Revision()
		l := f.pods.scan(&q, f.walkPods)
		step.do()
		if !f.pods.settle(&l, &q, from, nil) {
			t.Fatal("the changes are forgotten")
		}
		var names []string
		for _, p := range l.Items {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); got != step.want || l.More != (step.more != "") || l.Last.Name != step.more {
			t.Errorf("got %q, more %v after %q; want %q, more after %q", got, l.More, l.Last.Name, step.want, step.more)
		}
		if l.Revision != f.Revision() {
			t.Errorf("revision %d, want %d", l.Revision, f.Revision())
		}
	}
}

// A list that the history does not reach back to is of a revision from which a
// watch tells the rest.
func TestSettleWithoutHistory(t *testing.T) {
	f := running(t)
	from := f.Revision()
	q := Query{}
	l := f.pods.scan(&q, f.walkPods)
	for i := range minHistory + 1 {
		f.relabel(map[string]string{"i": fmt.Sprint(i)})
	}
	if f.pods.settle(&l, &q, from, func() { t.Error("done all the same") }) {
		t.Error("settled without the changes")
	}
	if l := f.Pods(q); l.Revision != f.Revision() || len(l.Items) != 1 {
		t.Errorf("the next list is of revision %d, the store at %d", l.Revision, f.Revision())
	}
}

// meddler is an object of a history that makes changes when it is read.
type meddler struct {
	*pod
	do func()
}

func (m *meddler) read(q *Query, room *room) (PodUsage, bool) {
	if m.do != nil {
		m.do()
		m.do = nil
	}
	return m.pod.read(q, room)
}

// A list gives up settling when it has failed to a few times: nobody can watch
// from there as if nothing were missing.
func TestListWhileTooMuchChanges(t *testing.T) {
	f := newFixture(t)
	all := f.many(4)
	f.scrapeMany("n1", 0, all)
	f.scrapeMany("n1", 15, all)
	first := f.catalog.find(Key{"ns", "p000000"})
	tries := 0
	overrun := func() {
		for i := range minHistory + 1 {
			f.SetPod(PodMetadata{Namespace: "ns", Name: first.name, UID: first.name, Node: "n1", Labels: map[string]string{"i": fmt.Sprint(i)}})
		}
	}
	walk := func(q *Query) iter.Seq[object[PodUsage]] {
		tries++
		return func(yield func(object[PodUsage]) bool) {
			for o := range f.walkPods(q) {
				if o.key() == first.key() {
					o = &meddler{pod: first, do: func() { // a pod comes, and while that is read, too much else
						f.come(fmt.Sprint("p000000", 9-tries))
						f.pods.remember(change[PodUsage]{revision: f.revisions.next(), object: &meddler{pod: first, do: overrun}})
					}}
				}
				if !yield(o) {
					return
				}
			}
		}
	}
	const limit = 2
	l := f.pods.list(&Query{Limit: limit}, walk)
	if tries != 4 {
		t.Errorf("it was read %d times", tries)
	}
	if n := len(l.Items); n != limit || !l.More || l.Last != l.Items[n-1].Key() {
		t.Errorf("%d objects, more %v after %v; want %d", n, l.More, l.Last, limit)
	}
	f.wantExpired(Query{}, l.Revision)
}

// While a watcher catches up, the history may lose what it comes to next.
func TestHistoryIsOverrunByAReplay(t *testing.T) {
	for _, tt := range []struct {
		changes int // while the replay reads
		expired bool
	}{{1, false}, {minHistory, false}, {minHistory + 1, true}} {
		f := running(t)
		then := f.Pods(Query{})
		f.relabel(db)
		p := f.catalog.find(Key{"ns", "p"})
		m := &meddler{pod: p, do: func() {
			for i := range tt.changes {
				f.relabel(map[string]string{"i": fmt.Sprint(i)})
			}
		}}
		f.pods.remember(change[PodUsage]{revision: f.revisions.next(), object: m})
		w := f.follow(Query{}, Start{Revision: then.Revision}, then.Items...)
		if tt.expired {
			if _, err := w.take(); !errors.Is(err, ErrFellBehind) {
				t.Errorf("after %d changes: %v, want ErrFellBehind", tt.changes, err)
			}
			continue
		}
		if _, err := w.take(); err != nil {
			t.Error(err)
		}
		if d := difference(w.state(), f.Pods(Query{}).Items); d != "" {
			t.Errorf("after %d changes: %s", tt.changes, d)
		}
	}
}

// The history grows with what is served, and forgets the oldest changes only.
func TestHistory(t *testing.T) {
	var r revisions
	r.start(start)
	f := newFeed[NodeUsage](&r)
	revision := func(i int) uint64 { return r.first + uint64(i)*revisionStep }
	changes := 0
	check := func(served, want int) {
		t.Helper()
		kept := 0
		last := r.newest.Load()
		all, ok := f.since(f.forgotten, maxHistory)
		for _, c := range all {
			if kept++; c.revision != f.forgotten+uint64(kept)*revisionStep {
				t.Fatalf("change %d after %d is %d", kept, f.forgotten, c.revision)
			}
		}
		if !ok || kept != want || f.forgotten != last-uint64(kept)*revisionStep {
			t.Fatalf("after %d changes of %d objects %d are kept, want %d", changes, served, kept, want)
		}
		if _, ok := f.since(f.forgotten-1, maxHistory); ok {
			t.Error("the history is said to reach back further")
		}
		for _, i := range []int{changes, changes - 1, changes - kept/2} {
			all, _ := f.since(revision(i), maxHistory)
			if len(all) != changes-i {
				t.Errorf("%d changes after the %dth of %d", len(all), i, changes)
			}
		}
	}
	n := &node{}
	for _, step := range []struct{ served, changes, want int }{
		{1, 100, 100},
		{1, minHistory, minHistory},
		{minHistory, 10, minHistory + 10},
		{minHistory, 10 * minHistory, 5 * minHistory / 2},
		{10, 5, 5 * minHistory / 2}, // it does not shrink
		{maxHistory, 2 * maxHistory, maxHistory},
	} {
		for f.served = step.served; step.changes > 0; step.changes-- {
			f.revise(n, times{}, &transition{was: true, is: true})
			changes++
		}
		check(step.served, step.want)
	}
}

// SetNode and RemoveNode may come at once, if only from a test.
func TestNodesComeAndGoAtOnce(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for range 2000 {
				f.SetNode("x", map[string]string{"zone": fmt.Sprint(i)})
				f.RemoveNode("x")
			}
		})
	}
	wg.Wait()
	if f.RemoveNode("n1"); len(f.byName) != 0 || len(f.labels.sets) != 0 {
		t.Errorf("%d nodes and %d label sets are left", len(f.byName), len(f.labels.sets))
	}
}
