// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/process"
	"github.com/kubemeter/metrics-server/test/rawclient"
)

// Server is what is measured.
type Server struct {
	// Config is an administrator's, and leads to the server itself.
	Config *rest.Config
	Usage  func() (process.Usage, error)
	Log    *Log
}

// Options say how.
type Options struct {
	Scene
	Watchers int
	// Settle and Measure are how long each phase waits and is measured.
	Settle, Measure time.Duration
	// Protobuf has events encoded so, instead of as JSON.
	Protobuf bool
	// Profiles is the folder for a profile of CPU and memory of each phase, taken
	// after it was measured. None are taken if it is empty.
	Profiles string
}

// phase is what the server has to do for a while.
type phase struct {
	name      string
	selectors []Selector
	stalled   bool // two watches of all pods, of which nothing is read
}

// Run measures all phases, and prints what it finds.
func Run(ctx context.Context, s Server, o Options, out io.Writer) ([]Result, error) {
	if len(o.Pods) == 0 {
		return nil, errors.New("there is no pod to list")
	}
	matching, err := o.Matching(o.Watchers)
	if err != nil {
		return nil, err
	}
	phases := []phase{
		{name: "1 no watchers"},
		{name: "2 few match each", selectors: matching},
		{name: "3 nothing matches", selectors: Absent(o.Watchers)},
		{name: "4 as 2, two stalled", selectors: matching, stalled: true},
		{name: "5 no watchers"},
		{name: "6 as 3, by presence", selectors: AbsentLabels(o.Watchers)},
		{name: "7 as 3, by popular", selectors: AbsentOfPopular(o.Watchers)},
	}
	l, err := newLoad(s, o, out)
	if err != nil {
		return nil, err
	}
	var results []Result
	for _, p := range phases {
		r, err := l.run(ctx, p)
		if err != nil {
			return results, fmt.Errorf("phase %s: %w", p.name, err)
		}
		results = append(results, r)
		printTables(out, &results[0], results[len(results)-1:])
	}
	fmt.Fprintln(out, "\nall phases")
	printTables(out, &results[0], results)
	return results, nil
}

// load is a run.
type load struct {
	Server
	Options
	out io.Writer
	tls *tls.Config
	// admin reads metrics and profiles, and probe lists a pod, each with a
	// connection of its own.
	admin, probe *http.Client
}

func newLoad(s Server, o Options, out io.Writer) (*load, error) {
	config, err := rest.TLSConfigFor(s.Config)
	if err != nil {
		return nil, err
	}
	if o.Profiles != "" {
		if err := os.MkdirAll(o.Profiles, 0o755); err != nil {
			return nil, err
		}
	}
	return &load{Server: s, Options: o, out: out, tls: config, admin: rawclient.New(config), probe: rawclient.New(config)}, nil
}

// state is what counts up, at one time.
type state struct {
	time   time.Time
	usage  process.Usage
	own    ownMetrics
	events int64
	bytes  int64
}

func (l *load) state(ctx context.Context, w *watchers) (state, error) {
	now := state{time: time.Now()}
	var text bytes.Buffer
	err := get(ctx, l.admin, l.Config.Host+"/metrics", &text)
	if err != nil {
		return now, err
	}
	if now.own, err = parseMetrics(&text); err != nil {
		return now, err
	}
	now.events, now.bytes = w.events(), w.bytes()
	now.usage, err = l.Usage()
	return now, err
}

func (l *load) run(ctx context.Context, p phase) (Result, error) {
	fmt.Fprintf(l.out, "\nphase %s\n", p.name)
	result := Result{Phase: p.name, Watchers: len(p.selectors)}
	client := rawclient.New(l.tls)
	var connections atomic.Int64
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		connections.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	w, err := openWatchers(ctx, client, l.Config.Host, l.Protobuf, p.selectors)
	if err != nil {
		return result, err
	}
	defer client.CloseIdleConnections()
	defer w.close()
	if err := sleep(ctx, l.Settle); err != nil {
		return result, err
	}
	l.printMix(w, p.selectors)
	fmt.Fprintf(l.out, "  %d connections\n", connections.Load())
	if err := l.measure(ctx, p, w, &result); err != nil {
		return result, err
	}
	if err := w.firstEnd(); err != nil {
		fmt.Fprintln(l.out, "  the first of those that ended:", err)
	}
	if err := l.profile(ctx, p); err != nil {
		return result, err
	}
	end, err := l.state(ctx, w)
	result.HeapLive = end.own.value("go_memstats_heap_alloc_bytes")
	return result, err
}

func (l *load) measure(ctx context.Context, p phase, w *watchers, result *Result) error {
	begin, err := l.state(ctx, w)
	if err != nil {
		return err
	}
	said := len(l.Log.lines())
	var stalls []*stalled
	if p.stalled {
		if stalls, err = l.stall(ctx); err != nil {
			return err
		}
	}
	for _, s := range stalls {
		defer s.close()
	}
	probe := startProbe(ctx, l.probe, l.Config.Host+byName(l.Pods[0]).path(false))
	resident, err := l.watchMemory(ctx, begin, said)
	probe.finish()
	if err != nil {
		return err
	}
	end, err := l.state(ctx, w)
	if err != nil {
		return err
	}
	result.fill(begin, end)
	result.ResidentMax, result.Alive = resident, w.alive()
	result.Lists = probe.took
	if probe.err != nil {
		fmt.Fprintf(l.out, "  listing a pod has failed %d times, the last time: %v\n", probe.fails, probe.err)
	}
	const terminated = "metrics_server_api_terminated_watchers_total"
	result.Terminated = int(end.own.value(terminated) - begin.own.value(terminated))
	for _, s := range stalls {
		n, err := s.drain()
		fmt.Fprintf(l.out, "  the stalled %s client could then read %s MB, and found: %v\n", s.resp.Proto, megabytes(float64(n)), err)
	}
	return nil
}

// stall opens watches that are never read.
func (l *load) stall(ctx context.Context) ([]*stalled, error) {
	url := l.Config.Host + Selector{}.path(true)
	first, err := stall(ctx, newHTTP1Client(l.tls), url)
	if err != nil {
		return nil, err
	}
	second, err := stall(ctx, rawclient.New(l.tls), url)
	if err != nil {
		first.close()
		return nil, err
	}
	return []*stalled{first, second}, nil
}

// watchMemory waits until the phase has been measured, returns how much was
// resident at most, and prints when the server has ended watches.
func (l *load) watchMemory(ctx context.Context, begin state, said int) (highest uint64, err error) {
	for {
		now, err := l.Usage()
		if err != nil {
			return highest, err
		}
		highest = max(highest, now.Resident)
		after := time.Since(begin.time)
		for _, line := range l.Log.lines()[said:] {
			fmt.Fprintf(l.out, "  after %.0f s, with %s MB resident: %s\n", after.Seconds(), megabytes(float64(now.Resident)), line)
			said++
		}
		if after >= l.Measure {
			return highest, nil
		}
		if err := sleep(ctx, min(time.Second, l.Measure-after)); err != nil {
			return highest, err
		}
	}
}

// printMix tells what the watches have found.
func (l *load) printMix(w *watchers, selectors []Selector) {
	number := map[Kind]int{}
	for _, s := range selectors {
		number[s.Kind]++
	}
	for _, kind := range kinds {
		if number[kind] > 0 {
			fmt.Fprintf(l.out, "  %d watchers by %s, which %d pods match\n", number[kind], kind, w.byKind[kind].added.Load())
		}
	}
}

// profile notes where the server spends its CPU time, for a third of what was
// measured and at most half a minute. Then it has the garbage collected, twice
// because of what pools keep, and notes what is held.
func (l *load) profile(ctx context.Context, p phase) error {
	const heap = "heap?gc=1"
	seconds := max(1, int(min(l.Measure/3, 30*time.Second).Seconds()))
	wanted := []struct{ kind, path string }{
		{"cpu", fmt.Sprintf("profile?seconds=%d", seconds)}, {"", heap}, {"heap", heap},
	}
	if l.Profiles == "" {
		wanted = wanted[1:]
	}
	for _, want := range wanted {
		var profile bytes.Buffer
		if err := get(ctx, l.admin, l.Config.Host+"/debug/pprof/"+want.path, &profile); err != nil {
			return err
		}
		if l.Profiles == "" || want.kind == "" {
			continue
		}
		number, _, _ := strings.Cut(p.name, " ")
		file := filepath.Join(l.Profiles, "phase-"+number+"-"+want.kind+".pprof")
		if err := os.WriteFile(file, profile.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
