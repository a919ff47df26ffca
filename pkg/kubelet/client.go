// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"k8s.io/utils/clock"
)

// Client fetches from kubelets, over one kept-alive connection per kubelet. It
// is safe for concurrent use.
//
// The CA, client certificate, key and token files of its configuration are read
// again while it is in use, at most every 10 s. New content is used from the next
// request on; connections that were made with an older CA or client certificate
// are closed once idle. A file that cannot be read or parsed is logged, and its
// last good content stays in use.
type Client struct {
	config      Config
	clock       clock.PassiveClock
	credentials *credentials
	dialer      *dialer
	getter      getter

	mu        sync.Mutex
	endpoints map[*Endpoint]struct{}
}

// getter makes one request.
type getter interface {
	// get returns the answer, which is to be released, or why there is none by the
	// deadline.
	get(ctx context.Context, deadline time.Time, e *Endpoint, at *location, want *resource) (Answer, Reason, error)
}

// NewClient reads the files that the configuration names and fails if one of
// them cannot be read or parsed. It connects to nothing.
func NewClient(c Config) (*Client, error) {
	return newClient(c, clock.RealClock{})
}

func newClient(c Config, clock clock.PassiveClock) (*Client, error) {
	if c.Insecure {
		c.Tokens = nil
	}
	config, err := transportConfig(c)
	if err != nil {
		return nil, err
	}
	// An exec plugin wraps requests, to see which are refused.
	useLibrary := config.Proxy != nil || config.WrapTransport != nil
	credentials, err := newCredentials(config, c.Tokens, clock)
	if err != nil {
		return nil, err
	}
	client := &Client{
		config:      c,
		clock:       clock,
		credentials: credentials,
		dialer:      newDialer(c, config, credentials),
		endpoints:   make(map[*Endpoint]struct{}),
	}
	if useLibrary {
		client.getter, err = newLibrary(client.dialer, clock)
	} else {
		client.getter = newDirect(client.dialer, clock)
	}
	return client, err
}

// transportConfig is what client-go makes of the configuration: credentials,
// wrappers, dialer and proxy. With Insecure no credentials are left in it.
func transportConfig(c Config) (*transport.Config, error) {
	client := rest.CopyConfig(c.Client)
	if c.Insecure || c.Tokens != nil {
		client = rest.AnonymousClientConfig(client)
	}
	if c.Insecure {
		client.TLSClientConfig = rest.TLSClientConfig{}
	}
	if client.UserAgent == "" {
		client.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	return client.TransportConfig()
}

// Fetch reads the node's stats. The Answer has to be released.
//
// A kubelet that answers 404 is asked for /stats/summary instead, in the same
// Fetch and for the next 10 minutes. Every error is an *Error.
//
// Fetches of an Endpoint cost least if they have the same ctx.
func (c *Client) Fetch(ctx context.Context, e *Endpoint) (answer Answer, err error) {
	defer func() { e.failed = err != nil }()
	if c.credentials.refresh() {
		c.renew()
	}
	deadline := time.Now().Add(c.config.Timeout)
	now := c.clock.Now()
	if e.metricsDue(now) {
		answer, reason, err := c.get(ctx, deadline, e, &e.metrics, metricsResource)
		if err == nil {
			return answer, nil
		}
		if reason != ReasonNotFound {
			return Answer{}, &Error{Reason: reason, Node: e.node.Name, URL: e.metrics.url, Err: err}
		}
	}
	answer, reason, err := c.get(ctx, deadline, e, &e.summary, summaryResource)
	if err != nil {
		e.useMetrics()
		err = fmt.Errorf("%w (asked because %s answered 404)", err, e.metrics.url)
		return Answer{}, &Error{Reason: reason, Node: e.node.Name, URL: e.summary.url, Err: err}
	}
	e.useSummary(now)
	return answer, nil
}

// get makes one request, and reports a token that the kubelet refused.
func (c *Client) get(ctx context.Context, deadline time.Time, e *Endpoint, at *location, want *resource) (Answer, Reason, error) {
	answer, reason, err := c.getter.get(ctx, deadline, e, at, want)
	if reason == ReasonUnauthorized && c.credentials.tokens != nil {
		c.credentials.tokens.Refused()
	}
	return answer, reason, err
}

// renew closes the connections that are idle, and has the others closed as soon as
// they are.
func (c *Client) renew() {
	c.dialer.generation.Add(1)
	for _, e := range c.all() {
		e.dropIdle()
	}
}

func (c *Client) add(e *Endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endpoints[e] = struct{}{}
}

func (c *Client) remove(e *Endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.endpoints, e)
}

func (c *Client) all() []*Endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.endpoints))
}

// Close closes the connections that are idle, and the others as soon as they
// are. The Client is not to be used afterwards.
func (c *Client) Close() {
	for _, e := range c.all() {
		e.Close()
	}
}
