// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"

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
	connections *connections
	transport   http.RoundTripper
}

// NewClient reads the files that the configuration names and fails if one of
// them cannot be read or parsed. It connects to nothing.
func NewClient(c Config) (*Client, error) {
	return newClient(c, clock.RealClock{})
}

func newClient(c Config, clock clock.PassiveClock) (*Client, error) {
	config, err := transportConfig(c)
	if err != nil {
		return nil, err
	}
	credentials, err := newCredentials(config, clock)
	if err != nil {
		return nil, err
	}
	connections := newConnections(c, config, credentials)
	rt, err := transport.HTTPWrappersForConfig(config, connections)
	if err != nil {
		return nil, err
	}
	return &Client{
		config:      c,
		clock:       clock,
		credentials: credentials,
		connections: connections,
		transport:   rt,
	}, nil
}

// transportConfig is what client-go makes of the configuration: credentials,
// wrappers, dialer and proxy. With Insecure no credentials are left in it.
func transportConfig(c Config) (*transport.Config, error) {
	client := rest.CopyConfig(c.Client)
	if c.Insecure {
		client = rest.AnonymousClientConfig(client)
		client.TLSClientConfig = rest.TLSClientConfig{}
	}
	if client.UserAgent == "" {
		client.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	return client.TransportConfig()
}

// Fetch reads the node's stats into buf, or into a larger buffer if that one is
// too small: Answer.Body is the buffer to pass to the next Fetch. buf may be
// nil, and stays the caller's own if Fetch fails.
//
// A kubelet that answers 404 is asked for /stats/summary instead, in the same
// Fetch and for the next 10 minutes. Every error is an *Error.
func (c *Client) Fetch(ctx context.Context, e *Endpoint, buf []byte) (Answer, error) {
	c.credentials.refresh(c.connections.renew)
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()

	now := c.clock.Now()
	if e.metricsDue(now) {
		answer, err := c.get(ctx, e.node, e.metricsURL, metricsResource, buf)
		if err == nil {
			return answer, nil
		}
		if err.Reason != ReasonNotFound {
			return Answer{}, err
		}
	}
	answer, err := c.get(ctx, e.node, e.summaryURL, summaryResource, buf)
	if err != nil {
		e.useMetrics()
		err.Err = fmt.Errorf("%w (asked because %s answered 404)", err.Err, e.metricsURL)
		return Answer{}, err
	}
	e.useSummary(now)
	return answer, nil
}

// get makes one request. It goes to the transport and not to an http.Client, so
// that no redirect is followed: the credentials are for this kubelet only.
func (c *Client) get(ctx context.Context, node, url string, want resource, buf []byte) (Answer, *Error) {
	sent, connected := c.clock.Now(), false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent, connected = c.clock.Now(), true },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Answer{}, &Error{Reason: ReasonNoAddress, Node: node, URL: url, Err: err}
	}
	req.Header.Set("Accept", want.accept)
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return Answer{}, &Error{Reason: requestReason(err), Node: node, URL: url, Err: c.explain(err, connected)}
	}
	defer resp.Body.Close()

	format, reason, err := checkResponse(resp, want)
	if err != nil {
		return Answer{}, &Error{Reason: reason, Node: node, URL: url, Err: err}
	}
	body, reason, err := readBody(resp.Body, buf)
	if err != nil {
		return Answer{}, &Error{Reason: reason, Node: node, URL: url, Err: c.explain(err, connected)}
	}
	return Answer{Format: format, Body: body, RequestTime: sent}, nil
}

// explain adds to an error of the transport what it does not say itself.
func (c *Client) explain(err error, connected bool) error {
	if isTimeout(err) {
		phase := "no connection in time"
		if connected {
			phase = "no complete answer in time"
		}
		return fmt.Errorf("%s: %w; --kubelet-request-timeout is %s", phase, err, c.config.Timeout)
	}
	return explainCertificate(err)
}

// Close closes the connections that are idle, and the others as soon as they
// are. The Client is not to be used afterwards.
func (c *Client) Close() {
	c.connections.close()
}
