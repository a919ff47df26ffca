// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// fleet is a store with nodes n0, n1, … that can be scraped at once.
type fleet struct {
	*store.Store
	answers []answer
}

// answer is what a node has answered last.
type answer struct {
	node string
	time time.Time
}

func newFleet(started time.Time, nodes int) *fleet {
	f := &fleet{Store: store.New(clocktesting.NewFakePassiveClock(started), time.Hour)}
	for n := range nodes {
		name := fmt.Sprint("n", n)
		f.SetNode(name, map[string]string{"parity": fmt.Sprint(n % 2)})
		f.answers = append(f.answers, answer{name, started})
	}
	return f
}

// list lists a pod of a node, given as namespace/name.
func (f *fleet) list(node int, pod string, labels map[string]string) {
	namespace, name, _ := strings.Cut(pod, "/")
	f.SetPod(store.PodMetadata{Namespace: namespace, Name: name, UID: pod, Node: f.answers[node].node, Labels: labels})
}

// scrape takes in the next answer of a node, with these pods.
func (f *fleet) scrape(node int, pods ...string) {
	a := &f.answers[node]
	a.time = a.time.Add(10 * time.Second)
	usage := exposition.Usage{
		Time: a.time.UnixNano(), CPU: uint64(a.time.UnixNano()), Memory: 1 << 20, Has: exposition.HasCPU | exposition.HasMemory,
	}
	samples := exposition.Samples{Node: usage}
	for _, pod := range pods {
		namespace, name, _ := strings.Cut(pod, "/")
		samples.Containers = append(samples.Containers, exposition.Container{
			Namespace: []byte(namespace), Pod: []byte(name), Name: []byte("c"), Usage: usage,
		})
	}
	f.Put(a.node, &samples, a.time)
}

// serve makes a node's pods be served: for that, it takes two answers.
func (f *fleet) serve(node int, pods ...string) {
	for _, pod := range pods {
		f.list(node, pod, nil)
	}
	f.scrape(node, pods...)
	f.scrape(node, pods...)
}

// numbers is 0,1,2,… without n.
func numbers(n int) string {
	var s []string
	for i := range n {
		s = append(s, fmt.Sprint(i))
	}
	return strings.Join(s, ",")
}

// joined is a path with one more parameter.
func joined(path, parameter string) string {
	if strings.Contains(path, "?") {
		return path + "&" + parameter
	}
	return path + "?" + parameter
}

// pages reads a list page by page, calls between before each page but the first,
// and checks what must hold for all pages.
func pages(t *testing.T, server *httptest.Server, path string, limit int, between func()) (version string, names []string) {
	t.Helper()
	path = joined(path, fmt.Sprint("limit=", limit))
	l := page(t, server, path)
	for version = l.ResourceVersion; ; {
		names = append(names, namesOf(l)...)
		if len(l.Items) > limit {
			t.Fatalf("%s: %d items, the limit is %d", path, len(l.Items), limit)
		}
		if l.ResourceVersion != version {
			t.Fatalf("%s: a page of version %s after one of %s", path, l.ResourceVersion, version)
		}
		if l.Continue == "" {
			return version, names
		}
		between()
		l = page(t, server, joined(path, "continue="+l.Continue))
	}
}

// All pages together are the whole list.
func TestPages(t *testing.T) {
	f := newFleet(start, 11)
	for n := range f.answers {
		pods := []string{fmt.Sprint("a/web-", n), fmt.Sprint("b/web-", n), fmt.Sprint("a-b/db.0-", n)}
		f.serve(n, pods...)
		for _, pod := range pods {
			f.list(n, pod, map[string]string{"parity": fmt.Sprint(n % 2), "app": strings.Split(pod, "/")[1][:2]})
		}
	}
	server := serve(t, f.Store, clocktesting.NewFakeClock(start))
	for path, want := range map[string]int{
		"v1/pods":              33,
		"v1beta1/pods":         33,
		"v1/namespaces/a/pods": 11,
		"v1/namespaces/a-b/pods?labelSelector=app%3Ddb":                   11,
		"v1/namespaces/none/pods":                                         0,
		"v1/pods?labelSelector=app%3Dwe":                                  22,
		"v1/pods?labelSelector=app+in+(we,db),parity%3D1":                 15,
		"v1/pods?labelSelector=app!%3Ddb":                                 22,
		"v1/pods?fieldSelector=spec.nodeName%3Dn3":                        3,
		"v1/pods?fieldSelector=spec.nodeName!%3Dn3":                       30,
		"v1/pods?fieldSelector=spec.nodeName%3Dn3,metadata.namespace%3Da": 1,
		"v1beta1/pods?fieldSelector=metadata.namespace%3Db":               11,
		"v1/pods?fieldSelector=metadata.name%3Dweb-4":                     2,
		"v1/namespaces/b/pods?fieldSelector=metadata.name%3Dweb-4":        1,
		"v1/nodes":                                      11,
		"v1beta1/nodes?labelSelector=parity%3D0":        6,
		"v1/nodes?fieldSelector=metadata.namespace%3D":  11,
		"v1/nodes?fieldSelector=metadata.namespace%3Da": 0,
		"v1/pods?labelSelector=" + strings.Repeat("!a,", 98) + "!a&fieldSelector=metadata.name!%3Da": 33,
		"v1/pods?labelSelector=app+in+(we," + numbers(999) + ")":                                     22,
		"v1/nodes?fieldSelector=metadata.name!%3Dn10":                                                10,
		"v1/pods?labelSelector=parity%3D0&fieldSelector=spec.nodeName%3Dn2":                          3,
		"v1/namespaces/a/pods?labelSelector=parity%3D0&fieldSelector=spec.nodeName=n1":               0,
	} {
		version, whole := listed(t, server, path)
		sorted := slices.IsSortedFunc(whole, func(a, b string) int {
			return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
		})
		if len(whole) != want || !sorted {
			t.Errorf("%s: %d items, want %d in order: %q", path, len(whole), want, whole)
		}
		for _, limit := range []int{1, 2, 3, max(want-1, 1), max(want, 1), want + 1, 1000} {
			t.Run(fmt.Sprint(path, " by ", limit), func(t *testing.T) {
				gotVersion, got := pages(t, server, path, limit, func() {})
				if gotVersion != version || !slices.Equal(got, whole) {
					t.Errorf("\n got %s %q\nwant %s %q", gotVersion, got, version, whole)
				}
			})
		}
	}
}

func TestLimitsThatLimitNothing(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	for _, limit := range []string{"0", "3", "4", "2147483647", "2147483648", "9223372036854775807", "-1", "-9223372036854775808"} {
		l := page(t, server, "v1/pods?limit="+limit)
		if got := strings.Join(namesOf(l), " "); got != "a/web b/db b/web" || l.Continue != "" {
			t.Errorf("limit=%s: %s, continue %q", limit, got, l.Continue)
		}
	}
}

// Pages are no Table's business, but kubectl pages.
func TestPagesAsTable(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	var got []string
	for path := "v1/pods?limit=2"; path != ""; {
		_, body := get(t, server, prefix+path, asTable)
		var table metav1.Table
		if err := json.Unmarshal(body, &table); err != nil {
			t.Fatal(err)
		}
		for _, r := range table.Rows {
			got = append(got, r.Cells[0].(string))
		}
		if path = ""; table.Continue != "" {
			path = "v1/pods?limit=2&continue=" + table.Continue
		}
	}
	if strings.Join(got, " ") != "web db web" {
		t.Errorf("got %q", got)
	}
}

func TestRefusedLists(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	pods := page(t, server, "v1/pods?limit=1")
	nodes := page(t, server, "v1/nodes?limit=1")
	future := fmt.Sprint(versionOf(t, &pods) + 1<<40)
	token := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	const remedy = "it has to be what the page before has told; list again without it"
	tests := []struct {
		path    string
		code    int
		message string
	}{
		{"pods?resourceVersion=abc", 400, `resourceVersion "abc" is not one: it has to be 0, or what a list or an object has told`},
		{"nodes?resourceVersion=-1", 400, `resourceVersion "-1" is not one`},
		{"pods?limit=x", 400, "invalid syntax"},
		{"pods?limit=99999999999999999999", 400, "out of range"},
		{"pods?fieldSelector=status.phase%3DRunning", 400,
			`PodMetrics cannot be selected by field "status.phase", only by metadata.name, metadata.namespace, spec.nodeName`},
		{"nodes?fieldSelector=spec.nodeName%3Dn1", 400, `NodeMetrics cannot be selected by field "spec.nodeName", only by metadata.name, metadata.namespace`},
		{"pods?labelSelector=" + strings.Repeat("!a,", 100) + "!a", 400, "the selectors have 101 requirements with 0 values, of which 100 and 1000 are allowed"},
		{"pods?labelSelector=" + strings.Repeat("!a,", 99) + "!a&fieldSelector=metadata.name%3Da", 400, "the selectors have 101 requirements"},
		{"nodes?labelSelector=a+in+(" + numbers(1001) + ")", 400, "1 requirements with 1001 values"},

		{"pods?continue=garbage", 400, remedy},
		{"nodes?continue=garbage", 400, remedy},
		{"pods?limit=1&continue=%20", 400, remedy},
		{"pods?continue=" + token("garbage"), 400, remedy},
		{"pods?continue=" + token(`{}`), 400, remedy},
		{"pods?continue=" + token(`{"v":"meta.k8s.io/v2","rv":1,"start":"a/web"}`), 400, remedy},
		{"pods?continue=" + token(`{"v":"meta.k8s.io/v1","rv":0,"start":"a/web"}`), 400, remedy},
		{"pods?continue=" + token(`{"v":"meta.k8s.io/v1","rv":-1,"start":"a/web"}`), 400, remedy},
		{"pods?continue=" + token(`{"v":"meta.k8s.io/v1","rv":1,"start":""}`), 400, remedy},
		{"pods?continue=" + token(`{"v":"meta.k8s.io/v1","rv":1,"start":"a/../web"}`), 400, remedy},
		{"pods?continue=" + token(`{"v":"meta.k8s.io/v1","rv":1,"start":"web"}`), 400, remedy},
		{"pods?continue=" + nodes.Continue, 400, remedy},
		{"namespaces/b/pods?limit=1&continue=" + nodes.Continue, 400, remedy},
		{"nodes?continue=" + pods.Continue, 400, remedy},
		{"pods?resourceVersion=" + pods.ResourceVersion + "&continue=" + pods.Continue, 400,
			"resourceVersion cannot be set together with continue"},
		{"nodes?resourceVersion=" + nodes.ResourceVersion + "&continue=" + nodes.Continue, 400,
			"resourceVersion cannot be set together with continue"},

		{"pods?resourceVersionMatch=NotOlderThan&resourceVersion=0&continue=" + pods.Continue, 422, "forbidden when continue is provided"},
		{"pods?resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"},
		{"pods?resourceVersionMatch=Exact&resourceVersion=0", 422, `forbidden for resourceVersion \"0\"`},
		{"nodes?resourceVersionMatch=Newest&resourceVersion=1", 422, "Unsupported value"},
		{"pods?sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"},

		{"pods?resourceVersion=" + future, 504, "Too large resource version: " + future},
		{"nodes?resourceVersion=" + future + "&resourceVersionMatch=NotOlderThan", 504, "Too large resource version: " + future},
		{"pods?resourceVersion=" + future + "&resourceVersionMatch=Exact&limit=1", 504, "Too large resource version: " + future},
		{"pods?resourceVersionMatch=Exact&resourceVersion=1", 410, "too old resource version: 1 (" + pods.ResourceVersion + ")"},
		{"nodes?resourceVersionMatch=Exact&limit=1&resourceVersion=1", 410, "too old resource version: 1 ("},
	}
	for _, tt := range tests {
		code, body := get(t, server, prefix+"v1/"+tt.path, asJSON)
		var got metav1.Status
		if err := json.Unmarshal(body, &got); err != nil || code != tt.code || int(got.Code) != tt.code ||
			!strings.Contains(got.Message, strings.ReplaceAll(tt.message, `\"`, `"`)) {
			t.Errorf("%s: %d %v\n got %s\nwant %d %s", tt.path, code, err, got.Message, tt.code, tt.message)
		}
		err := apierrors.FromObject(&got)
		if tooLarge := apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge); tooLarge != (tt.code == 504) {
			t.Errorf("%s: too large is %v: %+v", tt.path, tooLarge, got)
		}
		if apierrors.IsResourceExpired(err) != (tt.code == 410) {
			t.Errorf("%s: reason %q", tt.path, got.Reason)
		}
	}
}

// What there is now is no older than any version that this server has told.
func TestListOfAVersion(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	old, _ := listed(t, server, "v1/pods")
	scrape(s, clk, 2, []string{"a/web"}, []string{"b/web"})
	version, _ := listed(t, server, "v1/pods")
	if parseVersion(t, version) <= parseVersion(t, old) {
		t.Fatalf("version %s after %s", version, old)
	}
	for _, query := range []string{
		"", "resourceVersion=", "resourceVersion=0", "resourceVersion=1", "resourceVersion=" + old, "resourceVersion=" + version,
		"resourceVersion=0&resourceVersionMatch=NotOlderThan", "resourceVersion=" + old + "&resourceVersionMatch=NotOlderThan",
		"resourceVersion=" + version + "&resourceVersionMatch=Exact",
	} {
		for _, path := range []string{"v1/pods?", "v1beta1/namespaces/b/pods?", "v1/nodes?", "v1/pods?labelSelector=app%3Dweb&"} {
			if got, _ := listed(t, server, path+query); got != version {
				t.Errorf("%s%s: version %s, want %s", path, query, got, version)
			}
		}
		_, first := pages(t, server, "v1/pods?labelSelector=app", 1, func() {})
		if got := strings.Join(first, " "); got != "a/web b/web" {
			t.Error(got)
		}
	}
	code, body := get(t, server, prefix+"v1/pods?resourceVersionMatch=Exact&resourceVersion="+old, asJSON)
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil || code != http.StatusGone || status.Reason != metav1.StatusReasonExpired {
		t.Errorf("exactly what was: %d %s", code, body)
	}
	// resourceVersion=0 says no more than that any version will do.
	l := page(t, server, "v1/pods?limit=1")
	if got := namesOf(page(t, server, "v1/pods?limit=1&resourceVersion=0&continue="+l.Continue)); !slices.Equal(got, []string{"b/web"}) {
		t.Errorf("second page: %q", got)
	}
}

// collection follows a list by the events of a watch.
type collection map[string]uint64

// follow opens a watch from a version and takes in its events up to a bookmark
// that is no older than the store is now. clk is the server's, which no other
// watch waits for.
func (c collection) follow(t *testing.T, server *httptest.Server, clk *clocktesting.FakeClock, path, version string) {
	t.Helper()
	newest, _ := listed(t, server, path)
	w := open(t, server, joined(path, "watch=1&allowWatchBookmarks=1&resourceVersion="+version), asProtobuf)
	defer w.Stop()
	step(t, clk, bookmarkPeriod)
	for {
		e, ok := next(t, w)
		if !ok {
			t.Fatal("the watch has ended")
		}
		o, err := meta.Accessor(e.Object)
		if err != nil {
			t.Fatalf("%s: %v", e.Type, apierrors.FromObject(e.Object))
		}
		switch name := summary(e)[1:]; e.Type {
		case watch.Added, watch.Modified:
			c[name] = versionOf(t, o)
		case watch.Deleted:
			delete(c, name)
		case watch.Bookmark:
			if versionOf(t, o) >= parseVersion(t, newest) {
				return
			}
			step(t, clk, bookmarkPeriod)
		}
	}
}

// names returns what there is, in order.
func (c collection) names() []string {
	names := []string{}
	for name := range c {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
	return names
}

// Whatever happens between the pages, they and a watch from their version come to
// what there is.
func TestWatchFromPagesConverges(t *testing.T) {
	tests := []struct {
		name          string
		between, then func(f *fleet)
		pages, want   string
	}{
		{"nothing", func(*fleet) {}, func(*fleet) {}, "ns/b ns/d ns/f", "ns/b ns/d ns/f"},
		{"gone from the first page", func(f *fleet) { f.RemovePod("ns", "b") }, func(*fleet) {}, "ns/b ns/d ns/f", "ns/d ns/f"},
		{"new in the first page", func(f *fleet) { f.serve(1, "ns/a") }, func(*fleet) {}, "ns/b ns/d ns/f", "ns/a ns/b ns/d ns/f"},
		{"gone from the second page", func(f *fleet) { f.RemovePod("ns", "f") }, func(*fleet) {}, "ns/b ns/d", "ns/b ns/d"},
		{"new in the second page", func(f *fleet) { f.serve(1, "ns/e") }, func(*fleet) {}, "ns/b ns/d ns/e ns/f", "ns/b ns/d ns/e ns/f"},
		{"the last of the first page is gone", func(f *fleet) { f.RemovePod("ns", "d") }, func(*fleet) {}, "ns/b ns/d ns/f", "ns/b ns/f"},
		{"changed, and gone after", func(f *fleet) { f.scrape(0, "ns/b", "ns/d", "ns/f") }, func(f *fleet) { f.RemovePod("ns", "f") },
			"ns/b ns/d ns/f", "ns/b ns/d"},
		{"new in the second page, and gone after", func(f *fleet) { f.serve(1, "ns/e") }, func(f *fleet) { f.RemovePod("ns", "e") },
			"ns/b ns/d ns/e ns/f", "ns/b ns/d ns/f"},
		{"away, and back", func(f *fleet) { f.RemovePod("ns", "f") }, func(f *fleet) { f.serve(1, "ns/f") }, "ns/b ns/d", "ns/b ns/d ns/f"},
		{"another of the same name, and gone after", func(f *fleet) { f.RemovePod("ns", "f"); f.serve(1, "ns/f") },
			func(f *fleet) { f.RemovePod("ns", "f") }, "ns/b ns/d ns/f", "ns/b ns/d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet(start, 2)
			f.serve(0, "ns/b", "ns/d", "ns/f")
			clk := clocktesting.NewFakeClock(start)
			server := serve(t, f.Store, clk)
			version, names := pages(t, server, "v1/pods", 2, func() { tt.between(f) })
			if got := strings.Join(names, " "); got != tt.pages {
				t.Errorf("pages: got %q, want %q", got, tt.pages)
			}
			tt.then(f)
			have := collection{}
			for _, name := range names {
				have[name] = 0
			}
			have.follow(t, server, clk, "v1/pods", version)
			if got := strings.Join(have.names(), " "); got != tt.want {
				t.Errorf("after the watch: got %q, want %q", got, tt.want)
			}
		})
	}
}

// A token of a server that is gone leads on; the version of its pages does not.
func TestPagesAcrossARestart(t *testing.T) {
	clk := clocktesting.NewFakeClock(start)
	before, after := newFleet(start, 1), newFleet(start.Add(time.Hour), 1)
	for _, f := range []*fleet{before, after} {
		f.serve(0, "ns/a", "ns/b", "ns/c")
	}
	l := page(t, serve(t, before.Store, clk), "v1/pods?limit=2")
	server := serve(t, after.Store, clk)
	second := page(t, server, "v1/pods?limit=2&continue="+l.Continue)
	if got := namesOf(second); !slices.Equal(got, []string{"ns/c"}) || second.ResourceVersion != l.ResourceVersion {
		t.Errorf("second page: %q of version %s, the first has %s", got, second.ResourceVersion, l.ResourceVersion)
	}
	expect(t, open(t, server, "v1/pods?watch=1&resourceVersion="+second.ResourceVersion, asJSON), "ERROR:410:Expired")
}

// churn changes a fleet without end: pods come, go, move and change labels. Those
// called stay-… are there throughout.
type churn struct {
	*fleet
	rng  *rand.Rand
	pods []string
	on   map[string]int // the node of each pod that is there
}

func newChurn(seed uint64, nodes, pods int) *churn {
	c := &churn{fleet: newFleet(start, nodes), rng: rand.New(rand.NewPCG(seed, 0)), on: map[string]int{}}
	for i := range pods {
		name := "come"
		if i%2 == 0 {
			name = "stay"
		}
		pod := fmt.Sprintf("ns-%d/%s-%04d", i%3, name, i)
		c.pods = append(c.pods, pod)
		c.on[pod] = i % nodes
		c.relabel(pod)
	}
	for n := range nodes {
		c.answer(n)
		c.answer(n)
	}
	return c
}

func (c *churn) relabel(pod string) {
	c.list(c.on[pod], pod, map[string]string{"app": "x", "turn": fmt.Sprint(c.rng.IntN(4))})
}

// answer lets a node answer with what is on it.
func (c *churn) answer(node int) {
	var pods []string
	for _, pod := range c.pods {
		if on, ok := c.on[pod]; ok && on == node {
			pods = append(pods, pod)
		}
	}
	c.scrape(node, pods...)
}

func (c *churn) turn() {
	for range 20 {
		pod := c.pods[c.rng.IntN(len(c.pods))]
		if c.rng.IntN(2) == 0 {
			if _, there := c.on[pod]; there {
				c.relabel(pod)
			}
			continue
		}
		if strings.Contains(pod, "stay") {
			continue
		}
		namespace, name, _ := strings.Cut(pod, "/")
		if _, there := c.on[pod]; there {
			delete(c.on, pod)
			c.RemovePod(namespace, name)
		} else {
			c.on[pod] = c.rng.IntN(len(c.answers))
			c.relabel(pod)
		}
	}
	c.answer(c.rng.IntN(len(c.answers)))
}

// start begins to change things. Each call of more allows one more turn, so that
// not everything that a list has told is forgotten before a watch. stop may be
// called again.
func (c *churn) start() (more, stop func()) {
	turns, stopped := make(chan struct{}, 1), make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for {
			select {
			case <-turns:
				c.turn()
			case <-stopped:
				return
			}
		}
	})
	more = func() {
		select {
		case turns <- struct{}{}:
		default:
		}
	}
	more()
	return more, sync.OnceFunc(func() {
		close(stopped)
		changing.Wait()
	})
}

// While everything changes, pages have each pod that is there throughout once, in
// order, and a watch from their version leads to what there is.
func TestPagesUnderChange(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := newChurn(seed, 5, 300)
	rng := rand.New(rand.NewPCG(seed, 1))
	clk := clocktesting.NewFakeClock(start)
	server := serve(t, c.Store, clk)
	stayIn := func(namespace string) (stay []string) {
		for _, pod := range c.pods {
			if strings.Contains(pod, "stay") && strings.HasPrefix(pod, namespace) {
				stay = append(stay, pod)
			}
		}
		slices.Sort(stay)
		return stay
	}
	tests := []struct {
		path string
		stay []string
	}{
		{"v1/pods", stayIn("")},
		{"v1beta1/namespaces/ns-1/pods", stayIn("ns-1/")},
		{"v1/pods?labelSelector=app%3Dx", stayIn("")},
		{"v1/pods?labelSelector=app,other!%3Dx&fieldSelector=metadata.namespace%3Dns-2", stayIn("ns-2/")},
		{"v1/pods?labelSelector=turn%3D2", nil},
		{"v1/pods?fieldSelector=spec.nodeName%3Dn3", nil},
		{"v1/namespaces/ns-0/pods?labelSelector=turn+in+(1,3)", nil},
		{"v1/nodes", []string{"n0", "n1", "n2", "n3", "n4"}},
		{"v1/nodes?labelSelector=parity%3D1", []string{"n1", "n3"}},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			for range 5 {
				more, stop := c.start()
				defer stop()
				version, names := pages(t, server, tt.path, 4+rng.IntN(40), more)
				stop()

				if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
					t.Fatalf("not in order, or not once: %q", names)
				}
				for _, name := range tt.stay {
					if _, found := slices.BinarySearch(names, name); !found {
						t.Fatalf("%s is there throughout, and not in %q", name, names)
					}
				}
				have := collection{}
				for _, name := range names {
					have[name] = 0
				}
				have.follow(t, server, clk, tt.path, version)
				if _, want := listed(t, server, tt.path); !slices.Equal(have.names(), want) {
					t.Fatalf("after the watch:\n got %q\nwant %q", have.names(), want)
				}
			}
		})
	}
}

// Whatever is asked for, the answer is a list, a stream or a refusal.
func TestNoParametersBreakTheServer(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s, clk := newStore(t)
	server := serve(t, s, clk)
	version, _ := listed(t, server, "v1/pods")
	podToken, nodeToken := page(t, server, "v1/pods?limit=1").Continue, page(t, server, "v1/nodes?limit=1").Continue
	versions := []string{"", "0", "00", "1", "-1", "+1", version, version + "0", "9223372036854775807", "9223372036854775808", "18446744073709551615", "x", "0x10", "1e3"}
	values := map[string][]string{
		"watch":                {"1", "true", "0", "", "x"},
		"resourceVersion":      versions,
		"resourceVersionMatch": {"Exact", "NotOlderThan", "", "x"},
		"sendInitialEvents":    {"true", "false", "", "x"},
		"allowWatchBookmarks":  {"1", "0", "x"},
		"limit":                {"0", "1", "2", "-1", "9223372036854775807", "9223372036854775808", "x", ""},
		"continue":             {podToken, nodeToken, podToken[1:], "x", "", "e30", strings.Repeat("A", 4000)},
		"timeoutSeconds":       {"-1", "1", "9223372036854775807", "x"},
		"labelSelector": {"app=web", "app in (web)", "app in ()", "!app", "app", "app=", "app=web,app=db", "app>1", "zone", "=", ",", ", ,",
			"app notin (web,db)", "a/b/c=d", strings.Repeat("a", 300) + "=b"},
		"fieldSelector": {"metadata.name=web", "metadata.name=", "metadata.name!=", "metadata.namespace=b", "metadata.namespace=",
			"metadata.name=a,metadata.name=b", "spec.nodeName=n1", "spec.nodeName=", "spec.nodeName!=n1,metadata.name=web", "x=y", "=", ",",
			"metadata.name=..", "metadata.name=a/b", "metadata.namespace=a,metadata.namespace=b", `metadata.name=a\,b`},
		"timeout": {"1s", "x"},
		"pretty":  {"1"},
	}
	paths := []string{
		"pods", "nodes", "namespaces/b/pods", "namespaces/none/pods", "namespaces/%2e%2e/pods", "namespaces/a%2Fb/pods",
		"watch/pods", "watch/nodes", "watch/namespaces/b/pods", "watch/namespaces/b/pods/web", "watch/nodes/n1",
	}
	accepts := []string{asJSON, asProtobuf, asProtobuf + ";stream=watch", asTable, "application/yaml", "*/*", "x"}
	allowed := []int{200, 301, 400, 404, 406, 410, 422, 504}
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range values {
			if !yield(name) {
				return
			}
		}
	})
	for range 2000 {
		query := url.Values{}
		for _, name := range names {
			if rng.IntN(4) == 0 {
				query.Set(name, values[name][rng.IntN(len(values[name]))])
			}
		}
		if rng.IntN(2) == 0 {
			query.Set("watch", "1")
		}
		path := prefix + []string{"v1/", "v1beta1/"}[rng.IntN(2)] + paths[rng.IntN(len(paths))] + "?" + query.Encode()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accepts[rng.IntN(len(accepts))])
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		resp.Body.Close() // for a watch, that is its end
		if !slices.Contains(allowed, resp.StatusCode) {
			t.Errorf("%s (%s): %s", path, req.Header.Get("Accept"), resp.Status)
		}
	}
	if got := strings.Join(namesOf(page(t, server, "v1/pods")), " "); got != "a/web b/db b/web" {
		t.Errorf("after all that: %s", got)
	}
}
