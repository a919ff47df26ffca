// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package corestub is a stub of the core API of Kubernetes: what a metrics server
// needs of a kube-apiserver and no more, for clusters of a size that no control
// plane on one machine can hold. It serves
//
//   - nodes and pods, or the metadata of pods: list, with pages, and watch, with initial
//     events and bookmarks, as JSON and protobuf. Objects are made when they are
//     sent, so that a million pods cost no memory;
//   - reviews of tokens and of access: it knows one token, and allows cluster
//     administrators everything;
//   - the ConfigMap that says whom an aggregated API server has to trust.
//
// There are no selectors, except that pods in phase Running may be asked for: all
// are.
package corestub

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/test/cluster"
)

// bookmarkPeriod is between two bookmarks of a watch, as in a kube-apiserver.
const bookmarkPeriod = time.Minute

// Options say who may ask, and who is trusted.
type Options struct {
	// CA signs the serving certificate, and is what servers are told to trust for
	// client certificates. It is required.
	CA *cluster.CertificateAuthority
	// Token is that of the only client. It is required.
	Token string
	// Clock times bookmarks; without it the real one does.
	Clock clock.WithTicker
	// Log gets a line for each request that is not known, nil for none.
	Log io.Writer
}

// Contents is what there is in the cluster. Node and Pod return the i-th of each,
// always the same; calls overlap.
type Contents struct {
	Nodes int
	Node  func(i int) *corev1.Node
	Pods  int
	Pod   func(i int) *corev1.Pod
}

// Stub is a running stub.
type Stub struct {
	options     Options
	server      *http.Server
	listener    net.Listener
	trust       *corev1.ConfigMap
	stopWatches func()
	stopped     <-chan struct{}
	served      chan struct{} // closed when the accept loop has ended

	mu       sync.Mutex
	contents Contents
	version  int // goes up with each SetContents and each change
	replaced int // the version of the last SetContents
	changes  []Change
	changed  chan struct{} // closed at the next change
}

// Start serves on a free port of 127.0.0.1, without nodes and pods. Close ends it.
func Start(o Options) (*Stub, error) {
	if o.CA == nil || o.Token == "" {
		return nil, fmt.Errorf("corestub: Options.CA or Options.Token is missing; set both")
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	certificate, err := servingCertificate(o.CA)
	if err != nil {
		return nil, fmt.Errorf("corestub: %w", err)
	}
	trust, err := newTrust(o.CA)
	if err != nil {
		return nil, fmt.Errorf("corestub: %w", err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("corestub: %w", err)
	}
	stopped := make(chan struct{})
	s := &Stub{
		options: o, listener: l, trust: trust, version: 1,
		stopped: stopped, stopWatches: sync.OnceFunc(func() { close(stopped) }),
		served: make(chan struct{}), changed: make(chan struct{}), replaced: 1,
	}
	s.server = &http.Server{
		Handler:           s.newHandler(),
		ReadHeaderTimeout: time.Minute,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}},
		// Clients that go away in the middle of a request are no news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(s.served)
		_ = s.server.ServeTLS(l, "", "") // says only that it was closed
	}()
	return s, nil
}

func servingCertificate(ca *cluster.CertificateAuthority) (tls.Certificate, error) {
	cert, key, err := ca.IssueServing([]string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// Close drops all connections.
func (s *Stub) Close() {
	s.stopWatches()
	_ = s.server.Close() // the only error is that of a listener that is closed already
	<-s.served
}

// SetContents replaces what there is. It is for the time between two servers:
// watches that are open are not told.
func (s *Stub) SetContents(c Contents) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contents = c
	s.version++
	s.replaced, s.changes = s.version, nil
}

func (s *Stub) current() (c Contents, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.contents, fmt.Sprint(s.version)
}

// Config is that of the only client, without a rate limit.
func (s *Stub) Config() *rest.Config {
	return &rest.Config{
		Host:            "https://" + s.listener.Addr().String(),
		BearerToken:     s.options.Token,
		TLSClientConfig: rest.TLSClientConfig{CAData: s.options.CA.CertPEM()},
		QPS:             -1,
	}
}
