// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
)

const (
	metricsPath  = "/metrics/resource"
	summaryPath  = "/stats/summary"
	summaryQuery = "only_cpu_and_memory=true"

	// metricsRetry is how long a kubelet that answered 404 is read through
	// /stats/summary before it is asked again: it may have been upgraded.
	metricsRetry = 10 * time.Minute
)

// Endpoint is where one node's stats are read. It remembers from fetch to fetch
// whether the kubelet knows the first path, and keeps the connection. Fetches of
// one Endpoint must not run at the same time.
type Endpoint struct {
	client  *Client
	node    Node
	host    string // address and port
	metrics location
	summary location
	// metricsAfter is when the first path is asked again; zero while it is in
	// use.
	metricsAfter time.Time
	failed       bool // the last fetch
	// certificateExpires is all that is kept of the certificate that the kubelet has
	// shown last, in seconds since the Unix epoch; 0 if there was none.
	certificateExpires atomic.Int64

	mu        sync.Mutex
	idle      *connection     // of direct; nil while it is in use, or there is none
	transport *http.Transport // of library; nil if there is none
	closed    bool
}

// location is something to ask a kubelet for.
type location struct {
	url string
	// requestLine is that of HTTP/1.1, with the header Host after it.
	requestLine string
}

// Endpoint chooses the node's address, port and path. The error is an *Error
// with ReasonNoAddress or ReasonInvalidPath. An Endpoint has to be closed.
func (c *Client) Endpoint(n Node) (*Endpoint, error) {
	address, err := chooseAddress(n.Addresses, c.config.AddressTypes)
	if err != nil {
		return nil, &Error{Reason: ReasonNoAddress, Node: n.Name, Err: err}
	}
	path, err := choosePath(n.MetricsPath)
	if err != nil {
		return nil, &Error{Reason: ReasonInvalidPath, Node: n.Name, Err: err}
	}
	e := &Endpoint{client: c, node: n, host: net.JoinHostPort(address, strconv.Itoa(c.port(n)))}
	base := url.URL{Scheme: c.scheme(), Host: e.host}
	if err := e.metrics.set(base, url.URL{Path: path}); err != nil {
		return nil, &Error{Reason: ReasonNoAddress, Node: n.Name, Err: err}
	}
	if err := e.summary.set(base, url.URL{Path: summaryPath, RawQuery: summaryQuery}); err != nil {
		return nil, &Error{Reason: ReasonNoAddress, Node: n.Name, Err: err}
	}
	c.add(e)
	return e, nil
}

// Address is the host and port that are dialled.
func (e *Endpoint) Address() string { return e.host }

// CertificateExpires is the end of the certificate that the kubelet has shown last,
// whether it was accepted or not; zero if it has shown none.
func (e *Endpoint) CertificateExpires() time.Time {
	if seconds := e.certificateExpires.Load(); seconds != 0 {
		return time.Unix(seconds, 0)
	}
	return time.Time{}
}

// set fills in the location. net/http says what a request for it looks like.
func (l *location) set(base, u url.URL) error {
	u.Scheme, u.Host = base.Scheme, base.Host
	l.url = u.String()
	req, err := http.NewRequest(http.MethodGet, l.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "") // that is one of the other headers
	var text strings.Builder
	if err := req.Write(&text); err != nil {
		return err
	}
	l.requestLine = strings.TrimSuffix(text.String(), "\r\n")
	return nil
}

// Close closes the connection, once it is idle. It may be called more than once.
func (e *Endpoint) Close() {
	if e.client != nil {
		e.client.remove(e)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.drop()
}

// take returns the idle connection, nil if there is none that was made with the
// credentials of a generation and is still good.
func (e *Endpoint) take(generation uint64) *connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.idle != nil && (e.idle.generation != generation || !e.idle.quiet()) {
		e.drop()
	}
	conn := e.idle
	e.idle = nil
	return conn
}

// put keeps a connection for the next request, or closes it if it is not sound or
// not of the generation of now.
func (e *Endpoint) put(conn *connection, generation uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.idle = conn
	if e.closed || !conn.sound || conn.generation != generation {
		e.drop()
	}
}

// dropIdle closes a connection that is not in use.
func (e *Endpoint) dropIdle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drop()
}

// drop is dropIdle with the lock held.
func (e *Endpoint) drop() {
	if e.idle != nil {
		e.idle.close()
		e.idle = nil
	}
	if e.transport != nil {
		e.transport.CloseIdleConnections()
		e.transport = nil
	}
}

// takeTransport returns the transport in use, or else a new one.
func (e *Endpoint) takeTransport(create func(*Endpoint) *http.Transport) *http.Transport {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.transport == nil {
		e.transport = create(e)
	}
	return e.transport
}

// putTransport closes what is idle of a transport that is not in use any more.
func (e *Endpoint) putTransport(t *http.Transport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		e.drop()
	}
	if e.transport != t {
		t.CloseIdleConnections()
	}
}

func (c *Client) scheme() string {
	if c.config.Insecure {
		return "http"
	}
	return "https"
}

func (c *Client) port(n Node) int {
	if c.config.UseNodeStatusPort && n.Port != 0 {
		return int(n.Port)
	}
	return c.config.Port
}

// choosePath checks the annotation. It is a path only: a '?' in it is a
// character of the path, as in metrics-server of kubernetes-sigs.
func choosePath(annotation string) (string, error) {
	if annotation == "" {
		return metricsPath, nil
	}
	if reason := invalidPath(annotation); reason != nil {
		return "", fmt.Errorf("annotation %s: %q %w; give an absolute path such as %s",
			MetricsPathAnnotation, truncate(annotation), reason, metricsPath)
	}
	return annotation, nil
}

func invalidPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return errors.New("does not begin with a slash")
	case strings.HasPrefix(path, "//"):
		return errors.New("begins with two slashes, as a host would")
	case slices.Contains(strings.Split(path, "/"), ".."):
		return errors.New(`has the element ".."`)
	case strings.ContainsFunc(path, unicode.IsControl):
		return errors.New("has a control character")
	}
	return nil
}

// metricsDue tells whether the first path is to be asked.
func (e *Endpoint) metricsDue(now time.Time) bool {
	return !now.Before(e.metricsAfter)
}

// useSummary has the next fetches go to /stats/summary for a while. While they
// do, the time of the next try of the first path does not move.
func (e *Endpoint) useSummary(now time.Time) {
	if e.metricsDue(now) {
		e.metricsAfter = now.Add(metricsRetry)
	}
}

// useMetrics has the next fetch begin with the first path again.
func (e *Endpoint) useMetrics() {
	e.metricsAfter = time.Time{}
}
