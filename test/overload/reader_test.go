// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package overload

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// Slow readers read this much, this often.
const (
	sip   = 4 << 10
	pause = 500 * time.Millisecond
)

// lists are what is asked for. A table of all is more than the memory limit allows.
var lists = []struct{ path, accept string }{
	{"/pods", runtime.ContentTypeJSON},
	{"/pods", runtime.ContentTypeProtobuf},
	{"/pods?limit=5000", runtime.ContentTypeJSON + ";as=Table;g=meta.k8s.io;v=v1"},
}

// crowd lists all pods again and again, and reads slowly what it gets.
type crowd struct {
	site    *site
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	answered map[int]bool // readers that have had any answer
	served   map[string]int
	refused  map[string]int // by protocol
	problems []error
}

func (s *site) startCrowd(t *testing.T, readers int) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{site: s, cancel: cancel, answered: map[int]bool{}, served: map[string]int{}, refused: map[string]int{}}
	for i := range readers {
		client := slowClient(s.tls, i%2 == 0)
		list := lists[i%len(lists)]
		c.running.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				if err := c.read(ctx, i, client, list.path, list.accept); err != nil && ctx.Err() == nil {
					c.mu.Lock()
					c.problems = append(c.problems, err)
					c.mu.Unlock()
					wait(ctx, pause)
				}
			}
		})
	}
	t.Cleanup(c.leave)
	return c
}

// leave breaks all connections.
func (c *crowd) leave() {
	c.cancel()
	c.running.Wait()
}

// slowClient has a connection that holds little that is not read.
func slowClient(config *tls.Config, http2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: config.Clone(), Protocols: &protocols, DisableCompression: true,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return conn, conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		},
	}}
}

// read lists once. How a list that is served ends is not looked at: it is cut when it
// takes too long.
func (c *crowd) read(ctx context.Context, reader int, client *http.Client, path, accept string) error {
	resp, err := c.site.get(ctx, client, path, accept)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	c.mu.Lock()
	c.answered[reader] = true
	switch resp.StatusCode {
	case http.StatusOK:
		c.served[resp.Proto]++
	case http.StatusTooManyRequests:
		c.refused[resp.Proto]++
	}
	c.mu.Unlock()
	switch resp.StatusCode {
	case http.StatusOK:
		for {
			if _, err := io.CopyN(io.Discard, resp.Body, sip); err != nil {
				return nil
			}
			wait(ctx, pause)
		}
	case http.StatusTooManyRequests:
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		var status metav1.Status
		if err := runtime.DecodeInto(scheme.Codecs.UniversalDeserializer(), body, &status); err != nil {
			return err
		}
		after, err := time.ParseDuration(resp.Header.Get("Retry-After") + "s")
		if err != nil || after <= 0 || status.Reason != metav1.StatusReasonTooManyRequests || status.Message == "" {
			return fmt.Errorf("refused with %v and %+v", resp.Header, status)
		}
		wait(ctx, after)
		return nil
	}
	return fmt.Errorf("%s: %s", accept, resp.Status)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// overload is an error until all have been answered, and some refused, over each
// protocol.
func (c *crowd) overload(readers int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.answered) < readers || len(c.served) < 2 || len(c.refused) < 2 {
		return fmt.Errorf("%d of %d readers are answered, served are %v, refused are %v", len(c.answered), readers, c.served, c.refused)
	}
	return nil
}

// String says what has become of its lists.
func (c *crowd) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("served %v, refused %v", c.served, c.refused)
}

func (c *crowd) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.problems...)
}

func (s *site) get(ctx context.Context, client *http.Client, path, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin.Host+"/apis/metrics.k8s.io/v1beta1"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	return client.Do(req)
}
