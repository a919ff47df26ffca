// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Options says how a simulation is reached and who may read it.
type Options struct {
	// CA signs the nodes' serving certificates. It is required.
	CA Signer
	// ClientCAs verifies client certificates; without it none is accepted.
	ClientCAs *x509.CertPool
	// Authenticate says whether a bearer token is good; without it none is. It
	// is called for every request.
	Authenticate func(token string) bool
	// Authorize says whether a user may read stats; without it every
	// authenticated user may.
	Authorize func(User) bool
	// Observe, if it is set, is told of each request as it is counted, before the
	// first byte of the answer is sent. Calls overlap.
	Observe func(*Node, Request)
	// Record, if it is set, is told what each answer of /metrics/resource says that can
	// be read, before its first byte is sent. Calls overlap.
	Record func(*Node, *Answer)
	// Clock is the time of the samples and of waiting in faults; without it the
	// real one. Certificates go by the real one in any case.
	Clock clock.Clock
	// ListenAddress is host:port, by default 0.0.0.0:0. A host other than
	// 0.0.0.0 is the address of the only node.
	ListenAddress string
	// NodeSampleInterval is how often nodes and pods are sampled, by default
	// every 10 seconds as in a kubelet. 1 ms has them sampled at the time of the
	// request.
	NodeSampleInterval time.Duration
}

const (
	defaultListenAddress      = "0.0.0.0:0"
	defaultNodeSampleInterval = 10 * time.Second
	// idleTimeout is a kubelet's.
	idleTimeout = 90 * time.Second
)

// Simulation is a set of simulated kubelets behind one listener.
type Simulation struct {
	options  Options
	issuer   *issuer
	listener net.Listener
	server   *http.Server
	served   chan struct{} // closed when the accept loop has ended
	closing  chan struct{} // closed when Close begins
	started  string        // Process-Start-Time-Unix of the answers

	mu        sync.Mutex
	closed    bool
	byName    map[string]*Node
	byAddress map[netip.Addr]*Node
	added     int // nodes ever added
	// active counts connections and requests. It grows only under mu and before
	// closed is set, so that Close can wait for it.
	active sync.WaitGroup
}

// Start listens and serves. It fails if there is no CA or the address cannot be
// bound.
func Start(o Options) (*Simulation, error) {
	if o.CA == nil {
		return nil, errors.New("kubeletsim: Options.CA is missing; pass a CA, for example from NewCA")
	}
	if o.NodeSampleInterval < 0 || o.NodeSampleInterval%time.Millisecond != 0 {
		return nil, fmt.Errorf("kubeletsim: Options.NodeSampleInterval is %s; use whole milliseconds, or 0 for %s", o.NodeSampleInterval, defaultNodeSampleInterval)
	}
	if o.NodeSampleInterval == 0 {
		o.NodeSampleInterval = defaultNodeSampleInterval
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.ListenAddress == "" {
		o.ListenAddress = defaultListenAddress
	}
	l, err := net.Listen("tcp4", o.ListenAddress)
	if err != nil {
		return nil, fmt.Errorf("kubeletsim: cannot listen on Options.ListenAddress; use a free port or port 0: %w", err)
	}
	s := &Simulation{
		options:   o,
		issuer:    newIssuer(o.CA),
		listener:  l,
		served:    make(chan struct{}),
		closing:   make(chan struct{}),
		started:   fmt.Sprint(o.Clock.Now().Unix()),
		byName:    make(map[string]*Node),
		byAddress: make(map[netip.Addr]*Node),
	}
	s.server = s.newServer()
	go s.serve()
	return s, nil
}

func (s *Simulation) newServer() *http.Server {
	return &http.Server{
		Handler:     s,
		IdleTimeout: idleTimeout,
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: servingCertificate,
			// As a kubelet: a bad certificate is a 401, not a failed handshake.
			ClientAuth: tls.RequestClientCert,
			ClientCAs:  s.options.ClientCAs,
			// A resumed session would hide a certificate that has changed.
			SessionTicketsDisabled: true,
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c.(*tls.Conn).NetConn())
		},
		ConnState: func(_ net.Conn, state http.ConnState) {
			// What is hijacked is closed before its request has ended.
			if state == http.StateClosed || state == http.StateHijacked {
				s.active.Done()
			}
		},
		// Failed handshakes are what faults are for.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

type connKey struct{}

func servingCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return hello.Conn.(*nodeConn).node.servingCertificate()
}

// serve runs until Close; the error it ends with says only that.
func (s *Simulation) serve() {
	defer close(s.served)
	_ = s.server.ServeTLS(&listener{s.listener, s}, "", "")
}

// Close stops listening, drops all connections and waits until the requests in
// flight have ended.
func (s *Simulation) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.mu.Unlock()
	close(s.closing)
	// The only error is that of a listener that is closed already.
	_ = s.server.Close()
	<-s.served
	s.active.Wait()
}

// Port is the TCP port of all nodes.
func (s *Simulation) Port() int {
	return s.listener.Addr().(*net.TCPAddr).Port
}

// AddNode adds a node without pods, at an address that no node has had before.
// A name that is in use, an empty one, and a second node where the listener is
// bound to one address are errors.
func (s *Simulation) AddNode(name string) (*Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" {
		return nil, errors.New("kubeletsim: a node needs a name")
	}
	if s.byName[name] != nil {
		return nil, fmt.Errorf("kubeletsim: there is a node %s already; remove it first or use another name", name)
	}
	address, err := s.nextAddress()
	if err != nil {
		return nil, fmt.Errorf("kubeletsim: no address for node %s: %w", name, err)
	}
	n := &Node{
		name:           name,
		address:        address,
		index:          s.added,
		clock:          s.options.Clock,
		sampleInterval: s.options.NodeSampleInterval,
		issuer:         s.issuer,
		overheadCPU:    Constant(defaultOverheadCores),
		overheadMemory: Constant(defaultOverheadBytes),
		pods:           make(map[podKey]*podState),
		faults:         sound,
	}
	n.start = n.SampleTime(n.clock.Now())
	s.added++
	s.byName[name], s.byAddress[address] = n, n
	return n, nil
}

func (s *Simulation) nextAddress() (netip.Addr, error) {
	bound := s.listener.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	if bound.IsUnspecified() {
		if s.added == maxNodes {
			return netip.Addr{}, fmt.Errorf("all %d addresses have been used; start another simulation", maxNodes)
		}
		return nodeAddress(s.added), nil
	}
	if len(s.byName) > 0 {
		return netip.Addr{}, fmt.Errorf("the listener is bound to %s, the address of the only node; listen on 0.0.0.0 for more", bound)
	}
	return bound, nil
}

// Node finds a node by its name.
func (s *Simulation) Node(name string) (*Node, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.byName[name]
	return n, n != nil
}

// RemoveNode takes a node away and reports whether it was there. Its
// connections are reset, and so is every attempt to open one.
func (s *Simulation) RemoveNode(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.byName[name]
	if n == nil {
		return false
	}
	delete(s.byName, name)
	delete(s.byAddress, n.address)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closeConnections()
	return true
}
