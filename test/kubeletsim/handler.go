// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"
)

// Paths of a kubelet.
const (
	resourceMetricsPath = "/metrics/resource"
	summaryPath         = "/stats/summary"
	healthPath          = "/healthz"
)

// answer is a sound answer, before faults of the body.
type answer struct {
	contentType  string
	body         []byte
	compressible bool
}

// rendering holds what rendering one answer needs; it is reused.
type rendering struct {
	snapshot snapshot
	body     []byte
}

var (
	renderings  = sync.Pool{New: func() any { return new(rendering) }}
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
)

// ServeHTTP answers for the node whose address the client dialled.
func (s *Simulation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		panic(http.ErrAbortHandler)
	}
	defer s.active.Done()
	c := r.Context().Value(connKey{}).(*nodeConn)
	counted := &countingWriter{ResponseWriter: w, simulation: s, node: c.node, path: r.URL.Path}
	if !s.respond(counted, r, c) {
		counted.count(0)
		panic(http.ErrAbortHandler)
	}
}

func (s *Simulation) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.active.Add(1)
	}
	return !s.closed
}

// respond reports whether the answer is complete; if not, the connection has to
// be dropped.
func (s *Simulation) respond(w *countingWriter, r *http.Request, c *nodeConn) bool {
	f := c.node.currentFaults()
	if f.hang {
		w.count(0)
		s.wait(r.Context(), nil)
		return false
	}
	if f.delay > 0 && !s.sleep(r.Context(), f.delay) {
		return false
	}
	if refusal := s.refusal(r, c, f); refusal != 0 {
		http.Error(w, http.StatusText(refusal), refusal)
		return true
	}
	if f.raw != nil {
		return s.sendRaw(w, c.node, f)
	}
	switch r.URL.Path {
	case resourceMetricsPath:
		return s.serveResourceMetrics(w, r, c.node, f)
	case summaryPath:
		return s.serveSummary(w, r, c.node, f)
	case healthPath:
		return s.send(w, r, f, answer{contentType: "text/plain; charset=utf-8", body: []byte("ok")})
	default:
		http.NotFound(w, r)
		return true
	}
}

// refusal is the status of a request that gets no stats, or 0.
func (s *Simulation) refusal(r *http.Request, c *nodeConn, f *faults) int {
	user, ok := s.authenticate(c, r)
	switch {
	case !ok:
		return http.StatusUnauthorized
	case f.status != 0:
		return f.status
	case s.options.Authorize != nil && !s.options.Authorize(user):
		return http.StatusForbidden
	case c.node.fails(f):
		return http.StatusInternalServerError
	case f.noResourceMetrics && r.URL.Path == resourceMetricsPath:
		return http.StatusNotFound
	}
	return 0
}

func (n *Node) currentFaults() *faults {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.faults
}

// serveResourceMetrics chooses the format as a kubelet does, except that it
// sends text where the debugging forms of protobuf are asked for.
func (s *Simulation) serveResourceMetrics(w *countingWriter, r *http.Request, n *Node, f *faults) bool {
	format := expfmt.Negotiate(r.Header)
	delimited := format.FormatType() == expfmt.TypeProtoDelim
	if !delimited {
		format = expfmt.NewFormat(expfmt.TypeTextPlain).WithEscapingScheme(format.ToEscapingScheme())
	}
	buffers := renderings.Get().(*rendering)
	defer renderings.Put(buffers)
	buffers.body = n.renderMetrics(buffers, delimited)
	s.record(n, f, &buffers.snapshot)
	w.Header().Set("Process-Start-Time-Unix", s.started)
	return s.send(w, r, f, answer{contentType: string(format), body: buffers.body, compressible: true})
}

func (n *Node) renderMetrics(buffers *rendering, delimited bool) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.observe(n.clock.Now(), &buffers.snapshot)
	if delimited {
		return buffers.snapshot.appendProtobuf(buffers.body[:0])
	}
	return buffers.snapshot.appendText(buffers.body[:0])
}

func (s *Simulation) serveSummary(w *countingWriter, r *http.Request, n *Node, f *faults) bool {
	if r.URL.Query().Get("only_cpu_and_memory") != "true" {
		http.Error(w, "simulated kubelets have the summary with only_cpu_and_memory=true only", http.StatusNotFound)
		return true
	}
	buffers := renderings.Get().(*rendering)
	defer renderings.Put(buffers)
	body, err := n.renderSummary(buffers)
	if err != nil {
		http.Error(w, fmt.Sprintf("Internal Error: %v", err), http.StatusInternalServerError)
		return true
	}
	buffers.body = body
	return s.send(w, r, f, answer{contentType: "application/json", body: body})
}

func (n *Node) renderSummary(buffers *rendering) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.observe(n.clock.Now(), &buffers.snapshot)
	uids := make(map[podKey]string, len(n.pods))
	for key, p := range n.pods {
		uids[key] = p.uid
	}
	return buffers.snapshot.appendSummary(buffers.body[:0], n.name, uids)
}

// send writes an answer, with the faults of its body. It reports whether the
// answer is complete.
func (s *Simulation) send(w *countingWriter, r *http.Request, f *faults, a answer) bool {
	a = f.body.spoil(a)
	w.Header().Set("Content-Type", a.contentType)
	if f.body.endless {
		return s.sendEndless(w, a.body)
	}
	if a.compressible && acceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		a.body = compress(a.body)
	}
	if f.body.abort {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		a.body = a.body[:len(a.body)/2]
	}
	if !s.write(w, r, &f.body, a.body) {
		return false
	}
	return !f.body.abort
}

// write sends the body, in pieces where it drips. A client that is gone is no
// news to the connection, so errors need no more than an end.
func (s *Simulation) write(w *countingWriter, r *http.Request, f *bodyFaults, body []byte) bool {
	control := http.NewResponseController(w)
	for f.dripBytes > 0 && len(body) > f.dripBytes {
		if _, err := w.Write(body[:f.dripBytes]); err != nil {
			return false
		}
		if control.Flush() != nil || !s.sleep(r.Context(), f.dripInterval) {
			return false
		}
		body = body[f.dripBytes:]
	}
	if _, err := w.Write(body); err != nil {
		return false
	}
	// The first half of a body that is cut off must still arrive.
	return !f.abort || control.Flush() == nil
}

func (s *Simulation) sendEndless(w *countingWriter, body []byte) bool {
	for {
		if _, err := w.Write(body); err != nil {
			return false
		}
	}
}

// acceptsGzip reads the header as client_golang's promhttp does: any weight
// above 0 will do, but a preference for no compression at all counts.
func acceptsGzip(r *http.Request) bool {
	gzipWeight, identityWeight := 0.0, 0.0
	for _, header := range r.Header.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(header, ",") {
			coding, weight := parseCoding(item)
			if coding == "gzip" || coding == "*" {
				gzipWeight = max(gzipWeight, weight)
			}
			if coding == "identity" || coding == "*" {
				identityWeight = max(identityWeight, weight)
			}
		}
	}
	return gzipWeight > identityWeight
}

// parseCoding splits an item such as "gzip;q=0.5".
func parseCoding(item string) (string, float64) {
	coding, parameter, _ := strings.Cut(item, ";")
	weight := 1.0
	if q, found := strings.CutPrefix(strings.TrimSpace(parameter), "q="); found {
		if parsed, err := strconv.ParseFloat(q, 64); err == nil {
			weight = parsed
		}
	}
	return strings.ToLower(strings.TrimSpace(coding)), weight
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	z := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(z)
	z.Reset(&b)
	// Writing to a bytes.Buffer does not fail.
	_, _ = z.Write(body)
	_ = z.Close()
	return b.Bytes()
}

// sleep waits by the simulation's clock; it reports false if the client or the
// simulation goes first.
func (s *Simulation) sleep(ctx context.Context, d time.Duration) bool {
	timer := s.options.Clock.NewTimer(d)
	defer timer.Stop()
	return s.wait(ctx, timer.C())
}

func (s *Simulation) wait(ctx context.Context, c <-chan time.Time) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
	case <-s.closing:
	}
	return false
}

// countingWriter counts a request once, before its first byte is sent, so that
// a client that has an answer finds it counted.
type countingWriter struct {
	http.ResponseWriter
	simulation *Simulation
	node       *Node
	path       string
	counted    bool
}

func (w *countingWriter) count(status int) {
	if !w.counted {
		w.counted = true
		kind := Request{w.path, status}
		w.node.countRequest(kind)
		if observe := w.simulation.options.Observe; observe != nil {
			observe(w.node, kind)
		}
	}
}

func (w *countingWriter) WriteHeader(status int) {
	w.count(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.count(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
