// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/process"
	"github.com/kubemeter/metrics-server/test/rawclient"
)

// fakeServer answers as a metrics server, and serves a pod to whoever does not ask
// for what is absent.
type fakeServer struct {
	log *Log

	mu      sync.Mutex
	asked   map[string]int // watches, by path and query
	ended   int
	scrapes int
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/metrics":
		f.mu.Lock()
		defer f.mu.Unlock()
		f.scrapes += 10
		fmt.Fprintf(w, `# TYPE metrics_server_scrape_total counter
metrics_server_scrape_total{result="success"} %d
# TYPE metrics_server_api_terminated_watchers_total counter
metrics_server_api_terminated_watchers_total{resource="pods"} %d
# TYPE metrics_server_storage_served gauge
metrics_server_storage_served{type="node"} 3
metrics_server_storage_served{type="pod"} %d
# TYPE go_memstats_heap_alloc_bytes gauge
go_memstats_heap_alloc_bytes 1e6
`, f.scrapes, f.ended, f.scrapes)
	case strings.HasPrefix(r.URL.Path, "/debug/pprof/"):
		fmt.Fprint(w, "profile")
	case r.URL.Query().Get("watch") == "true":
		f.watch(w, r)
	default:
		fmt.Fprint(w, "{}")
	}
}

func (f *fakeServer) watch(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked[r.URL.Path+"?"+r.URL.RawQuery]++
	f.mu.Unlock()
	w.(http.Flusher).Flush()
	if strings.Contains(r.URL.String(), "absent") {
		<-r.Context().Done()
		return
	}
	event := "ADDED"
	for range 3 {
		fmt.Fprintf(w, "{\"type\":%q,\"object\":{}}\n", event)
		w.(http.Flusher).Flush()
		event = "MODIFIED"
	}
	if r.URL.Query().Has("labelSelector") || r.URL.Query().Has("fieldSelector") || strings.Contains(r.URL.Path, "namespaces") {
		<-r.Context().Done()
		return
	}
	f.mu.Lock()
	f.ended++
	f.mu.Unlock()
	fmt.Fprintln(f.log, `"Ended a watch that did not keep up" resource="pods"`)
}

func startFake(t *testing.T) (*fakeServer, Server) {
	t.Helper()
	f := &fakeServer{log: &Log{}, asked: map[string]int{}}
	s := httptest.NewUnstartedServer(f)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return f, Server{
		Config: &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}},
		Usage:  func() (process.Usage, error) { return process.Usage{CPU: time.Second, Resident: 5e6}, nil },
		Log:    f.log,
	}
}

func TestRun(t *testing.T) {
	fake, server := startFake(t)
	const watchers = 12
	options := Options{
		Scene: scene(3, 3, 3), Watchers: watchers, Measure: 50 * time.Millisecond,
		Profiles: filepath.Join(t.TempDir(), "profiles"),
	}
	var out bytes.Buffer
	results, err := Run(t.Context(), server, options, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if len(results) != 7 {
		t.Fatalf("%d phases, want 7", len(results))
	}
	for i, r := range results {
		wantWatchers, wantTerminated := watchers, 0
		switch i + 1 {
		case 1, 5:
			wantWatchers = 0
		case 4:
			wantTerminated = 2
		}
		if r.Watchers != wantWatchers || r.Alive != wantWatchers || r.Terminated != wantTerminated {
			t.Errorf("phase %s: %d of %d watchers are left and %d were terminated, want %d and %d",
				r.Phase, r.Alive, r.Watchers, r.Terminated, wantWatchers, wantTerminated)
		}
		if r.ResidentMax != 5e6 || r.HeapLive != 1e6 || len(r.Lists) == 0 {
			t.Errorf("phase %s: %+v", r.Phase, r)
		}
		for _, kind := range []string{"cpu", "heap"} {
			file := filepath.Join(options.Profiles, fmt.Sprintf("phase-%d-%s.pprof", i+1, kind))
			if text, err := os.ReadFile(file); string(text) != "profile" {
				t.Errorf("%s: %q %v", file, text, err)
			}
		}
	}
	for _, want := range []string{
		"3 watchers by label, which 0 pods match", "\n  1 connections",
		"the stalled HTTP/1.1 client", "the stalled HTTP/2.0 client", "MB, and found: EOF",
		"with 5.0 MB resident: \"Ended a watch",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not printed:\n%s", want, out.String())
		}
	}
	// Phases 2 and 4 ask for the same.
	matching, err := options.Matching(watchers)
	if err != nil {
		t.Fatal(err)
	}
	fake.mu.Lock()
	defer fake.mu.Unlock()
	for _, s := range matching {
		if n := fake.asked[s.path(true)]; n != 2 {
			t.Errorf("%s was asked for %d times, want 2", s.path(true), n)
		}
	}
	if n := len(fake.asked); n != 4*watchers+1 {
		t.Errorf("%d different watches, want %d", n, 4*watchers+1)
	}
}

func TestWatchers(t *testing.T) {
	_, server := startFake(t)
	selectors, err := scene(3, 3, 3).Matching(12)
	if err != nil {
		t.Fatal(err)
	}
	config, err := rest.TLSConfigFor(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	// One more, which the server ends.
	w, err := openWatchers(t.Context(), rawclient.New(config), server.Config.Host, false, append(selectors, Selector{}))
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for w.events() < 13*3 || w.firstEnd() == nil {
		if err := sleep(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if w.alive() != 12 || !errors.Is(w.firstEnd(), io.EOF) {
		t.Errorf("%d are left, %v", w.alive(), w.firstEnd())
	}
	for _, kind := range []Kind{ByLabel, ByNamespace, ByNode, ByName} {
		if c := w.byKind[kind]; c.added.Load() != 3 || c.modified.Load() != 6 || c.bytes.Load() == 0 {
			t.Errorf("by %s: %d added, %d modified in %d bytes, want 3 and 6", kind, c.added.Load(), c.modified.Load(), c.bytes.Load())
		}
	}
}

func TestWaitServed(t *testing.T) {
	_, server := startFake(t)
	if err := WaitServed(t.Context(), server, 3, 10); err != nil {
		t.Error(err)
	}
}

func TestRunFails(t *testing.T) {
	_, server := startFake(t)
	measured := Options{Scene: scene(3, 3, 3), Watchers: 12}
	for name, change := range map[string]func(*Server, *Options){
		"the process has ended": func(s *Server, _ *Options) {
			s.Usage = func() (process.Usage, error) { return process.Usage{}, os.ErrNotExist }
		},
		"nobody listens":     func(s *Server, _ *Options) { s.Config = &rest.Config{Host: "https://127.0.0.1:1"} },
		"too few pods":       func(_ *Server, o *Options) { o.Watchers = 100 },
		"no pod to ask for":  func(_ *Server, o *Options) { o.Pods = nil },
		"a watch is refused": func(s *Server, _ *Options) { s.Config = refusing(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s, o := server, measured
			change(&s, &o)
			var out bytes.Buffer
			if _, err := Run(t.Context(), s, o, &out); err == nil {
				t.Errorf("no error:\n%s", out.String())
			}
		})
	}
}

// refusing is a server that has everything but watches.
func refusing(t *testing.T) *rest.Config {
	t.Helper()
	f := &fakeServer{log: &Log{}}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("watch") {
			http.Error(w, "no such verb", http.StatusMethodNotAllowed)
			return
		}
		f.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
}
