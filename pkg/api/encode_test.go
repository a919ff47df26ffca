// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/metrics/pkg/apis/metrics/v1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// encoders are those of the generic API server that we do the work of.
var encoders = sync.OnceValue(func() map[string]runtime.Encoder {
	serializer := genericapiserver.NewDefaultAPIGroupInfo(metrics.GroupName, Scheme, metav1.ParameterCodec, Codecs).NegotiatedSerializer
	all := map[string]runtime.Encoder{}
	for format, mediaType := range map[string]string{"json": runtime.ContentTypeJSON, "protobuf": runtime.ContentTypeProtobuf} {
		info, _ := runtime.SerializerInfoForMediaType(serializer.SupportedMediaTypes(), mediaType)
		for _, version := range []schema.GroupVersion{v1.SchemeGroupVersion, v1beta1.SchemeGroupVersion} {
			all[version.Version+" "+format] = serializer.EncoderForVersion(info.Serializer, version)
		}
	}
	return all
})

// labelled returns a node and a pod with these labels, as a store has them.
func labelled(labels map[string]string) (store.NodeUsage, store.PodUsage) {
	s := store.New(clocktesting.NewFakePassiveClock(start), time.Hour)
	s.SetNode("n", labels)
	s.SetPod(store.PodMetadata{Namespace: "ns", Name: "p", UID: "1", Node: "n", Labels: labels})
	for round := range uint64(2) {
		now := start.Add(time.Duration(round) * 15 * time.Second)
		usage := exposition.Usage{Time: now.UnixNano(), CPU: 1e9 * (round + 1), Memory: 1, Has: all}
		s.Put("n", &exposition.Samples{Node: usage, Containers: []exposition.Container{
			{Namespace: []byte("ns"), Pod: []byte("p"), Name: []byte("c"), Usage: usage},
		}}, now)
	}
	return s.Nodes(store.Query{}).Items[0], s.Pods(store.Query{}).Items[0]
}

// oddStrings need escapes, are no UTF-8, or take a long length.
var oddStrings = []string{
	"", "web", "web-7d4b9c6f5d-x2x4z", "a<b>&c", `"quoted" \ back`, "\x00\n\r\t\b\f\x1f\x7f", "é世界🙂", "\u2028 \u2029", "\xff\xfe", "\xc3(",
	strings.Repeat("x", 127), strings.Repeat("y", 128), strings.Repeat("<", 300), strings.Repeat("z", 20000),
}

var oddValues = []uint64{
	0, 1, 9, 10, 999, 1000, 1001, 1023, 1024, 1025, 1 << 20, 3 << 20, 1 << 30, 1 << 60, 7 << 60, 1e6, 1e9, 15e8, 1e18, 9e18, 123456789,
	math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64,
}

func oneOf[E any](r *rand.Rand, of []E) E { return of[r.IntN(len(of))] }

func oddUsage(r *rand.Rand) store.Usage {
	return store.Usage{CPU: oneOf(r, oddValues), Memory: oneOf(r, oddValues), Swap: oneOf(r, oddValues), HasSwap: r.IntN(2) == 0}
}

func oddTime(r *rand.Rand) (time.Time, time.Duration) {
	times := []int64{0, 1, -1, start.UnixNano(), math.MaxInt64, math.MinInt64, r.Int64()}
	windows := []time.Duration{0, 1, 1500, 15 * time.Second, 15001 * time.Millisecond, time.Hour + 1, -time.Second, math.MaxInt64, math.MinInt64, time.Duration(r.Int64())}
	t := time.Unix(0, oneOf(r, times))
	if r.IntN(20) == 0 {
		t = time.Time{}
	}
	return t, oneOf(r, windows)
}

// oddLists returns a list of nodes and one of pods.
func oddLists(r *rand.Rand, items int) (nodes, pods *objectList) {
	meta := metav1.ListMeta{ResourceVersion: oneOf(r, []string{"", "1", "1764072000000000000"}), Continue: oneOf(r, []string{"", "a<b"})}
	nodes, pods = &objectList{ListMeta: meta, kind: nodeKind}, &objectList{ListMeta: meta, kind: podKind}
	// As those of a store, neighbours that have the same labels share them.
	labelledNode, labelledPod := labelled(nil)
	for range items {
		if r.IntN(3) > 0 {
			labels := map[string]string{}
			for range r.IntN(5) {
				labels[oneOf(r, oddStrings)] = oneOf(r, oddStrings)
			}
			labelledNode, labelledPod = labelled(labels)
		}
		n, p := labelledNode, labelledPod
		n.Name, n.Usage = oneOf(r, oddStrings), oddUsage(r)
		n.Timestamp, n.Window = oddTime(r)
		p.Namespace, p.Name, p.Containers = oneOf(r, oddStrings), oneOf(r, oddStrings), nil
		p.Timestamp, p.Window = oddTime(r)
		for range r.IntN(4) {
			p.Containers = append(p.Containers, store.ContainerUsage{Name: oneOf(r, oddStrings), Usage: oddUsage(r)})
		}
		nodes.Items, pods.Items = append(nodes.Items, nodeObject{&n}), append(pods.Items, podObject{&p})
	}
	return nodes, pods
}

// pieces keeps what is written, and how.
type pieces struct {
	bytes.Buffer
	sizes []int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.sizes = append(p.sizes, len(b))
	return p.Buffer.Write(b)
}

// sameAsLibrary encodes an object or list both ways, and the events of an object.
func sameAsLibrary(t *testing.T, o runtime.CacheableObject) {
	t.Helper()
	for name, encoder := range encoders() {
		e, ok := encodings[encoder.Identifier()]
		if !ok {
			t.Fatalf("%s: left to the library: %s", name, encoder.Identifier())
		}
		var got pieces
		var want bytes.Buffer
		if err := encoder.Encode(o.(runtime.Object), &got); err != nil {
			t.Fatal(err)
		}
		if err := encoder.Encode(o.GetObject(), &want); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("%s:\n got %q\nwant %q", name, got.Bytes(), want.Bytes())
		}
		if _, isList := o.(*objectList); isList && got.sizes[0] > 4 {
			// Of a longer one, the generic API server takes it that it is all.
			t.Errorf("%s: the first write has %d bytes", name, got.sizes[0])
		}
		if o, ok := o.(object); ok {
			sameEvents(t, name, e, o, want.Bytes())
		}
	}
}

// sameEvents compares the events of an object that the library has encoded.
func sameEvents(t *testing.T, name string, e encoding, o object, encoded []byte) {
	t.Helper()
	var types []string
	for _, event := range eventEncodings {
		if event.encoding != e {
			continue
		}
		types = append(types, string(event.event))
		var got pieces
		if err := event.writeEvent(&got, o); err != nil {
			t.Fatal(err)
		}
		if want := libraryEvent(t, e.format, event.event, encoded); !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("%s, %s:\n got %q\nwant %q", name, event.event, got.Bytes(), want)
		}
		if len(got.sizes) != 1 {
			t.Errorf("%s, %s: %d writes, of which a watch makes as many frames", name, event.event, len(got.sizes))
		}
	}
	if slices.Sort(types); !slices.Equal(types, []string{"ADDED", "DELETED", "MODIFIED"}) {
		t.Errorf("%s: the events that need no library are %v", name, types)
	}
}

func TestEncodingIsTheLibrarys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		nodes, pods := oddLists(r, i%20)
		sameAsLibrary(t, nodes)
		sameAsLibrary(t, pods)
		for i := range nodes.Items {
			sameAsLibrary(t, nodes.Items[i])
			sameAsLibrary(t, pods.Items[i])
		}
	}
}

// Long objects have lengths of three bytes, are larger than a piece of a list, or do
// not fit into a buffer.
func TestEncodingOfLongObjectsIsTheLibrarys(t *testing.T) {
	sizes := []int{1 << 14, 20000, pieceSize, 2 * pieceSize, 3 * pieceSize}
	for n := 1<<14 - 400; n < 1<<14; n += 25 { // one length of several gets its third byte
		sizes = append(sizes, n)
	}
	for _, size := range sizes {
		n, p := labelled(map[string]string{"app": strings.Repeat("x", size)})
		sameAsLibrary(t, nodeObject{&n})
		sameAsLibrary(t, podObject{&p})
		_, p = labelled(nil)
		p.Containers[0].Name = strings.Repeat("y", size)
		sameAsLibrary(t, podObject{&p})
	}
}

// A list is written in pieces, whatever its size.
func TestListIsWrittenInPieces(t *testing.T) {
	_, p := labelled(map[string]string{"app": "web"})
	list := &objectList{kind: podKind}
	for range 10000 {
		list.Items = append(list.Items, podObject{&p})
	}
	sameAsLibrary(t, list)
	for name, encoder := range encoders() {
		var got pieces
		if err := encoder.Encode(list, &got); err != nil {
			t.Fatal(err)
		}
		for i, size := range got.sizes {
			if size > pieceSize+1000 || size < pieceSize && i > 0 && i < len(got.sizes)-1 {
				t.Errorf("%s: piece %d of %d has %d bytes", name, i, len(got.sizes), size)
			}
		}
	}
}

// What a failed write was given is left as it was: it may still be read.
func TestFailedWriteEndsTheEncoding(t *testing.T) {
	nodes, pods := oddLists(rand.New(rand.NewPCG(3, 4)), 50)
	for name, encoder := range encoders() {
		for after := range 3 {
			w := &failing{after: after}
			if err := encoder.Encode(pods, w); !errors.Is(err, io.ErrClosedPipe) || w.after != -1 {
				t.Errorf("%s, write %d: %v, %d writes after it", name, after, err, -1-w.after)
			}
			if err := encoder.Encode(nodes, io.Discard); err != nil || string(w.given) != w.text {
				t.Errorf("%s, write %d: %v, the bytes are used again", name, after, err)
			}
		}
	}
}

// failing fails from a write on.
type failing struct {
	after int
	given []byte // to the write that failed
	text  string
}

func (f *failing) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		f.given, f.text = p, string(p)
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// The allocations for a list do not grow with its items.
func TestEncodingAListDoesNotAllocateForItems(t *testing.T) {
	nodes, pods := &objectList{kind: nodeKind}, &objectList{kind: podKind}
	for i := range 100 {
		n, p := labelled(map[string]string{"app": fmt.Sprint(i)})
		for range 20 {
			nodes.Items, pods.Items = append(nodes.Items, nodeObject{&n}), append(pods.Items, podObject{&p})
		}
	}
	for name, encoder := range encoders() {
		for _, list := range []*objectList{nodes, pods} {
			if allocs := testing.AllocsPerRun(5, func() { _ = encoder.Encode(list, io.Discard) }); allocs > 100 {
				t.Errorf("%s of %s: %v allocations", name, list.kind, allocs)
			}
		}
	}
}

func TestQuantitiesAreTheLibrarys(t *testing.T) {
	values := append([]uint64{}, oddValues...)
	for shift := range 64 {
		values = append(values, 1<<shift-1, 1<<shift, 1<<shift+1, 3<<shift)
	}
	for power := uint64(1); power < 1e19; power *= 10 {
		values = append(values, power-1, power, power+1, 7*power)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 10000 {
		v := r.Uint64() >> r.IntN(64)
		values = append(values, v, v*1000, v*1000000, v<<10, v<<20)
	}
	for _, v := range values {
		want := resource.NewScaledQuantity(clamp(v), resource.Nano)
		if got := string(appendNanocores(nil, v)); got != want.String() {
			t.Errorf("%d nanocores: got %s, want %s", v, got, want)
		}
		want = resource.NewQuantity(clamp(v), resource.BinarySI)
		if got := string(appendBytes(nil, v)); got != want.String() {
			t.Errorf("%d bytes: got %s, want %s", v, got, want)
		}
	}
}

// FuzzEncoding compares with the library's.
func FuzzEncoding(f *testing.F) {
	for i, s := range oddStrings {
		v := oddValues[i]
		f.Add("ns", s, "c", "app", s, v, v+1, v, int64(v), int64(v), uint8(i))
	}
	f.Fuzz(func(t *testing.T, namespace, name, container, key, value string, cpu, memory, swap uint64, timestamp, window int64, kind uint8) {
		var labels map[string]string
		if kind&1 != 0 {
			labels = map[string]string{key: value, value: key, "app": container}
		}
		n, p := labelled(labels)
		usage := store.Usage{CPU: cpu, Memory: memory, Swap: swap, HasSwap: kind&2 != 0}
		n.Name, n.Usage, n.Timestamp, n.Window = name, usage, time.Unix(0, timestamp), time.Duration(window)
		p.Namespace, p.Name, p.Timestamp, p.Window = namespace, name, time.Unix(0, timestamp), time.Duration(window)
		p.Containers = nil
		for range kind >> 2 & 3 {
			p.Containers = append(p.Containers, store.ContainerUsage{Name: container, Usage: usage})
		}
		meta := metav1.ListMeta{ResourceVersion: "1", Continue: value}
		_, other := labelled(nil)
		sameAsLibrary(t, nodeObject{&n})
		sameAsLibrary(t, podObject{&p})
		sameAsLibrary(t, &objectList{ListMeta: meta, kind: nodeKind, Items: []object{nodeObject{&n}, nodeObject{&n}}})
		sameAsLibrary(t, &objectList{ListMeta: meta, kind: podKind, Items: []object{podObject{&p}, podObject{&other}, podObject{&p}}})
	})
}

// libraryEvent returns what the library writes of an event whose object it has encoded, for
// a format that is JSON or protobuf.
func libraryEvent(t *testing.T, f format, eventType watch.EventType, object []byte) []byte {
	t.Helper()
	event := metav1.WatchEvent{Type: string(eventType), Object: runtime.RawExtension{Raw: object}}
	var want bytes.Buffer
	err := json.NewEncoder(&want).Encode(&event)
	if f == (protobufFormat{}) {
		want.Reset()
		var message []byte
		message, err = event.Marshal()
		want.Write(message)
	}
	if err != nil {
		t.Fatal(err)
	}
	return want.Bytes()
}

// Events of a watch have the bytes of the library too: here, those that a watch has
// when all is left to the library.
func TestWatchEventsAreTheLibrarys(t *testing.T) {
	s, clk := newStore(t)
	tests := []struct {
		encoder, path, accept string
		objects               *objectList
	}{
		{"v1 json", "v1/pods", asJSON, podsOf(s.Pods(store.Query{}))},
		{"v1beta1 protobuf", "v1beta1/nodes", asProtobuf + ";stream=watch", nodesOf(s.Nodes(store.Query{}))},
	}
	for _, by := range []string{"us", "the library"} {
		t.Run("by "+by, func(t *testing.T) {
			if by == "the library" {
				replaceEncodings(t, nil, nil)
			}
			server := serve(t, s, clk)
			for _, tt := range tests {
				encoder := encoders()[tt.encoder]
				var want []byte
				for _, o := range tt.objects.Items {
					object, err := runtime.Encode(encoder, o.GetObject())
					if err != nil {
						t.Fatal(err)
					}
					if tt.accept == asJSON {
						want = append(want, libraryEvent(t, jsonFormat{}, watch.Added, object)...)
						continue
					}
					event := libraryEvent(t, protobufFormat{}, watch.Added, object)
					want = append(binary.BigEndian.AppendUint32(want, uint32(len(event))), event...)
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(openStream(t, server, tt.path+"?watch=1", tt.accept), got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %v\n got %q\nwant %q", tt.path, err, got, want)
				}
			}
		})
	}
}

// replaceEncodings puts others in the place of what is written without the library,
// as long as the test runs.
func replaceEncodings(t *testing.T, objects map[runtime.Identifier]encoding, events map[runtime.Identifier]eventEncoding) {
	knownObjects, knownEvents := encodings, eventEncodings
	t.Cleanup(func() { encodings, eventEncodings = knownObjects, knownEvents })
	encodings, eventEncodings = objects, events
}

// The identifiers that the generic API server has for its encoders are those that are
// known here: else, all would be encoded the slow way.
func TestEncodersAreRecognized(t *testing.T) {
	objects, events := maps.Clone(encodings), maps.Clone(eventEncodings)
	for id, e := range objects {
		e.format = recognized{e.format}
		objects[id] = e
	}
	for id, e := range events {
		e.format = recognized{e.format}
		events[id] = e
	}
	replaceEncodings(t, objects, events)
	s, clk := newStore(t)
	server := serve(t, s, clk)

	type stream struct {
		io.Reader
		path, accept string
		frame        int // bytes before an event
		want         string
	}
	var streams []stream
	for accept, format := range map[string]string{asJSON: "api.jsonFormat", asProtobuf: "api.protobufFormat"} {
		for _, version := range []string{"v1", "v1beta1"} {
			recognized := "recognized " + format + " metrics.k8s.io/" + version
			for path, want := range map[string]string{
				"/pods":                 "PodMetricsList of 3",
				"/namespaces/b/pods":    "PodMetricsList of 2",
				"/namespaces/b/pods/db": "PodMetrics b/db",
				"/nodes":                "NodeMetricsList of 2",
				"/nodes/n1":             "NodeMetrics /n1",
			} {
				if _, got := get(t, server, prefix+version+path, accept); string(got) != recognized+" "+want {
					t.Errorf("%s%s as %s: %q, want %q", version, path, accept, got, recognized+" "+want)
				}
			}
			for path, want := range map[string]string{
				"/pods?watch=1&labelSelector=app%3Ddb":            "PodMetrics b/db",
				"/nodes?watch=1&fieldSelector=metadata.name%3Dn1": "NodeMetrics /n1",
			} {
				s := stream{path: version + path, accept: accept, want: recognized + " %s " + want}
				if accept == asProtobuf {
					s.accept, s.frame = accept+";stream=watch", 4
				}
				s.Reader = openStream(t, server, s.path, s.accept)
				streams = append(streams, s)
			}
		}
	}
	for _, event := range []struct {
		is     watch.EventType
		happen func()
	}{
		{watch.Added, func() {}},
		{watch.Modified, func() { scrape(s, clk, 2, []string{"a/web", "b/db"}, []string{"b/web"}) }},
		{watch.Deleted, func() { s.RemovePod("b", "db"); s.RemoveNode("n1") }},
	} {
		event.happen()
		for _, s := range streams {
			want := fmt.Sprintf(s.want, event.is)
			got := make([]byte, s.frame+len(want))
			if _, err := io.ReadFull(s, got); err != nil || string(got[s.frame:]) != want {
				t.Fatalf("%s as %s: %q (%v), want %q", s.path, s.accept, got, err, want)
			}
		}
	}
}

// recognized writes of which format, version and object it is asked to write.
type recognized struct{ format }

func (r recognized) writeList(w io.Writer, apiVersion string, l *objectList) error {
	_, err := fmt.Fprintf(w, "recognized %T %s %sList of %d", r.format, apiVersion, l.kind, len(l.Items))
	return err
}

func (r recognized) appendObject(b []byte, apiVersion string, o object) []byte {
	return fmt.Appendf(b, "recognized %T %s %s %s/%s", r.format, apiVersion, o.kind(), o.GetObjectMeta().GetNamespace(), o.GetObjectMeta().GetName())
}

func (r recognized) appendEvent(b []byte, apiVersion string, t watch.EventType, o object) []byte {
	return r.appendObject(b, fmt.Sprint(apiVersion, " ", t), o)
}

// What is long is compressed for who accepts it.
func TestLongListsAreCompressed(t *testing.T) {
	f := newFleet(start, 1)
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprintf("ns/web-%05d", i))
	}
	f.serve(0, names...)
	server := serve(t, f.Store, clocktesting.NewFakeClock(start))
	for _, accept := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		for _, tt := range []struct {
			path     string
			encoding string
		}{{"v1/pods", "gzip"}, {"v1/pods?limit=10", ""}, {"v1/nodes", ""}} {
			_, want := get(t, server, prefix+tt.path, accept)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+prefix+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", accept)
			req.Header.Set("Accept-Encoding", "gzip")
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body := io.Reader(resp.Body)
			if resp.Header.Get("Content-Encoding") == "gzip" {
				if body, err = gzip.NewReader(resp.Body); err != nil {
					t.Fatal(err)
				}
			}
			got, err := io.ReadAll(body)
			if encoding := resp.Header.Get("Content-Encoding"); err != nil || encoding != tt.encoding || !bytes.Equal(got, want) {
				t.Errorf("%s %s: %v, encoding %q, %d bytes, want %q, %d bytes", accept, tt.path, err, encoding, len(got), tt.encoding, len(want))
			}
		}
	}
}

// What the library encodes, or what is made of the objects before, is as if they
// were of the API's own types.
func TestOtherRepresentations(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	const table, partial = ";as=Table;g=meta.k8s.io;v=v1", ";g=meta.k8s.io;v=v1;as=PartialObjectMetadata"
	tests := []struct {
		path, accept string
		status       int
		want         []string
	}{
		{"v1/pods?pretty=1", "application/json", 200, []string{"\n  \"kind\": \"PodMetricsList\"", `"cpu": "250m"`}},
		{"v1beta1/nodes/n2?pretty=1", "application/json", 200, []string{`"swap": "64Mi"`}},
		{"v1/pods", "application/yaml", 200, []string{"kind: PodMetricsList\n", "cpu: 250m\n"}},
		{"v1beta1/nodes", "application/yaml", 200, []string{"kind: NodeMetricsList\n", "swap: 64Mi\n"}},
		{"v1/pods", "application/json" + partial + "List", 200, []string{`"kind":"PartialObjectMetadataList"`, `"name":"db"`, `"labels":{"app":"db"}`}},
		{"v1/namespaces/b/pods/db", "application/json" + partial, 200, []string{`"kind":"PartialObjectMetadata"`, `"labels":{"app":"db"}`}},
		{"v1/pods", "application/json" + partial, 406, []string{"the requested object is a list"}},
		{"v1/pods", "application/json" + table, 200, []string{`"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"db"`}},
		{"v1beta1/pods?includeObject=Object", "application/json" + table, 200, []string{`"object":{"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1beta1"`, `"cpu":"250m"`}},
		{"v1/nodes?includeObject=None", "application/json" + table, 200, []string{`"object":null`, `"cells":["n2","2500m","4Gi","64Mi","15s"]`}},
	}
	for _, tt := range tests {
		status, body := get(t, server, prefix+tt.path, tt.accept)
		if status != tt.status {
			t.Errorf("%s %s: %d, want %d: %s", tt.path, tt.accept, status, tt.status, body)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(body), want) {
				t.Errorf("%s %s: no %s in\n%s", tt.path, tt.accept, want, body)
			}
		}
	}
	// A watch is never pretty.
	l := openLines(t, server, "v1/pods?watch=1&pretty=1", asJSON)
	if want := `{"type":"ADDED","object":{"kind":"PodMetrics"`; !l.Scan() || !strings.HasPrefix(l.Text(), want) {
		t.Errorf("%q (%v), want %s first", l.Text(), l.Err(), want)
	}
}
