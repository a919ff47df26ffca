// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/features"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	componentmetrics "k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/store"
)

func init() {
	// The handler after the one that logs spaces errors out, by the time of the
	// last. Bubbles have times of their own, and would wait for years.
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
}

// bubble has a server, and a client of it, whose connection holds nothing that is
// not read. All their time is the bubble's.
type bubble struct {
	t        *testing.T
	client   *http.Client
	registry componentmetrics.KubeRegistry
	dialled  int
}

// inBubble runs a subtest in a bubble of its own.
func inBubble(t *testing.T, name string, s *store.Store, http2 bool, limit time.Duration, test func(*testing.T, *bubble)) {
	t.Helper()
	protocol := "HTTP1"
	if http2 {
		protocol = "HTTP2"
	}
	t.Run(strings.TrimSpace(protocol+" "+name), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			handler, registry := newHandler(t, s, clock.RealClock{}, limit)
			b := &bubble{t: t, registry: registry}
			var protocols http.Protocols
			protocols.SetHTTP1(!http2)
			protocols.SetUnencryptedHTTP2(http2)
			listener := &pipeListener{dialled: make(chan net.Conn), closed: make(chan struct{})}
			server := &http.Server{Handler: handler, Protocols: &protocols}
			var serving sync.WaitGroup
			serving.Go(func() { _ = server.Serve(LimitWrites(listener, limit)) }) // always an error
			transport := &http.Transport{
				Protocols: &protocols, HTTP2: smallWindows,
				DialContext: func(context.Context, string, string) (net.Conn, error) {
					b.dialled++
					client, server := net.Pipe()
					listener.dialled <- server
					return client, nil
				},
			}
			b.client = &http.Client{Transport: transport}
			defer func() {
				transport.CloseIdleConnections()
				_ = server.Close()
				serving.Wait()
			}()
			test(t, b)
		})
	})
}

// smallWindows is a client that takes little more than it reads.
var smallWindows = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10}

// pipeListener accepts pipes.
type pipeListener struct {
	dialled chan net.Conn
	closed  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.dialled:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

// get returns a response whose body is still to be read.
func (b *bubble) get(path string) io.ReadCloser {
	b.t.Helper()
	return b.open(path, nil)
}

// list is get of a list, which is not compressed.
func (b *bubble) list(path, accept string) io.ReadCloser {
	b.t.Helper()
	return b.open(path, http.Header{"Accept": {accept}, "Accept-Encoding": {"identity"}})
}

func (b *bubble) open(path string, headers http.Header) io.ReadCloser {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, "http://server"+prefix+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	maps.Copy(req.Header, headers)
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %s", path, resp.Status)
	}
	return resp.Body
}

// wantTerminated compares the counter of ended watches.
func (b *bubble) wantTerminated(series string) {
	b.t.Helper()
	synctest.Wait()
	if err := compareTerminated(b.registry, series); err != nil {
		b.t.Error(err)
	}
}

// compareTerminated expects the only line of the counter, "" for none.
func compareTerminated(registry componentmetrics.KubeRegistry, line string) error {
	want := ""
	if line != "" {
		want = `# HELP metrics_server_api_terminated_watchers_total [ALPHA] Number of watches ended because their client did not keep up, by resource
# TYPE metrics_server_api_terminated_watchers_total counter
metrics_server_api_terminated_watchers_total` + line + "\n"
	}
	return testutil.GatherAndCompare(registry, strings.NewReader(want), "metrics_server_api_terminated_watchers_total")
}

// heavy is a fleet of one node, with more to tell of its pods than fits into the
// buffers of a connection.
func heavy() (f *fleet, pods []string) {
	f = newFleet(start, 1)
	for i := range 2000 {
		pods = append(pods, fmt.Sprint("ns/pod-", i))
	}
	f.serve(0, pods...)
	for _, pod := range pods {
		f.list(0, pod, map[string]string{"much": strings.Repeat("x", 1000)})
	}
	return f, pods
}

func TestIdleWatchIsNotEnded(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		f := newFleet(start, 1)
		f.serve(0, "ns/a")
		inBubble(t, "", f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
			pods := newLines(t, b.get("v1/pods?watch=1&timeoutSeconds=100000"))
			none := newLines(t, b.get("v1/namespaces/none/pods?watch=1&timeoutSeconds=100000"))
			nodes := newLines(t, b.get("v1/nodes?watch=1&timeoutSeconds=100000"))
			if got := []string{pods.next(&metav1.PartialObjectMetadata{}), nodes.next(&metav1.PartialObjectMetadata{})}; !slices.Equal(got, []string{"ADDED", "ADDED"}) {
				t.Fatal(got)
			}
			for range 3 {
				time.Sleep(10 * StallLimit)
				f.scrape(0, "ns/a")
				if got := pods.next(&metav1.PartialObjectMetadata{}); got != "MODIFIED" {
					t.Fatal(got)
				}
				if got := nodes.next(&metav1.PartialObjectMetadata{}); got != "MODIFIED" {
					t.Fatal(got)
				}
			}
			time.Sleep(10 * StallLimit)
			f.serve(0, "none/b") // ns/a is gone
			if got := none.next(&metav1.PartialObjectMetadata{}); got != "ADDED" {
				t.Errorf("after a time without any event: %s", got)
			}
			b.wantTerminated("")
		})
	}
}

// Neither is one that is compressed, as those with initial events are.
func TestIdleCompressedWatchIsNotEnded(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		f := newFleet(start, 1)
		f.serve(0, "ns/a")
		inBubble(t, "", f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
			resp, err := b.client.Get("http://server" + prefix + "v1/pods?watch=1&timeoutSeconds=100000&allowWatchBookmarks=1")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if !resp.Uncompressed {
				t.Error("it is not compressed")
			}
			l := newLines(t, resp.Body)
			want := func(want string) {
				t.Helper()
				if got := l.next(&metav1.PartialObjectMetadata{}); got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
			want("ADDED")
			want("BOOKMARK")
			time.Sleep(bookmarkPeriod - time.Second)
			f.scrape(0, "ns/a")
			want("MODIFIED")
			time.Sleep(StallLimit) // for most of which the bookmark waits
			want("BOOKMARK")
			time.Sleep(StallLimit)
			f.scrape(0, "ns/a")
			want("MODIFIED")
			b.wantTerminated("")
		})
	}
}

// The limit of a watch is none for what comes after it on its connection.
func TestConnectionIsReusedAfterAWatch(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		f := newFleet(start, 1)
		f.serve(0, "ns/a")
		inBubble(t, "", f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
			for range 3 {
				if _, err := io.ReadAll(b.get("v1/pods?watch=1&timeoutSeconds=5")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(StallLimit - time.Second)
				if body, err := io.ReadAll(b.get("v1/pods")); err != nil || !bytes.Contains(body, []byte("PodMetricsList")) {
					t.Fatalf("%v: %s", err, body)
				}
				l := newLines(t, b.get("v1/pods?watch=1&timeoutSeconds=100"))
				l.next(&metav1.PartialObjectMetadata{})
				time.Sleep(2 * StallLimit)
				f.scrape(0, "ns/a")
				if got := l.next(&metav1.PartialObjectMetadata{}); got != "MODIFIED" {
					t.Fatal(got)
				}
				if got := l.next(&metav1.PartialObjectMetadata{}); got != "" {
					t.Fatalf("after the timeout: %s", got)
				}
			}
			if b.dialled != 1 {
				t.Errorf("%d connections, want one that is reused", b.dialled)
			}
			b.wantTerminated("")
		})
	}
}

// A client that pauses for less than the limit is told everything.
func TestSlowClientIsWaitedFor(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		f, pods := heavy()
		inBubble(t, "", f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
			l := newLines(t, b.get("v1/pods?watch=1&timeoutSeconds=100000"))
			seen := map[string]bool{}
			for len(seen) < len(pods) {
				if len(seen)%400 == 0 {
					time.Sleep(StallLimit - time.Second)
				}
				var o metav1.PartialObjectMetadata
				if got := l.next(&o); got != "ADDED" || seen[o.Name] {
					t.Fatalf("%s %s", got, o.Name)
				}
				seen[o.Name] = true
			}
			b.wantTerminated("")
		})
	}
}

// Whoever has gone away has not stalled.
func TestClientThatLeavesHasNotStalled(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		f, _ := heavy()
		inBubble(t, "", f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
			stream := b.get("v1/pods?watch=1&timeoutSeconds=100000")
			time.Sleep(StallLimit - time.Second)
			stream.Close()
			time.Sleep(time.Minute)
			b.wantTerminated("")
		})
	}
}

// A client of a list that reads slowly gets all of it, too.
func TestSlowClientOfAListIsWaitedFor(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		f, pods := heavy()
		inBubble(t, "", f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
			stream := b.list("v1/pods", runtime.ContentTypeJSON)
			time.Sleep(StallLimit - time.Second)
			if body, err := io.ReadAll(stream); err != nil || bytes.Count(body, []byte(`"name":"pod-`)) != len(pods) {
				t.Errorf("%v, %d bytes", err, len(body))
			}
			b.wantTerminated("")
		})
	}
}

// What is written at once may take longer than one wait, while its client reads.
func TestSlowClientOfATableIsWaitedFor(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		f, pods := heavy()
		inBubble(t, "", f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
			stream := b.list("v1/pods", runtime.ContentTypeJSON+";as=Table;g=meta.k8s.io;v=v1")
			begin := make([]byte, 256<<10)
			time.Sleep(StallLimit - time.Second)
			_, err := io.ReadFull(stream, begin)
			time.Sleep(StallLimit - time.Second)
			rest, restErr := io.ReadAll(stream)
			if rows := bytes.Count(append(begin, rest...), []byte(`"cells"`)); err != nil || restErr != nil || rows != len(pods) {
				t.Errorf("%v, %v, %d of %d rows", err, restErr, rows, len(pods))
			}
		})
	}
}

// A list of a client that never reads is no watch, but holds neither memory nor a
// connection either.
func TestListOfAClientThatNeverReads(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		f, pods := heavy()
		inBubble(t, "", f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
			stream := b.list("v1/pods", runtime.ContentTypeJSON)
			time.Sleep(StallLimit + time.Second)
			if body, err := io.ReadAll(stream); err == nil || bytes.Count(body, []byte(`"name":"pod-`)) == len(pods) {
				t.Errorf("%d bytes without an error", len(body))
			}
			b.wantTerminated("")
		})
	}
}

// The limit, by the clock.
func TestStallLimit(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		f, pods := heavy()
		inBubble(t, "", f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
			stream := b.get("v1/pods?watch=1&timeoutSeconds=100000")
			time.Sleep(StallLimit - time.Second)
			b.wantTerminated("")
			time.Sleep(2 * time.Second)
			b.wantTerminated(`{resource="pods"} 1`)
			body, err := io.ReadAll(stream)
			if n := bytes.Count(body, []byte("\n")); err == nil || n >= len(pods) {
				t.Errorf("%d of %d events and %v, want an error", n, len(pods), err)
			}
			// Another watch has the whole limit for itself.
			again := newLines(t, b.get("v1/pods?watch=1&timeoutSeconds=100000"))
			time.Sleep(StallLimit - time.Second)
			if got := again.next(&metav1.PartialObjectMetadata{}); got != "ADDED" {
				t.Error(got)
			}
			b.wantTerminated(`{resource="pods"} 1`)
		})
	}
}

// Where events come one by one, each is flushed, and the flush waits.
func TestStallLimitOfSingleEvents(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		f := newFleet(start, 1)
		f.serve(0, "ns/a")
		f.list(0, "ns/a", map[string]string{"much": strings.Repeat("x", 1000)})
		inBubble(t, "", f.Store, http2, StallLimit, func(t *testing.T, b *bubble) {
			stream := b.get("v1/pods?watch=1&timeoutSeconds=100000")
			for range 100 {
				synctest.Wait()
				f.scrape(0, "ns/a")
			}
			time.Sleep(StallLimit - time.Second)
			b.wantTerminated("")
			time.Sleep(2 * time.Second)
			b.wantTerminated(`{resource="pods"} 1`)
			if body, err := io.ReadAll(stream); err == nil || bytes.Count(body, []byte("\n")) > 100 {
				t.Errorf("%d bytes and %v, want an error", len(body), err)
			}
		})
	}
}

// smallListener accepts connections that hold little that is not read.
type smallListener struct{ net.Listener }

func (l smallListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	return c, err
}

// gate is a connection that is not read while it is shut.
type gate struct {
	net.Conn
	mu   sync.Mutex
	shut chan struct{} // closed when it opens again; nil while it is open
}

func (g *gate) Read(p []byte) (int, error) {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
	return g.Conn.Read(p)
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut)
	g.shut = nil
}

// Over real connections: what the client does not read fills its window or its
// socket, and then the server's.
func TestWatchOfAClientThatNeverReadsIsEnded(t *testing.T) {
	tests := []struct {
		name    string
		http2   bool
		gate    bool // the client's HTTP library does not read either
		routine bool // the generic API server serves watches on another goroutine
	}{
		{name: "HTTP1"},
		{name: "HTTP2, the stream is not read", http2: true},
		{name: "HTTP2, the connection is not read", http2: true, gate: true},
		{name: "on another goroutine", routine: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.routine {
				featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.APIServingWithRoutine, true)
			}
			logged := captureLog(t)
			f, pods := heavy()
			const limit = time.Second
			handler, registry := newHandler(t, f.Store, clock.RealClock{}, limit)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				ctx := genericapirequest.WithUser(req.Context(), &user.DefaultInfo{Name: "sleeper"})
				handler.ServeHTTP(w, req.WithContext(ctx))
			}))
			server.Listener = LimitWrites(smallListener{server.Listener}, limit)
			server.EnableHTTP2 = tt.http2
			server.StartTLS()
			t.Cleanup(server.Close)
			transport := server.Client().Transport.(*http.Transport)
			if !tt.gate {
				transport.HTTP2 = smallWindows
			}
			var conns []*gate
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
				conns = append(conns, &gate{Conn: c})
				return conns[len(conns)-1], nil
			}

			get(t, server, prefix+"v1/nodes", asJSON) // so that there is a connection
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+prefix+"v1/namespaces/ns/pods?watch=1", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if tt.http2 != (resp.ProtoMajor == 2) {
				t.Fatal(resp.Proto)
			}
			if tt.gate {
				conns[0].close()
			}
			waitFor(t, "the watch is counted as ended", func() bool {
				return compareTerminated(registry, `{resource="pods"} 1`) == nil
			})
			if tt.gate {
				conns[0].open()
			}
			body, err := io.ReadAll(resp.Body)
			if n := bytes.Count(body, []byte("\n")); err == nil || n >= len(pods) {
				t.Errorf("%d of %d events and %v, want an error", n, len(pods), err)
			}
			line := `"Ended a watch that did not keep up" resource="pods" namespace="ns" user="sleeper" reason="the client does not read"`
			waitFor(t, "its end is logged: "+line, func() bool { return strings.Count(logged(), line) == 1 })
			// Other requests go on, with HTTP/2 on the same connection if that works.
			if status, _ := get(t, server, prefix+"v1/nodes", asJSON); status != http.StatusOK {
				t.Errorf("the next request: %d", status)
			}
			if tt.http2 && !tt.gate && len(conns) != 1 {
				t.Errorf("%d connections, want 1", len(conns))
			}
		})
	}
}

// captureLog returns a function for what has been logged since.
func captureLog(t *testing.T) func() string {
	t.Helper()
	logged := &lockedBuffer{}
	klog.LogToStderr(false)
	klog.SetOutput(logged)
	t.Cleanup(func() {
		klog.LogToStderr(true)
		klog.SetOutput(io.Discard)
	})
	return logged.String
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A client that reads again, but is further behind than the store waits for, has
// the end of the stream, and can go on with another watch.
func TestWatchThatIsTooFarBehindIsEnded(t *testing.T) {
	// The history is of two and a half times as many changes.
	const pods, few = 12_000, 4_400
	f := newFleet(start, 2)
	var names []string
	for i := range pods {
		names = append(names, fmt.Sprintf("ns/pod-%05d", i))
	}
	f.serve(0, names[few:]...)
	f.serve(1, names[:few]...)
	logged := captureLog(t)
	inBubble(t, "", f.Store, false, time.Hour, func(t *testing.T, b *bubble) {
		from := f.Pods(store.Query{Limit: 1}).Revision
		l := newLines(t, b.get(fmt.Sprint("v1/pods?watch=1&timeoutSeconds=100000&resourceVersion=", from)))
		synctest.Wait() // until it is up to date: before, the history waits for it
		f.scrape(0, names[few:]...)
		f.scrape(1, names[:few]...)
		synctest.Wait() // until it writes some, which waits for the reader
		f.scrape(0, names[few:]...)
		f.scrape(1, names[:few]...)
		f.scrape(1, names[:few]...) // 16,400 in all, and 16,384 may wait
		b.wantTerminated("")        // it is not known before it reads
		var last metav1.PartialObjectMetadata
		seen := 0
		for l.next(&last) == "MODIFIED" {
			seen++
		}
		if seen == 0 || seen > pods {
			t.Errorf("%d events before the end", seen)
		}
		b.wantTerminated(`{resource="pods"} 1`)
		if !strings.Contains(logged(), `resource="pods" namespace="" user="" reason="too many events were waiting to be taken"`) {
			t.Errorf("logged: %s", logged())
		}
		again := newLines(t, b.get("v1/pods?watch=1&timeoutSeconds=100000&resourceVersion="+last.ResourceVersion))
		got := map[string]bool{}
		for len(got) < pods {
			if event := again.next(&last); event != "MODIFIED" || got[last.Name] {
				t.Fatalf("%s %s after %d others", event, last.Name, len(got))
			}
			got[last.Name] = true
		}
		b.wantTerminated(`{resource="pods"} 1`)
	})
}

// So has one that has not caught up with the history before that forgets.
func TestWatchThatIsTooSlowForTheHistoryIsEnded(t *testing.T) {
	const pods = 2000 // of which the history keeps four changes each
	f := newFleet(start, 1)
	var names []string
	for i := range pods {
		names = append(names, fmt.Sprintf("ns/pod-%05d", i))
	}
	f.serve(0, names...)
	inBubble(t, "", f.Store, false, time.Hour, func(t *testing.T, b *bubble) {
		from := f.Pods(store.Query{Limit: 1}).Revision
		f.scrape(0, names...)
		l := newLines(t, b.get(fmt.Sprint("v1/pods?watch=1&timeoutSeconds=100000&resourceVersion=", from)))
		synctest.Wait()
		for range 5 {
			f.scrape(0, names...)
		}
		var last metav1.PartialObjectMetadata
		seen := 0
		for l.next(&last) == "MODIFIED" {
			seen++
		}
		if seen == 0 || seen > pods {
			t.Errorf("%d events before the end", seen)
		}
		b.wantTerminated(`{resource="pods"} 1`)
		var status metav1.Status
		again := newLines(t, b.get("v1/pods?watch=1&timeoutSeconds=100000&resourceVersion="+last.ResourceVersion))
		if event := again.next(&status); event != "ERROR" || status.Reason != metav1.StatusReasonExpired {
			t.Errorf("%s %+v", event, status)
		}
	})
}

// A websocket is a connection of its own.
func TestWatchOverWebSocket(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %sv1/nodes?watch=1 HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", prefix)
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var received []byte
	buffer := make([]byte, 4096)
	for bytes.Count(received, []byte(`"type":"ADDED"`)) < 2 {
		n, err := c.Read(buffer)
		if err != nil {
			t.Fatalf("%v after %q", err, received)
		}
		received = append(received, buffer[:n]...)
	}
	if !bytes.HasPrefix(received, []byte("HTTP/1.1 101 ")) {
		t.Errorf("%q", received)
	}
}

// The writer of a handler that knows no deadlines works, too.
func TestStallLimitWithoutDeadlines(t *testing.T) {
	m, err := NewMetrics(componentmetrics.NewKubeRegistry().Register, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	handler := withDeadline(endStalled(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.WriteString(w, "event")
		if err := errors.Join(err, http.NewResponseController(w).Flush()); err != nil {
			t.Error(err)
		}
	}), m, StallLimit))
	for _, verb := range []string{"watch", "list"} {
		ctx := genericapirequest.WithRequestInfo(t.Context(), &genericapirequest.RequestInfo{Verb: verb})
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		if !recorder.Flushed || recorder.Body.String() != "event" {
			t.Errorf("%s: %+v", verb, recorder)
		}
	}
}
