// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
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
// whether the kubelet knows the first path. Fetches of one Endpoint must not
// run at the same time.
type Endpoint struct {
	node       string
	metricsURL string
	summaryURL string
	// metricsAfter is when the first path is asked again; zero while it is in
	// use.
	metricsAfter time.Time
}

// Endpoint chooses the node's address, port and path. The error is an *Error
// with ReasonNoAddress or ReasonInvalidPath.
func (c *Client) Endpoint(n Node) (*Endpoint, error) {
	address, err := chooseAddress(n.Addresses, c.config.AddressTypes)
	if err != nil {
		return nil, &Error{Reason: ReasonNoAddress, Node: n.Name, Err: err}
	}
	path, err := choosePath(n.MetricsPath)
	if err != nil {
		return nil, &Error{Reason: ReasonInvalidPath, Node: n.Name, Err: err}
	}
	base := url.URL{Scheme: c.scheme(), Host: net.JoinHostPort(address, strconv.Itoa(c.port(n)))}
	metrics, summary := base, base
	metrics.Path = path
	summary.Path, summary.RawQuery = summaryPath, summaryQuery
	return &Endpoint{node: n.Name, metricsURL: metrics.String(), summaryURL: summary.String()}, nil
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
