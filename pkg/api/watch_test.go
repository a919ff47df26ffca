// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientfeatures "k8s.io/client-go/features"
	clientfeaturestesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	componentmetrics "k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"
	metricsv1 "k8s.io/metrics/pkg/apis/metrics/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/clientset/versioned"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/store"
)

const (
	asJSON     = "application/json"
	asProtobuf = "application/vnd.kubernetes.protobuf"
	asTable    = "application/json;as=Table;v=v1;g=meta.k8s.io"
)

// patience is how long what has to come may take, before the test fails.
const patience = 30 * time.Second

// clientset returns a client that speaks an encoding.
func clientset(t *testing.T, server *httptest.Server, encoding string) *versioned.Clientset {
	t.Helper()
	config := &rest.Config{
		Host: server.URL, QPS: -1,
		ContentConfig: rest.ContentConfig{ContentType: encoding, AcceptContentTypes: encoding},
	}
	c, err := versioned.NewForConfigAndClient(config, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// open opens a watch. It returns when the server has begun it.
func open(t *testing.T, server *httptest.Server, path, encoding string) watch.Interface {
	t.Helper()
	w, err := clientset(t, server, encoding).MetricsV1().RESTClient().Get().RequestURI(prefix + path).Watch(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	t.Cleanup(w.Stop)
	return w
}

// next returns the next event, and false at the end of the stream.
func next(t *testing.T, w watch.Interface) (watch.Event, bool) {
	t.Helper()
	select {
	case e, ok := <-w.ResultChan():
		return e, ok
	case <-time.After(patience):
		t.Fatal("no event comes")
		return watch.Event{}, false
	}
}

// expect reads as many events as there are words in want, each as summary makes
// them, and returns them.
func expect(t *testing.T, w watch.Interface, want string) []watch.Event {
	t.Helper()
	var events []watch.Event
	var got []string
	for range strings.Fields(want) {
		e, ok := next(t, w)
		if !ok {
			got = append(got, "end")
			break
		}
		events = append(events, e)
		got = append(got, summary(e))
	}
	if strings.Join(got, " ") != strings.Join(strings.Fields(want), " ") {
		t.Fatalf("\n got %q\nwant %q", got, strings.Fields(want))
	}
	return events
}

// expectEnd wants the stream to end now.
func expectEnd(t *testing.T, w watch.Interface) {
	t.Helper()
	if e, ok := next(t, w); ok {
		t.Fatalf("got %s, want the end", summary(e))
	}
}

// summary is +b/db for an object that is added, ~b/db for one that is modified,
// -b/db for one that is deleted.
func summary(e watch.Event) string {
	if status, ok := e.Object.(*metav1.Status); ok {
		return fmt.Sprintf("%s:%d:%s", e.Type, status.Code, status.Reason)
	}
	o, err := meta.Accessor(e.Object)
	if err != nil {
		return err.Error()
	}
	if e.Type == watch.Bookmark {
		if o.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			return "initial-events-end"
		}
		return "bookmark"
	}
	mark := map[watch.EventType]string{watch.Added: "+", watch.Modified: "~", watch.Deleted: "-"}[e.Type]
	return mark + strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
}

// versionOf returns the resource version of a list or object.
func versionOf(t *testing.T, object any) uint64 {
	t.Helper()
	m, err := meta.CommonAccessor(object)
	if err != nil {
		t.Fatal(err)
	}
	return parseVersion(t, m.GetResourceVersion())
}

func parseVersion(t *testing.T, version string) uint64 {
	t.Helper()
	v, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// listed returns the resource version of a list, and what is in it.
func listed(t *testing.T, server *httptest.Server, path string) (version string, names []string) {
	t.Helper()
	l := page(t, server, path)
	return l.ResourceVersion, namesOf(l)
}

func page(t *testing.T, server *httptest.Server, path string) metav1.PartialObjectMetadataList {
	t.Helper()
	status, body := get(t, server, prefix+path, asJSON)
	var l metav1.PartialObjectMetadataList
	if err := json.Unmarshal(body, &l); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %v %s", path, status, err, body)
	}
	return l
}

func namesOf(l metav1.PartialObjectMetadataList) (names []string) {
	for _, o := range l.Items {
		names = append(names, strings.TrimPrefix(o.Namespace+"/"+o.Name, "/"))
	}
	return names
}

// The same watches in both versions and encodings, all at once, through all that
// can happen to an object.
func TestWatchesTellWhatConcernsThem(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	tests := []struct{ path, initial, changes string }{
		{"pods", "+a/web +b/db +b/web",
			"~a/web ~b/db ~b/web  ~a/web  ~a/web ~b/db -b/web  ~a/web ~b/db +b/web " +
				"~a/web -b/db ~b/web  ~a/web ~b/web +none/last  -a/web -b/web -none/last"},
		{"namespaces/b/pods", "+b/db +b/web", "~b/db ~b/web  ~b/db -b/web  ~b/db +b/web  -b/db ~b/web  ~b/web  -b/web"},
		{"namespaces/none/pods", "", "+none/last -none/last"},
		{"namespaces/b/pods?fieldSelector=metadata.name%3Dweb", "+b/web", "~b/web -b/web +b/web ~b/web ~b/web -b/web"},
		{"pods?fieldSelector=metadata.name%3Dweb,metadata.namespace%3Db", "+b/web", "~b/web -b/web +b/web ~b/web ~b/web -b/web"},
		{"pods?fieldSelector=metadata.name%3Ddb", "+b/db", "~b/db ~b/db ~b/db -b/db"},
		{"pods?fieldSelector=metadata.namespace!%3Db", "+a/web", "~a/web ~a/web ~a/web ~a/web ~a/web ~a/web +none/last -a/web -none/last"},
		{"pods?fieldSelector=spec.nodeName%3Dn1", "+a/web +b/db",
			"~a/web ~b/db  ~a/web  ~a/web ~b/db  ~a/web ~b/db +b/web  ~a/web -b/db ~b/web  ~a/web ~b/web  -a/web -b/web"},
		{"pods?fieldSelector=spec.nodeName%3Dn2", "+b/web", "~b/web -b/web +none/last -none/last"},
		{"namespaces/b/pods?fieldSelector=spec.nodeName!%3Dn2", "+b/db", "~b/db ~b/db ~b/db +b/web -b/db ~b/web ~b/web -b/web"},
		{"pods?labelSelector=app%3Ddb", "+b/db", "~b/db +a/web ~a/web ~b/db ~a/web ~b/db ~a/web -b/db ~a/web -a/web"},
		{"pods?labelSelector=app+in+(web,last)", "+a/web +b/web", "~a/web ~b/web -a/web -b/web +b/web ~b/web ~b/web +none/last -b/web -none/last"},
		{"pods?labelSelector=app!%3Ddb", "+a/web +b/web", "~a/web ~b/web -a/web -b/web +b/web ~b/web ~b/web +none/last -b/web -none/last"},
		{"namespaces/a/pods?labelSelector=app", "+a/web", "~a/web ~a/web ~a/web ~a/web ~a/web ~a/web -a/web"},
		{"pods?labelSelector=app%3Ddb&fieldSelector=spec.nodeName%3Dn1,metadata.namespace%3Da", "", "+a/web ~a/web ~a/web ~a/web ~a/web -a/web"},
		{"nodes", "+n1 +n2", "~n1 ~n2  ~n1 ~n2  ~n1 ~n2  ~n1 ~n2  ~n1 ~n2  ~n1  -n1 -n2"},
		{"nodes?fieldSelector=metadata.name%3Dn1", "+n1", "~n1 ~n1 ~n1 ~n1 ~n1 ~n1 -n1"},
		{"nodes?labelSelector=zone%3D2", "+n2", "~n2 ~n2 ~n2 ~n2 ~n2 +n1 -n1 -n2"},
		{"nodes?labelSelector=zone+notin+(2)", "+n1", "~n1 ~n1 ~n1 ~n1 ~n1 -n1"},
	}
	type opened struct {
		watch.Interface
		name, want string
		beta       bool
	}
	var watches []opened
	for _, tt := range tests {
		for _, version := range []string{"v1", "v1beta1"} {
			for _, encoding := range []string{asJSON, asProtobuf} {
				join := "?"
				if strings.Contains(tt.path, "?") {
					join = "&"
				}
				w := opened{
					open(t, server, version+"/"+tt.path+join+"watch=1", encoding),
					version + "/" + tt.path + " " + encoding, tt.changes, version == "v1beta1",
				}
				expect(t, w, tt.initial)
				watches = append(watches, w)
			}
		}
	}

	scrape(s, clk, 2, []string{"a/web", "b/db"}, []string{"b/web"})
	s.SetPod(store.PodMetadata{Namespace: "a", Name: "web", UID: "a/web", Node: "n1", Labels: map[string]string{"app": "db"}})
	// A window on n2 is not continued on n1.
	scrape(s, clk, 3, []string{"a/web", "b/db", "b/web"}, nil)
	s.SetPod(store.PodMetadata{Namespace: "b", Name: "web", UID: "b/web", Node: "n1", Labels: map[string]string{"app": "web"}})
	scrape(s, clk, 4, []string{"a/web", "b/db", "b/web"}, nil)
	s.SetPod(store.PodMetadata{Namespace: "none", Name: "last", UID: "none/last", Node: "n2", Labels: map[string]string{"app": "last"}})
	scrape(s, clk, 5, []string{"a/web", "b/web"}, []string{"none/last"})
	scrape(s, clk, 6, []string{"a/web", "b/web"}, []string{"none/last"})
	s.SetNode("n1", map[string]string{"zone": "2"})
	s.SyncPods(nil)
	s.RemoveNode("n1")
	s.RemoveNode("n2")

	for _, w := range watches {
		t.Run(w.name, func(t *testing.T) {
			before := uint64(0)
			for _, e := range expect(t, w, w.want) {
				if version := versionOf(t, e.Object); version <= before {
					t.Errorf("%s has resource version %d after %d", summary(e), version, before)
				} else {
					before = version
				}
				switch e.Object.(type) {
				case *metricsv1.PodMetrics, *metricsv1.NodeMetrics:
					if w.beta {
						t.Errorf("%T in v1beta1", e.Object)
					}
				case *metricsv1beta1.PodMetrics, *metricsv1beta1.NodeMetrics:
					if !w.beta {
						t.Errorf("%T in v1", e.Object)
					}
				default:
					t.Errorf("%T", e.Object)
				}
			}
		})
	}
}

// lines reads a stream of events as they are on the wire.
type lines struct {
	t *testing.T
	*bufio.Scanner
}

func newLines(t *testing.T, body io.Reader) lines {
	scanner := bufio.NewScanner(body)
	scanner.Buffer(nil, 1<<20)
	return lines{t, scanner}
}

func openLines(t *testing.T, server *httptest.Server, path, accept string) lines {
	t.Helper()
	return newLines(t, openStream(t, server, path, accept))
}

// openStream returns the body of an answer, and leaves it when the test ends.
func openStream(t *testing.T, server *httptest.Server, path, accept string) io.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+prefix+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	return resp.Body
}

// next decodes the next event's object and returns the event's type, "" at the
// end of the stream.
func (l lines) next(object any) string {
	l.t.Helper()
	if !l.Scan() {
		if err := l.Err(); err != nil {
			l.t.Fatal(err)
		}
		return ""
	}
	var event struct {
		Type   string
		Object json.RawMessage
	}
	if err := json.Unmarshal(l.Bytes(), &event); err != nil {
		l.t.Fatalf("%v: %s", err, l.Bytes())
	}
	if err := json.Unmarshal(event.Object, object); err != nil {
		l.t.Fatalf("%v: %s", err, event.Object)
	}
	return event.Type
}

// A watch's object is what a GET says, to the letter.
func TestWatchedObjectIsThatOfAGet(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	tests := []struct{ object, watch string }{
		{"v1/namespaces/b/pods/db", "v1/namespaces/b/pods?watch=1&fieldSelector=metadata.name%3Ddb"},
		{"v1beta1/namespaces/b/pods/db", "v1beta1/pods?watch=true&labelSelector=app%3Ddb"},
		{"v1/namespaces/b/pods/db", "v1/watch/namespaces/b/pods/db"}, // deprecated, and as in every API
		{"v1/nodes/n2", "v1/nodes?watch=1&labelSelector=zone%3D2"},
		{"v1beta1/nodes/n2", "v1beta1/watch/nodes/n2"},
	}
	for _, tt := range tests {
		l := openLines(t, server, tt.watch, asJSON)
		for _, wantType := range []string{"ADDED", "MODIFIED"} {
			_, want := get(t, server, prefix+tt.object, asJSON)
			var got json.RawMessage
			if gotType := l.next(&got); gotType != wantType || string(got) != strings.TrimSpace(string(want)) {
				t.Errorf("%s:\n got %s %s\nwant %s %s", tt.watch, gotType, got, wantType, want)
			}
			if wantType == "ADDED" {
				scrape(s, clk, nextRound(clk), []string{"a/web", "b/db"}, []string{"b/web"})
			}
		}
	}
}

// nextRound is the number of the round after the one that the clock shows.
func nextRound(clk *clocktesting.FakeClock) uint64 {
	return uint64(clk.Since(start)/(15*time.Second)) + 1
}

// What is deleted is told as it was, with the revision of its end.
func TestDeletedIsTheLastValue(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	pods := open(t, server, "v1/pods?watch=1&fieldSelector=metadata.name%3Ddb", asProtobuf)
	nodes := open(t, server, "v1/nodes?watch=1&fieldSelector=metadata.name%3Dn1", asProtobuf)
	expect(t, pods, "+b/db")
	expect(t, nodes, "+n1")
	scrape(s, clk, 2, []string{"b/db"}, nil)
	lastPod := expect(t, pods, "~b/db")[0].Object.(*metricsv1.PodMetrics)
	lastNode := expect(t, nodes, "~n1")[0].Object.(*metricsv1.NodeMetrics)
	s.RemovePod("b", "db")
	s.RemoveNode("n1")
	pod := expect(t, pods, "-b/db")[0].Object.(*metricsv1.PodMetrics)
	node := expect(t, nodes, "-n1")[0].Object.(*metricsv1.NodeMetrics)
	if versionOf(t, pod) <= versionOf(t, lastPod) || versionOf(t, node) <= versionOf(t, lastNode) {
		t.Error("an end is no newer than what it ends")
	}
	pod.ResourceVersion, node.ResourceVersion = lastPod.ResourceVersion, lastNode.ResourceVersion
	if want := start.Add(30 * time.Second); !reflect.DeepEqual(pod, lastPod) || !pod.Timestamp.Time.Equal(want) {
		t.Errorf("\n got %+v\nwant %+v", pod, lastPod)
	}
	if !reflect.DeepEqual(node, lastNode) {
		t.Errorf("\n got %+v\nwant %+v", node, lastNode)
	}
}

// The clock alone ends what is too old, when somebody asks the store to look.
func TestWatchTellsOfWhatIsTooOld(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	pods := open(t, server, "v1/namespaces/b/pods?watch=1", asJSON)
	nodes := open(t, server, "v1/nodes?watch=1", asJSON)
	expect(t, pods, "+b/db +b/web")
	expect(t, nodes, "+n1 +n2")
	clk.Step(time.Minute)
	s.Expire()
	scrape(s, clk, 5, []string{"a/web", "b/db"}, nil) // a later sample than the last
	clk.Step(time.Second)
	s.Expire()
	expect(t, pods, "~b/db -b/web")
	expect(t, nodes, "~n1 ~n2")
}

func TestWatchAsTable(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	tests := []struct {
		path   string
		events []string
	}{
		{"v1/namespaces/b/pods?watch=1", []string{
			"ADDED [Name CPU Memory Swap/1 Window] db 255m 51Mi <none> 15s", "ADDED [] web 1m 1Mi <none> 15s",
			"MODIFIED [] db 255m 51Mi <none> 15s", "DELETED [] web 1m 1Mi <none> 15s",
		}},
		{"v1beta1/nodes?watch=1", []string{
			"ADDED [Name CPU Memory Swap/1 Window] n1 1 2Gi <none> 15s", "ADDED [] n2 2500m 4Gi 64Mi 15s",
			"MODIFIED [] n1 1 2Gi <none> 15s", "MODIFIED [] n2 2500m 4Gi 64Mi 15s",
		}},
		// The columns are there whatever is first.
		{"v1/nodes?watch=1&labelSelector=zone%3D2", []string{
			"ADDED [Name CPU Memory Swap/1 Window] n2 2500m 4Gi 64Mi 15s", "MODIFIED [] n2 2500m 4Gi 64Mi 15s",
		}},
	}
	opened := make([]lines, len(tests))
	for i, tt := range tests {
		opened[i] = openLines(t, server, tt.path, asTable)
	}
	wantNext := func(l lines, want string) {
		t.Helper()
		var table metav1.Table
		eventType := l.next(&table)
		columns := []string{}
		for _, c := range table.ColumnDefinitions {
			if c.Priority != 0 {
				c.Name += fmt.Sprint("/", c.Priority)
			}
			columns = append(columns, c.Name)
		}
		got := fmt.Sprint(eventType, " ", columns)
		for _, r := range table.Rows {
			for _, c := range r.Cells {
				got += fmt.Sprint(" ", c)
			}
		}
		if got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
		if version, row := versionOf(t, &table), (metav1.PartialObjectMetadata{}); len(table.Rows) != 1 {
			t.Errorf("%d rows", len(table.Rows))
		} else if err := json.Unmarshal(table.Rows[0].Object.Raw, &row); err != nil || versionOf(t, &row) != version {
			t.Errorf("the row's object is %+v (%v), the table's resource version %d", row, err, version)
		}
	}
	for i, tt := range tests {
		for _, want := range tt.events[:len(tt.events)/2] {
			wantNext(opened[i], want)
		}
	}
	scrape(s, clk, 2, []string{"a/web", "b/db"}, nil)
	for i, tt := range tests {
		for _, want := range tt.events[len(tt.events)/2:] {
			wantNext(opened[i], want)
		}
	}
}

func TestWatchAsObjectMetadata(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	l := openLines(t, server, "v1/pods?watch=1&labelSelector=app%3Ddb", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
	var got metav1.PartialObjectMetadata
	if eventType := l.next(&got); eventType != "ADDED" || got.Kind != "PartialObjectMetadata" || got.Name != "db" || got.Labels["app"] != "db" {
		t.Errorf("%s %+v", eventType, got)
	}
}

// What is between a list and the watch from its version is told, and so is what
// comes after.
func TestWatchFromAListMissesNothing(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	version, names := listed(t, server, "v1/pods")
	if got := strings.Join(names, " "); got != "a/web b/db b/web" {
		t.Fatal(got)
	}
	nodeVersion, _ := listed(t, server, "v1/nodes")
	object := page(t, server, "v1/namespaces/b/pods?fieldSelector=metadata.name%3Dweb").Items[0]

	scrape(s, clk, 2, []string{"a/web", "b/db"}, []string{"b/web", "b/new"})
	scrape(s, clk, 3, []string{"a/web"}, []string{"b/web", "b/new"})
	from := "watch=1&resourceVersion=" + version
	all := open(t, server, "v1/pods?"+from, asProtobuf)
	one := open(t, server, "v1/pods?watch=1&fieldSelector=metadata.name%3Dweb,metadata.namespace%3Db&resourceVersion="+object.ResourceVersion, asJSON)
	label := open(t, server, "v1/pods?labelSelector=app%3Ddb&"+from, asJSON)
	onNode := open(t, server, "v1/pods?fieldSelector=spec.nodeName%3Dn2&"+from, asJSON)
	nodes := open(t, server, "v1/nodes?watch=1&resourceVersion="+nodeVersion, asJSON)

	// Of each object the newest state is told.
	expect(t, all, "~a/web -b/db +b/new ~b/web")
	expect(t, one, "~b/web")
	expect(t, label, "-b/db")
	expect(t, onNode, "+b/new ~b/web")
	expect(t, nodes, "~n1 ~n2")

	scrape(s, clk, 4, []string{"a/web", "b/db"}, []string{"b/web"})
	scrape(s, clk, 5, []string{"a/web", "b/db"}, []string{"b/web"})
	expect(t, all, "~a/web -b/new ~b/web  ~a/web +b/db ~b/web")
	expect(t, one, "~b/web ~b/web")
	expect(t, label, "+b/db")
	expect(t, onNode, "-b/new ~b/web ~b/web")
	expect(t, nodes, "~n1 ~n2 ~n1 ~n2")
}

func TestEverythingHasAResourceVersion(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	for _, version := range []string{"v1", "v1beta1"} {
		for _, resource := range []string{"pods", "nodes"} {
			l := page(t, server, version+"/"+resource)
			newest := versionOf(t, &l)
			for i := range l.Items {
				o := &l.Items[i]
				path := version + "/" + resource + "/" + o.Name
				if o.Namespace != "" {
					path = version + "/namespaces/" + o.Namespace + "/" + resource + "/" + o.Name
				}
				_, body := get(t, server, prefix+path, asJSON)
				var got metav1.PartialObjectMetadata
				if err := json.Unmarshal(body, &got); err != nil || got.ResourceVersion != o.ResourceVersion || versionOf(t, &got) > newest {
					t.Errorf("%s: version %q (%v), in the list of version %d %q", path, got.ResourceVersion, err, newest, o.ResourceVersion)
				}
			}
		}
	}
}

// Where a watch begins, by all that can say so.
func TestWhereAWatchBegins(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	oldVersion, _ := listed(t, server, "v1/pods")
	scrape(s, clk, 2, []string{"a/web", "b/db"}, []string{"b/web"})
	version, _ := listed(t, server, "v1/pods")
	const (
		current  = "+a/web +b/db +b/web"
		complete = current + " initial-events-end"
		initial  = "&resourceVersionMatch=NotOlderThan&sendInitialEvents="
	)
	tests := []struct{ query, want string }{
		{"", current},
		{"&resourceVersion=0", current},
		// The generic API server takes these for requests of initial events.
		{"&allowWatchBookmarks=1", complete},
		{"&resourceVersion=0&allowWatchBookmarks=1", complete},
		{"&resourceVersion=" + version, ""},
		{"&allowWatchBookmarks=1&resourceVersion=" + version, ""},
		{"&resourceVersion=" + oldVersion, "~a/web ~b/db ~b/web"},

		{initial + "true", current},
		{initial + "true&resourceVersion=0", current},
		{initial + "true&resourceVersion=" + version, current},
		{initial + "true&resourceVersion=" + oldVersion, current},
		{initial + "true&resourceVersion=1", current}, // of a server before: this one is newer
		{initial + "true&allowWatchBookmarks=true", complete},
		{initial + "true&allowWatchBookmarks=true&resourceVersion=" + oldVersion, complete},
		{initial + "true&allowWatchBookmarks=true&resourceVersion=1", complete},
		{initial + "false", ""},
		{initial + "false&resourceVersion=0", ""},
		{initial + "false&allowWatchBookmarks=true", ""},
		{initial + "false&resourceVersion=" + version, ""},
		{initial + "false&resourceVersion=" + oldVersion, "~a/web ~b/db ~b/web"},
	}
	var opened []watch.Interface
	for _, tt := range tests {
		w := open(t, server, "v1/pods?watch=1"+tt.query, asProtobuf)
		opened = append(opened, w)
		events := expect(t, w, tt.want)
		if len(events) == 4 && versionOf(t, events[3].Object) < versionOf(t, events[2].Object) {
			t.Errorf("%s: the bookmark is of before the objects", tt.query)
		}
	}
	scrape(s, clk, 3, []string{"a/web", "b/db"}, []string{"b/web"})
	for i, tt := range tests {
		t.Run(tt.query, func(t *testing.T) { expect(t, opened[i], "~a/web ~b/db ~b/web") })
	}
}

// A bookmark ends the objects of an empty beginning, too.
func TestNothingIsThereAtTheBeginning(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	version, _ := listed(t, server, "v1/pods")
	for _, path := range []string{"v1/namespaces/none/pods", "v1/nodes"} {
		query := "?watch=1&allowWatchBookmarks=1&labelSelector=app%3Dnone"
		w := open(t, server, path+query, asJSON)
		bookmark := expect(t, w, "initial-events-end")[0]
		if got := strconv.FormatUint(versionOf(t, bookmark.Object), 10); got != version {
			t.Errorf("%s: bookmark %s, lists %s", path, got, version)
		}
	}
}

func TestExpiredVersionsAreToldInTheStream(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	listVersion, _ := listed(t, server, "v1/pods")
	first := parseVersion(t, listVersion)
	// So many changes that the first are forgotten: of pods there are three a round.
	for round := range uint64(3000) {
		scrape(s, clk, 2+round, []string{"a/web", "b/db"}, []string{"b/web"})
	}
	nowVersion, _ := listed(t, server, "v1/pods")
	now := parseVersion(t, nowVersion)
	other, _ := newStore(t)
	otherVersion, _ := listed(t, serve(t, other, clk), "v1/pods")
	for name, version := range map[string]uint64{
		"of another API": 12345, "old": first, "of no change": now - 1, "in the future": now + 1<<40, "far in the future": 1<<63 - 1,
	} {
		for _, encoding := range []string{asJSON, asProtobuf, asTable} {
			for _, query := range []string{"", "&allowWatchBookmarks=1", "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"} {
				w := open(t, server, "v1/pods?watch=1&resourceVersion="+fmt.Sprint(version)+query, encoding)
				e := expect(t, w, "ERROR:410:Expired")[0]
				if err := apierrors.FromObject(e.Object); !apierrors.IsResourceExpired(err) {
					t.Errorf("%s: %v", name, err)
				}
				expectEnd(t, w)
			}
		}
	}
	// Of another server, started at the same time: taken for one of this by
	// chance only, which has one case in 65,536.
	if w := open(t, server, "v1/pods?watch=1&resourceVersion="+otherVersion, asJSON); (now-parseVersion(t, otherVersion))%(1<<16) != 0 {
		expect(t, w, "ERROR:410:Expired")
		expectEnd(t, w)
	}
}

// Refusals come before the stream, as for lists.
func TestRefusedWatches(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	version, _ := listed(t, server, "v1/pods")
	future := fmt.Sprint(parseVersion(t, version) + 1<<40)
	tests := []struct {
		path    string
		code    int
		message string
	}{
		{"pods?resourceVersion=abc", 400, `resourceVersion "abc" is not one`},
		{"nodes?resourceVersion=-1", 400, `resourceVersion "-1" is not one`},
		{"pods?resourceVersion=1.5", 400, `resourceVersion "1.5" is not one`},
		{"pods?resourceVersion=18446744073709551616", 400, "is not one"},
		{"pods?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=x", 400, "is not one"},
		{"pods?fieldSelector=status.phase%3DRunning", 400,
			`PodMetrics cannot be selected by field "status.phase", only by metadata.name, metadata.namespace, spec.nodeName`},
		{"nodes?fieldSelector=spec.nodeName%3Dn1", 400, `NodeMetrics cannot be selected by field "spec.nodeName", only by metadata.name, metadata.namespace`},
		{"pods?labelSelector=" + strings.Repeat("!a,", 100) + "!a", 400, "the selectors have 101 requirements"},
		{"nodes?labelSelector=a+in+(" + numbers(1001) + ")", 400, "1 requirements with 1001 values"},
		{"pods?labelSelector=a%3D%3D%3Db", 400, "unable to parse requirement"},
		{"pods?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=" + future, 504, "Too large resource version: " + future},

		{"pods?sendInitialEvents=true", 422, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"},
		{"pods?sendInitialEvents=false", 422, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"},
		{"pods?sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=" + version, 422, "Unsupported value"},
		{"pods?resourceVersionMatch=NotOlderThan", 422, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"},
		{"nodes?resourceVersionMatch=Exact&resourceVersion=" + version, 422, "resourceVersionMatch is forbidden for watch unless"},
		{"pods?sendInitialEvents=true&resourceVersionMatch=Newest", 422, "Unsupported value"},
	}
	for _, tt := range tests {
		code, body := get(t, server, prefix+"v1/"+tt.path+"&watch=1&timeoutSeconds=1", asJSON)
		var got metav1.Status
		if err := json.Unmarshal(body, &got); err != nil || code != tt.code || !strings.Contains(got.Message, tt.message) {
			t.Errorf("%s: %d %v\n got %s\nwant %d %s", tt.path, code, err, body, tt.code, tt.message)
		}
	}
}

// waitFor waits for something that no channel tells.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it is never true that %s", what)
		}
	}
}

// step lets the time pass that the only watch of a server waits for.
func step(t *testing.T, clk *clocktesting.FakeClock, d time.Duration) {
	t.Helper()
	waitFor(t, "the watch waits for the time of its next bookmark", clk.HasWaiters)
	clk.Step(d)
}

func TestBookmarks(t *testing.T) {
	s, storeClock := newStore(t)
	for _, path := range []string{"v1/pods", "v1beta1/nodes"} {
		t.Run(path, func(t *testing.T) {
			clk := clocktesting.NewFakeClock(start)
			server := serve(t, s, clk)
			change := func() {
				scrape(s, storeClock, nextRound(storeClock), []string{"a/web"}, []string{"b/web"})
			}
			added, modified := "+a/web +b/web", "~a/web ~b/web"
			if strings.HasSuffix(path, "nodes") {
				added, modified = "+n1 +n2", "~n1 ~n2"
			}
			change() // b/db is gone
			w := open(t, server, path+"?watch=1&allowWatchBookmarks=1", asProtobuf)
			expect(t, w, added+" initial-events-end")
			step(t, clk, bookmarkPeriod-time.Second)
			change()
			expect(t, w, modified) // and no bookmark
			step(t, clk, time.Second)
			bookmark := expect(t, w, "bookmark")[0].Object
			version, _ := listed(t, server, path)
			if got := versionOf(t, bookmark); fmt.Sprint(got) != version {
				t.Errorf("the bookmark is of version %d, the newest is %s", got, version)
			}
			if o, err := meta.Accessor(bookmark); err != nil || o.GetName() != "" || len(o.GetAnnotations()) != 0 {
				t.Errorf("%+v (%v) tells more than a version", bookmark, err)
			}
			step(t, clk, bookmarkPeriod)
			expect(t, w, "bookmark") // even without news

			// Another watch goes on from it, and misses nothing.
			change()
			again := open(t, server, path+"?watch=1&resourceVersion="+fmt.Sprint(versionOf(t, bookmark)), asJSON)
			expect(t, again, modified)
		})
	}
}

// The version of a bookmark is the store's newest, whatever the watch selects: so
// a watch with little to tell does not fall out of the history.
func TestBookmarkOfAWatchThatSelectsNothing(t *testing.T) {
	s, storeClock := newStore(t)
	clk := clocktesting.NewFakeClock(start)
	server := serve(t, s, clk)
	w := open(t, server, "v1/namespaces/none/pods?watch=1&allowWatchBookmarks=1", asJSON)
	expect(t, w, "initial-events-end")
	scrape(s, storeClock, 2, []string{"a/web", "b/db"}, []string{"b/web"})
	step(t, clk, bookmarkPeriod)
	bookmark := expect(t, w, "bookmark")[0].Object
	if version, _ := listed(t, server, "v1/nodes"); fmt.Sprint(versionOf(t, bookmark)) != version {
		t.Errorf("the bookmark is of version %d, the newest is %s", versionOf(t, bookmark), version)
	}
}

func TestNoBookmarksUnlessAskedFor(t *testing.T) {
	s, storeClock := newStore(t)
	clk := clocktesting.NewFakeClock(start)
	server := serve(t, s, clk)
	w := open(t, server, "v1/namespaces/b/pods?watch=1", asJSON)
	expect(t, w, "+b/db +b/web")
	for round := range uint64(3) {
		step(t, clk, bookmarkPeriod)
		waitFor(t, "the watch waits again", clk.HasWaiters)
		scrape(s, storeClock, 2+round, []string{"a/web", "b/db"}, []string{"b/web"})
		expect(t, w, "~b/db ~b/web")
	}
}

// A watch that nothing happens to, by the clock.
func TestBookmarksUntilTheEnd(t *testing.T) {
	const bookmark = "BOOKMARK"
	tests := []struct {
		name, query string
		want        []string
	}{
		{"shortly before the end, too", "allowWatchBookmarks=1&timeoutSeconds=150",
			[]string{"ADDED 0s", bookmark + " 0s", bookmark + " 1m0s", bookmark + " 2m0s", bookmark + " 2m28s", "end 2m30s"}},
		{"shorter than the period", "allowWatchBookmarks=1&timeoutSeconds=10",
			[]string{"ADDED 0s", bookmark + " 0s", bookmark + " 8s", "end 10s"}},
		{"too short for one before the end", "allowWatchBookmarks=1&timeoutSeconds=2", []string{"ADDED 0s", bookmark + " 0s", "end 2s"}},
		{"not asked for", "timeoutSeconds=150", []string{"ADDED 0s", "end 2m30s"}},
	}
	for _, http2 := range []bool{false, true} {
		for _, tt := range tests {
			f := newFleet(start, 1)
			f.serve(0, "ns/a")
			inBubble(t, tt.name, f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
				began := time.Now()
				l := newLines(t, b.get("v1/pods?watch=1&"+tt.query))
				var got []string
				for {
					var object metav1.PartialObjectMetadata
					event := l.next(&object) // an error if the connection just ends
					got = append(got, fmt.Sprint(cmp.Or(event, "end"), " ", time.Since(began)))
					if event == "" {
						break
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("\n got %q\nwant %q", got, tt.want)
				}
			})
		}
	}
}

// What is deleted has not been served, and is no fresher for it.
func TestFreshnessIsOfWhatIsServed(t *testing.T) {
	s, storeClock := newStore(t)
	clk := clocktesting.NewFakeClock(start.Add(20 * time.Second))
	handler, registry := newHandler(t, s, clk, StallLimit)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	check := func(what string, count uint64, sum float64) {
		t.Helper()
		h, err := testutil.GetHistogramVecFromGatherer(registry, "metrics_server_api_metric_freshness_seconds", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.GetAggregatedSampleCount(); got != count || h.GetAggregatedSampleSum() != sum {
			t.Errorf("after %s: %d samples of %v s, want %d of %v s", what, got, h.GetAggregatedSampleSum(), count, sum)
		}
	}
	w := open(t, server, "v1/pods?watch=1&allowWatchBookmarks=1", asJSON)
	expect(t, w, "+a/web +b/db +b/web initial-events-end")
	check("the beginning of a watch", 3, 15)
	s.RemovePod("b", "db")
	scrape(s, storeClock, 2, nil, nil) // a/web and b/web are not reported any more
	expect(t, w, "-b/db -a/web -b/web")
	check("deletions", 3, 15)
	scrape(s, storeClock, 3, nil, []string{"b/web"})
	scrape(s, storeClock, 4, nil, []string{"b/web"}) // at 60 s, which is in the future of the API's clock
	scrape(s, storeClock, 5, nil, []string{"b/web"})
	expect(t, w, "+b/web ~b/web")
	check("news of the future", 5, 15)
	page(t, server, "v1/pods")
	check("a list", 6, 15)
}

// traffic counts what an informer asks for.
type traffic struct {
	mu                     sync.Mutex
	lists, pages, streamed int
}

func (c *traffic) count(req *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch query := req.URL.Query(); {
	case query.Get("watch") == "":
		c.lists++
		if query.Get("continue") != "" {
			c.pages++
		}
	case query.Get("sendInitialEvents") == "true":
		c.streamed++
	}
}

// informers are of both resources and versions, with both encodings.
func informers(t *testing.T, server *httptest.Server) map[string]cache.SharedIndexInformer {
	t.Helper()
	asProtobuf, asJSON := clientset(t, server, asProtobuf), clientset(t, server, asJSON)
	pods, nodes, some := asProtobuf.MetricsV1().PodMetricses(""), asJSON.MetricsV1beta1().NodeMetricses(), asJSON.MetricsV1beta1().PodMetricses("ns-1")
	onNode := func(o metav1.ListOptions) metav1.ListOptions {
		o.FieldSelector = "spec.nodeName=n2"
		return o
	}
	lists := map[string]*cache.ListWatch{
		"v1/pods": {
			ListWithContextFunc:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) },
			WatchFuncWithContext: pods.Watch,
		},
		"v1/pods?fieldSelector=spec.nodeName%3Dn2": {
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return pods.List(ctx, onNode(o))
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return pods.Watch(ctx, onNode(o))
			},
		},
		"v1beta1/namespaces/ns-1/pods": {
			ListWithContextFunc:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return some.List(ctx, o) },
			WatchFuncWithContext: some.Watch,
		},
		"v1beta1/nodes": {
			ListWithContextFunc:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return nodes.List(ctx, o) },
			WatchFuncWithContext: nodes.Watch,
		},
	}
	result := map[string]cache.SharedIndexInformer{}
	for path, l := range lists {
		informer := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(l, asJSON), nil, 0, nil)
		result[path] = informer
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { informer.RunWithContext(ctx) })
		t.Cleanup(func() {
			cancel()
			running.Wait()
		})
	}
	return result
}

// waitForEqual waits until an informer has what a list has, in the same versions.
func waitForEqual(t *testing.T, server *httptest.Server, path string, informer cache.SharedIndexInformer) {
	t.Helper()
	waitFor(t, "the informer of "+path+" has synced", informer.HasSynced)
	want := map[string]string{}
	for _, o := range page(t, server, path).Items {
		want[strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")] = o.ResourceVersion
	}
	got := map[string]string{}
	defer func() {
		if t.Failed() {
			t.Logf("%s:\n got %v\nwant %v", path, got, want)
		}
	}()
	waitFor(t, "the informer of "+path+" has what there is", func() bool {
		clear(got)
		for _, o := range informer.GetStore().List() {
			m := o.(metav1.Object)
			got[strings.TrimPrefix(m.GetNamespace()+"/"+m.GetName(), "/")] = m.GetResourceVersion()
		}
		return maps.Equal(got, want)
	})
}

// Informers begin while everything changes, and have what there is in the end.
func TestInformersFollow(t *testing.T) {
	for _, watchList := range []bool{true, false} {
		t.Run(fmt.Sprint("WatchList ", watchList), func(t *testing.T) {
			clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, watchList)
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			c := newChurn(seed, 4, 1500) // a reflector asks for 500 a page
			handler, _ := newHandler(t, c.Store, clock.RealClock{}, StallLimit)
			var asked traffic
			more, stop := c.start()
			defer stop()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				asked.count(req)
				more()
				handler.ServeHTTP(w, req)
			}))
			t.Cleanup(server.Close)
			all := informers(t, server)
			for path, informer := range all {
				waitFor(t, "the informer of "+path+" has synced", informer.HasSynced)
			}
			if watchList != (asked.streamed > 0) || watchList != (asked.lists == 0) || watchList != (asked.pages == 0) {
				t.Errorf("%d streams with initial events, %d lists and %d pages", asked.streamed, asked.lists, asked.pages)
			}
			stop()
			for path, informer := range all {
				waitForEqual(t, server, path, informer)
			}
			for range 20 {
				c.turn()
			}
			for path, informer := range all {
				waitForEqual(t, server, path, informer)
			}
		})
	}
}

// Another server has other versions: newer ones, or older ones where its clock is
// behind, as another replica's are. Informers list again.
func TestInformersGoOnWithAnotherServer(t *testing.T) {
	for _, watchList := range []bool{true, false} {
		for _, later := range []time.Duration{time.Hour, -time.Hour} {
			t.Run(fmt.Sprint("WatchList ", watchList, ", ", later, " later"), func(t *testing.T) {
				clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, watchList)
				first, second := newFleet(start, 3), newFleet(start.Add(later), 3)
				first.serve(0, "ns-1/both", "ns-1/before")
				second.serve(2, "ns-1/both", "ns-1/after")
				var handler atomic.Pointer[http.Handler]
				handlerOf := func(f *fleet) *http.Handler {
					h, _ := newHandler(t, f.Store, clock.RealClock{}, StallLimit)
					return &h
				}
				handler.Store(handlerOf(first))
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					(*handler.Load()).ServeHTTP(w, req)
				}))
				t.Cleanup(server.Close)
				all := informers(t, server)
				for path, informer := range all {
					waitForEqual(t, server, path, informer)
				}
				handler.Store(handlerOf(second))
				server.CloseClientConnections()
				for path, informer := range all {
					waitForEqual(t, server, path, informer)
				}
				second.scrape(2, "ns-1/after")
				for path, informer := range all {
					waitForEqual(t, server, path, informer)
				}
			})
		}
	}
}

// Nothing is left of watches that are gone, whatever they were doing.
func TestWatchesLeaveNothingBehind(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	c := newChurn(seed, 4, 40)
	handler, _ := newHandler(t, c.Store, clock.RealClock{}, StallLimit)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client := server.Client()
	page(t, server, "v1/pods")
	client.CloseIdleConnections()
	before := goruntime.NumGoroutine()
	queries := []string{
		"v1/pods?watch=1", "v1beta1/namespaces/ns-1/pods?watch=1&allowWatchBookmarks=1", "v1/nodes?watch=1", "v1/pods?watch=1&labelSelector=turn+in+(1,2)",
		"v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn1", "v1/pods?watch=1&resourceVersion=1", "v1/namespaces/none/pods?watch=1",
		"v1/nodes?watch=1&timeoutSeconds=1", "v1beta1/pods?watch=1&labelSelector=app%3Dx,turn%3D3", "v1/pods?watch=1&resourceVersion=",
	}
	ends := make([]func(), 50)
	end := func(i int) {
		if ends[i] != nil {
			ends[i]()
		}
	}
	for range 1000 {
		i := rng.IntN(len(ends))
		end(i)
		query := queries[rng.IntN(len(queries))]
		if strings.HasSuffix(query, "resourceVersion=") {
			query += fmt.Sprint(c.Revision())
		}
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+prefix+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", []string{asJSON, asProtobuf, asTable}[rng.IntN(3)])
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", query, resp.Status)
		}
		var reading sync.WaitGroup
		if rng.IntN(3) > 0 { // the others never read
			reading.Go(func() { _, _ = io.Copy(io.Discard, resp.Body) }) // an error when it is ended
		}
		ends[i] = func() {
			cancel()
			reading.Wait()
			resp.Body.Close()
		}
		if rng.IntN(3) == 0 {
			c.turn()
		}
	}
	for i := range ends {
		end(i)
	}
	client.CloseIdleConnections()
	waitFor(t, fmt.Sprint("there are no more than the ", before, " goroutines of before"), func() bool { return goruntime.NumGoroutine() <= before })
}

// Without watches, discovery does not announce them, and all else is served.
func TestWatchDisabled(t *testing.T) {
	s := store.New(clock.RealClock{}, time.Hour)
	m, err := NewMetrics(componentmetrics.NewKubeRegistry().Register, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(newHandlerWith(t, s, NewListMemory(math.MaxInt64, 0, m), StallLimit, false))
	defer server.Close()
	for _, version := range []string{"v1", "v1beta1"} {
		var resources metav1.APIResourceList
		_, body := get(t, server, "/apis/metrics.k8s.io/"+version, asJSON)
		if err := json.Unmarshal(body, &resources); err != nil {
			t.Fatal(err)
		}
		if len(resources.APIResources) != 2 {
			t.Errorf("%s has the resources %v", version, resources.APIResources)
		}
		for _, r := range resources.APIResources {
			if got := r.Verbs.String(); got != "[get list]" {
				t.Errorf("%s of %s has the verbs %s", r.Name, version, got)
			}
			for path, want := range map[string]int{
				"/apis/metrics.k8s.io/" + version + "/" + r.Name:                 http.StatusOK,
				"/apis/metrics.k8s.io/" + version + "/" + r.Name + "?watch=true": http.StatusMethodNotAllowed,
			} {
				if status, body := get(t, server, path, asJSON); status != want {
					t.Errorf("%s: %d %s, want %d", path, status, body, want)
				}
			}
		}
	}
}
