// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

const (
	delimitedType = `application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited`
	textType      = `text/plain; version=0.0.4; charset=utf-8`
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fakeKubelet is a kubelet on loopback with a certificate of its own.
type fakeKubelet struct {
	*httptest.Server
	authority *authority

	mu          sync.Mutex
	connections map[net.Conn]http.ConnState
	accepted    int
}

// newKubelet serves handler over TLS; change may alter the server's TLS first.
func newKubelet(t *testing.T, handler http.HandlerFunc, change func(*tls.Config)) *fakeKubelet {
	t.Helper()
	k := &fakeKubelet{authority: newAuthority(t, "cluster CA"), connections: map[net.Conn]http.ConnState{}}
	k.Server = httptest.NewUnstartedServer(handler)
	k.Config.ConnState = k.connState
	k.Config.ErrorLog = discardLog
	k.EnableHTTP2 = true
	k.TLS = &tls.Config{Certificates: []tls.Certificate{k.authority.issue(t, "node", nil).tls(t)}}
	if change != nil {
		change(k.TLS)
	}
	k.StartTLS()
	t.Cleanup(k.Close)
	return k
}

func (k *fakeKubelet) connState(c net.Conn, s http.ConnState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch s {
	case http.StateNew:
		k.accepted++
		k.connections[c] = s
	case http.StateClosed:
		delete(k.connections, c)
	}
}

// counts returns how many connections were accepted, and how many are open.
func (k *fakeKubelet) counts() (accepted, open int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.accepted, len(k.connections)
}

func (k *fakeKubelet) port(t *testing.T) int {
	t.Helper()
	return portOf(t, k.URL)
}

func portOf(t *testing.T, rawURL string) int {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// config reaches the kubelet with its CA and no credentials.
func (k *fakeKubelet) config(t *testing.T) Config {
	t.Helper()
	c := testConfig(k.port(t))
	c.Client.CAData = k.authority.pem
	return c
}

func testConfig(port int) Config {
	return Config{
		Client:       &rest.Config{},
		Port:         port,
		AddressTypes: []corev1.NodeAddressType{corev1.NodeInternalIP},
		Timeout:      30 * time.Second,
		Resolution:   time.Minute,
	}
}

// fetcher is a client with one endpoint, and a clock that stands still.
type fetcher struct {
	*Client
	endpoint *Endpoint
	clock    *clocktesting.FakePassiveClock
}

func newFetcher(t *testing.T, c Config) *fetcher {
	t.Helper()
	return newFetcherOf(t, c, Node{Name: "n1", Addresses: addresses("InternalIP", "127.0.0.1")})
}

func newFetcherOf(t *testing.T, c Config, n Node) *fetcher {
	t.Helper()
	clock := clocktesting.NewFakePassiveClock(start)
	client, err := newClient(c, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	endpoint, err := client.Endpoint(n)
	if err != nil {
		t.Fatal(err)
	}
	return &fetcher{Client: client, endpoint: endpoint, clock: clock}
}

func (f *fetcher) fetch() (Answer, error) {
	return f.Fetch(context.Background(), f.endpoint)
}

// fails fetches and expects an error with the reason, whose text has all of
// parts and is one line.
func (f *fetcher) fails(t *testing.T, want Reason, parts ...string) {
	t.Helper()
	_, err := f.fetch()
	expectError(t, err, want, parts...)
}

func expectError(t *testing.T, err error, want Reason, parts ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want an *Error", err)
	}
	if e.Reason != want {
		t.Errorf("reason is %q, want %q: %v", e.Reason, want, err)
	}
	if e.Node != "n1" {
		t.Errorf("node is %q", e.Node)
	}
	text := err.Error()
	for _, part := range append(parts, `node "n1": `) {
		if !strings.Contains(text, part) {
			t.Errorf("error %q does not contain %q", text, part)
		}
	}
	if strings.ContainsAny(text, "\n\r\x1b") {
		t.Errorf("error %q is more than one plain line", text)
	}
}

func (f *fetcher) succeeds(t *testing.T) Answer {
	t.Helper()
	answer, err := f.fetch()
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func answer(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, body)
	}
}

func TestFetchFormats(t *testing.T) {
	for _, tc := range []struct {
		contentType string
		want        exposition.Format
		fails       bool
	}{
		{contentType: delimitedType, want: exposition.Delimited},
		{contentType: `application/vnd.google.protobuf;encoding=delimited;proto=io.prometheus.client.MetricFamily;escaping=underscores`, want: exposition.Delimited},
		{contentType: textType, want: exposition.Text},
		{contentType: "text/plain", want: exposition.Text},
		{contentType: `application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text`, fails: true},
		{contentType: `application/vnd.google.protobuf; proto=other; encoding=delimited`, fails: true},
		{contentType: "application/json", fails: true},
		{contentType: "text/html; charset=utf-8", fails: true},
		{contentType: "application/openmetrics-text; version=1.0.0", fails: true},
		{contentType: "text/plain; =", fails: true},
	} {
		t.Run(tc.contentType, func(t *testing.T) {
			f := newFetcher(t, newKubelet(t, answer(tc.contentType, "body"), nil).config(t))
			if tc.fails {
				f.fails(t, ReasonContentType, strconv.Quote(tc.contentType))
				return
			}
			got := f.succeeds(t)
			if got.Format != tc.want || string(got.Body) != "body" || !got.RequestTime.Equal(start) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestFetchWithoutContentType(t *testing.T) {
	f := newFetcher(t, newKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "body")
	}, nil).config(t))
	f.fails(t, ReasonContentType, "no Content-Type")
}

func TestRequest(t *testing.T) {
	var got *http.Request
	k := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		answer(textType, "")(w, r)
	}, nil)
	c := k.config(t)
	c.Client.UserAgent = "metrics-server/test"
	newFetcher(t, c).succeeds(t)

	if got.Method != http.MethodGet || got.URL.String() != "/metrics/resource" {
		t.Errorf("asked %s %s", got.Method, got.URL)
	}
	if got.ProtoMajor != 1 {
		t.Errorf("spoke %s to a server that also offers HTTP/2", got.Proto)
	}
	want := "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	if accept := got.Header.Get("Accept"); accept != want {
		t.Errorf("Accept is %q, want %q", accept, want)
	}
	if agent := got.UserAgent(); agent != "metrics-server/test" {
		t.Errorf("User-Agent is %q", agent)
	}
	for _, name := range []string{"Accept-Encoding", "Authorization"} {
		if value := got.Header.Get(name); value != "" {
			t.Errorf("%s is %q, want none", name, value)
		}
	}
}

func TestUserAgentDefault(t *testing.T) {
	agents := make(chan string, 1)
	f := newFetcher(t, newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		agents <- r.UserAgent()
		answer(textType, "")(w, r)
	}, nil).config(t))
	f.succeeds(t)
	if got := <-agents; got != rest.DefaultKubernetesUserAgent() {
		t.Errorf("User-Agent is %q", got)
	}
}

func TestRequestTimeIsAfterDialling(t *testing.T) {
	k := newKubelet(t, answer(textType, ""), nil)
	c := k.config(t)
	var f *fetcher
	c.Client.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		f.clock.SetTime(start.Add(3 * time.Second))
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	f = newFetcher(t, c)
	if got := f.succeeds(t).RequestTime; !got.Equal(start.Add(3 * time.Second)) {
		t.Errorf("RequestTime is %s", got)
	}
}

func TestBodyIsValidUntilReleased(t *testing.T) {
	bodies := []string{strings.Repeat("x", 3000), strings.Repeat("y", 2000)}
	asked := 0
	f := newFetcher(t, newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		answer(textType, bodies[asked%2])(w, r)
		asked++
	}, nil).config(t))
	first := f.succeeds(t)
	second := f.succeeds(t)
	if string(first.Body) != bodies[0] || string(second.Body) != bodies[1] {
		t.Errorf("got %.20q and %.20q", first.Body, second.Body)
	}
	first.Release()
	if third := f.succeeds(t); string(third.Body) != bodies[0] || string(second.Body) != bodies[1] {
		t.Errorf("got %.20q, and what was not released is %.20q", third.Body, second.Body)
	}
}

func TestOneConnectionForManyFetches(t *testing.T) {
	status := http.StatusOK
	k := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textType)
		w.WriteHeader(status)
		io.WriteString(w, strings.Repeat("x", 2000))
	}, nil)
	f := newFetcher(t, k.config(t))
	for _, status = range []int{200, 200, 404, 500, 401, 200} {
		_, err := f.fetch()
		if (err == nil) != (status == 200) {
			t.Fatalf("status %d gave error %v", status, err)
		}
	}
	if accepted, _ := k.counts(); accepted != 1 {
		t.Errorf("%d connections were made, want 1", accepted)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	for name, proxy := range getters {
		t.Run(name, func(t *testing.T) {
			k := newKubelet(t, answer(textType, ""), nil)
			c := k.config(t)
			c.Client.Proxy = proxy
			f := newFetcher(t, c)
			f.succeeds(t)
			f.Close()
			eventually(t, "the connection is closed", func() bool {
				_, open := k.counts()
				return open == 0
			})
			eventually(t, "the goroutines of the connection end", func() bool {
				stacks := make([]byte, 1<<20)
				return !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("persistConn"))
			})
			// A fetch that was under way then may begin a connection after that.
			f.succeeds(t)
			eventually(t, "the last connection is closed", func() bool {
				_, open := k.counts()
				return open == 0
			})
		})
	}
}

// eventually polls: closing is seen by another goroutine.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 1000 {
		if done() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s: not within 5 s", what)
}

func TestSummaryInsteadOfMetrics(t *testing.T) {
	var asked []string
	metricsStatus := http.StatusNotFound
	k := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		switch r.URL.Path {
		case "/metrics/resource":
			w.Header().Set("Content-Type", textType)
			w.WriteHeader(metricsStatus)
		default:
			if accept := r.Header.Get("Accept"); accept != "application/json" {
				t.Errorf("Accept is %q", accept)
			}
			answer("application/json", "{}")(w, r)
		}
	}, nil)
	f := newFetcher(t, k.config(t))
	const metrics, summary = "/metrics/resource", "/stats/summary?only_cpu_and_memory=true"
	step := func(after time.Duration, format exposition.Format, want ...string) {
		t.Helper()
		f.clock.SetTime(start.Add(after))
		asked = nil
		if got := f.succeeds(t); got.Format != format {
			t.Errorf("after %s: format %d, want %d", after, got.Format, format)
		}
		if fmt.Sprint(asked) != fmt.Sprint(want) {
			t.Errorf("after %s: asked %q, want %q", after, asked, want)
		}
	}
	step(0, exposition.Summary, metrics, summary)
	step(time.Minute, exposition.Summary, summary)
	step(10*time.Minute-1, exposition.Summary, summary)
	step(10*time.Minute, exposition.Summary, metrics, summary)
	step(20*time.Minute-1, exposition.Summary, summary)
	metricsStatus = http.StatusOK
	step(20*time.Minute, exposition.Text, metrics)
	step(20*time.Minute+1, exposition.Text, metrics)
}

func TestSummaryFailsToo(t *testing.T) {
	summary := answer("text/html", "<html>")
	asked := 0
	k := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stats/summary" {
			summary(w, r)
			return
		}
		asked++
		w.WriteHeader(http.StatusNotFound)
	}, nil)
	f := newFetcher(t, k.config(t))
	f.fails(t, ReasonContentType, k.URL+"/metrics/resource answered 404", k.URL+"/stats/summary?only_cpu_and_memory=true", `"text/html"`)

	summary = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }
	f.fails(t, ReasonForbidden, "403 Forbidden", k.URL+"/metrics/resource answered 404", "nodes/stats")

	summary = http.NotFound
	f.fails(t, ReasonNotFound, "404 Not Found", k.URL+"/metrics/resource answered 404")
	if asked != 3 {
		t.Errorf("the first path was asked %d times, want 3: nothing else worked", asked)
	}

	summary = answer("application/json", "{}")
	f.succeeds(t)
	summary = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	f.fails(t, ReasonHTTPStatus, "500", k.URL+"/metrics/resource answered 404")
	if asked != 4 {
		t.Errorf("the first path was asked %d times, want 4: its 404 was remembered", asked)
	}
	f.fails(t, ReasonHTTPStatus)
	if asked != 5 {
		t.Errorf("the first path was asked %d times, want 5: the summary had failed", asked)
	}
}

func TestStatus(t *testing.T) {
	for _, tc := range []struct {
		status int
		header http.Header
		body   string
		want   Reason
		parts  []string
	}{
		{status: 401, body: "Unauthorized", want: ReasonUnauthorized, parts: []string{`401 Unauthorized: "Unauthorized"`, "webhook token authentication", "reaches the API server"}},
		{status: 403, body: "Forbidden (user=x)\n", want: ReasonForbidden, parts: []string{`403 Forbidden: "Forbidden (user=x)"`, "get on nodes/metrics"}},
		{status: 500, body: "a\x1b[31m\r\nb", want: ReasonHTTPStatus, parts: []string{`500 Internal Server Error: "a [31m b"`}},
		{status: 503, body: strings.Repeat("ä", 5000), want: ReasonHTTPStatus, parts: []string{`503 Service Unavailable: "` + strings.Repeat("ä", 100) + `…"`}},
		{status: 204, want: ReasonHTTPStatus, parts: []string{"204 No Content"}},
		{status: 206, body: "part", want: ReasonHTTPStatus, parts: []string{"206 Partial Content"}},
	} {
		t.Run(strconv.Itoa(tc.status), func(t *testing.T) {
			f := newFetcher(t, newKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				if tc.body != "" {
					io.WriteString(w, tc.body)
				}
			}, nil).config(t))
			f.fails(t, tc.want, append(tc.parts, "/metrics/resource: ")...)
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	followed := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer other.Close()
	k := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusFound)
	}, nil)
	c := k.config(t)
	c.Client.BearerToken = "secret"
	newFetcher(t, c).fails(t, ReasonHTTPStatus, "302 Found", other.URL, "redirects are not followed")
	if followed {
		t.Error("the redirect was followed")
	}
}

func TestUnaskedCompression(t *testing.T) {
	f := newFetcher(t, newKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textType)
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, "body")
		z.Close()
	}, nil).config(t))
	f.fails(t, ReasonContentType, `unsupported Content-Encoding "gzip"`)
}

func TestTooLarge(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"declared": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", textType)
			w.Header().Set("Content-Length", strconv.Itoa(maxBodyBytes+1))
			w.WriteHeader(http.StatusOK)
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", textType)
			for line := make([]byte, 64<<10); ; {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		},
		"headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Large", strings.Repeat("x", 2*maxHeaderBytes))
			w.WriteHeader(http.StatusOK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			newFetcher(t, newKubelet(t, handler, nil).config(t)).fails(t, ReasonTooLarge)
		})
	}
}

func TestBodyOfLargestSize(t *testing.T) {
	f := newFetcher(t, newKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textType)
		block := make([]byte, 1<<20)
		for range maxBodyBytes / len(block) {
			w.Write(block)
		}
	}, nil).config(t))
	if got := f.succeeds(t); len(got.Body) != maxBodyBytes {
		t.Errorf("got %d bytes", len(got.Body))
	}
}

func TestBodyCutShort(t *testing.T) {
	for name, send := range map[string]func(w http.ResponseWriter){
		"length":  func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100") },
		"chunked": func(http.ResponseWriter) {},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFetcher(t, newKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", textType)
				send(w)
				io.WriteString(w, "only this")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}, nil).config(t))
			f.fails(t, ReasonBody, "ends after 9 bytes")
		})
	}
}

// hang answers no more, and ends the answer in no orderly way when the client is
// gone.
func hang(r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func TestTimeout(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(http.ResponseWriter)
		want    string
	}{
		{name: "no headers", prepare: func(http.ResponseWriter) {}, want: "no complete answer in time"},
		{name: "no end of body", prepare: func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", textType)
			io.WriteString(w, "some")
			w.(http.Flusher).Flush()
		}, want: "no complete answer in time"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
				tc.prepare(w)
				hang(r)
			}, nil).config(t)
			c.Timeout = 200 * time.Millisecond
			newFetcher(t, c).fails(t, ReasonTimeout, tc.want, "--kubelet-request-timeout is 200ms")
		})
	}
}

func TestTimeoutOfDial(t *testing.T) {
	c := testConfig(1)
	c.Timeout = 20 * time.Millisecond
	c.Client.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	newFetcher(t, c).fails(t, ReasonTimeout, "no connection in time", "--kubelet-request-timeout is 20ms")
}

// A server that accepts but never answers the TLS handshake.
func TestTimeoutOfHandshake(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := testConfig(listener.Addr().(*net.TCPAddr).Port)
	c.Timeout = 50 * time.Millisecond
	newFetcher(t, c).fails(t, ReasonTimeout, "no connection in time")
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	k := newKubelet(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		hang(r)
	}, nil)
	f := newFetcher(t, k.config(t))
	_, err := f.Fetch(ctx, f.endpoint)
	expectError(t, err, ReasonCanceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not unwrap to context.Canceled", err)
	}
}

func TestCanceledInBody(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	k := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textType)
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		cancel()
		hang(r)
	}, nil)
	f := newFetcher(t, k.config(t))
	_, err := f.Fetch(ctx, f.endpoint)
	expectError(t, err, ReasonCanceled)
}

// The proxy of the environment is for the world outside; net/http reads it once,
// so that only the setting can be tested.
func TestProxy(t *testing.T) {
	f := newFetcher(t, testConfig(1))
	if _, ok := f.getter.(*direct); !ok {
		t.Error("a proxy is used though none is configured")
	}
	var connects []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connects = append(connects, r.Method+" "+r.Host)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	c := testConfig(10250)
	c.Client.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	newFetcher(t, c).fails(t, ReasonConnection, "Bad Gateway")
	if fmt.Sprint(connects) != "[CONNECT 127.0.0.1:10250]" {
		t.Errorf("the proxy was asked %q", connects)
	}
}

func TestConcurrentFetches(t *testing.T) {
	k := newKubelet(t, answer(textType, "body"), nil)
	f := newFetcher(t, k.config(t))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			endpoint, err := f.Endpoint(Node{Name: "n", Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}})
			if err != nil {
				t.Error(err)
				return
			}
			f.clock.SetTime(f.clock.Now().Add(refreshInterval))
			if _, err := f.Fetch(context.Background(), endpoint); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
