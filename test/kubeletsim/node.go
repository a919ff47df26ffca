// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Overhead of a node beyond its pods, unless SetOverhead is called.
const (
	defaultOverheadCores = 0.1
	defaultOverheadBytes = 512 << 20
)

// Node is one simulated kubelet. Its methods are safe for concurrent use.
type Node struct {
	name           string
	address        netip.Addr
	index          int
	clock          clock.Clock
	sampleInterval time.Duration
	issuer         *issuer

	mu sync.Mutex
	// start is when the node was added, truncated to the sample interval.
	start                       time.Time
	overheadCPU, overheadMemory Wave
	pods                        map[podKey]*podState
	past                        []run  // of pods that are gone
	pastCPU                     uint64 // what older runs have added to the node's counter
	sortedRuns                  []*run // nil when the pods have changed
	sortedPods                  []*podState
	faults                      *faults
	certificate                 *tls.Certificate // nil until the first handshake
	connections                 map[*nodeConn]struct{}
	accepted                    int
	requests                    []requestCount
}

// Name of the node, which is also a DNS name in its certificate.
func (n *Node) Name() string { return n.name }

// Index is how many nodes the simulation had been given before this one.
func (n *Node) Index() int { return n.index }

// Address is the IP address that the node answers on.
func (n *Node) Address() string { return n.address.String() }

// SetOverhead sets what the node uses beyond its pods, in cores and in bytes;
// the default is 0.1 cores and 512 MiB. Call it before the first scrape: the
// node's counter is worked out anew from its start.
func (n *Node) SetOverhead(cpu, memory Wave) error {
	if err := cpu.validateCPU(); err != nil {
		return fmt.Errorf("overhead of node %s: %w", n.name, err)
	}
	if err := memory.validateBytes("memory"); err != nil {
		return fmt.Errorf("overhead of node %s: %w", n.name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.overheadCPU, n.overheadMemory = cpu, memory
	return nil
}

// SetPods replaces all pods. A container without a start time starts now, also
// where a pod of the same name was there before. Pods that cannot be simulated
// (no name, a name twice, impossible usage) are an error and nothing changes.
func (n *Node) SetPods(pods []Pod) error {
	seen := make(map[podKey]bool, len(pods))
	for i := range pods {
		p := &pods[i]
		if err := p.validate(); err != nil {
			return fmt.Errorf("node %s: %w", n.name, err)
		}
		key := podKey{p.Namespace, p.Name}
		if seen[key] {
			return fmt.Errorf("node %s: pod %s/%s is listed twice; list it once", n.name, p.Namespace, p.Name)
		}
		seen[key] = true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.clock.Now()
	for key := range n.pods {
		n.retire(key, now)
	}
	n.pods = make(map[podKey]*podState, len(pods))
	for _, p := range pods {
		n.admit(p, now)
	}
	return nil
}

// AddPod adds a pod. A pod that cannot be simulated, or that is there already,
// is an error.
func (n *Node) AddPod(p Pod) error {
	if err := p.validate(); err != nil {
		return fmt.Errorf("node %s: %w", n.name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pods[podKey{p.Namespace, p.Name}] != nil {
		return fmt.Errorf("node %s has pod %s/%s already; remove it first", n.name, p.Namespace, p.Name)
	}
	n.admit(p, n.clock.Now())
	return nil
}

// RemovePod removes a pod and reports whether it was there. What it used stays
// in the node's counter.
func (n *Node) RemovePod(namespace, name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := podKey{namespace, name}
	if n.pods[key] == nil {
		return false
	}
	n.retire(key, n.clock.Now())
	return true
}

// Pod is a copy of a pod of the node, with the start times of its containers
// filled in.
func (n *Node) Pod(namespace, name string) (Pod, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.pods[podKey{namespace, name}]
	if s == nil {
		return Pod{}, false
	}
	return s.export(), true
}

// RestartContainer gives a container a new start time and a counter that begins
// at 0 again. The time may not lie in the future, nor before the container's last
// start or the time at which its pod joined the node.
func (n *Node) RestartContainer(namespace, pod, container string, at time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ref := ContainerRef{namespace, pod, container}
	r := n.run(ref)
	if r == nil {
		return fmt.Errorf("restart of %s: node %s has no such container", ref, n.name)
	}
	if now := n.clock.Now(); at.After(now) || !at.After(r.Start) || at.UnixNano() < r.from {
		return fmt.Errorf("restart of %s at %s: use a time after its last start, %s, not before its pod joined node %s, %s, and not after now, %s", ref, at, r.Start, n.name, time.Unix(0, r.from), now)
	}
	n.pods[podKey{namespace, pod}].restart(r, at)
	return nil
}

// CPUSeconds is the CPU time that the node's pods and its overhead have consumed
// since the node was added, in core-seconds as encoded. It holds for times from
// the last change of the node's pods on.
func (n *Node) CPUSeconds(t time.Time) float64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return seconds(n.totalsAt(t.UnixNano()).cpu)
}

// WorkingSet is the memory that the node's pods and its overhead have in use at
// t, in bytes, for times from the last change of the node's pods on.
func (n *Node) WorkingSet(t time.Time) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.totalsAt(t.UnixNano()).memory
}

// ExpectedCPU is the usage in nanocores that a server must report for the node
// and a window from t0 to t1; see Container.ExpectedCPU. Both are sample times
// of a node: see SampleTime.
func (n *Node) ExpectedCPU(t0, t1 time.Time) float64 {
	return expectedCPU(n.CPUSeconds(t0), n.CPUSeconds(t1), t1.Sub(t0))
}

// SampleTime is the time that the samples of the node itself and of its pods
// carry in an answer to a request at t.
func (n *Node) SampleTime(t time.Time) time.Time {
	return time.Unix(0, n.sampleTime(t.UnixNano()))
}

// Requests counts the requests that the node has got, by path and status.
func (n *Node) Requests() map[Request]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	counts := make(map[Request]int, len(n.requests))
	for _, c := range n.requests {
		counts[c.Request] = c.count
	}
	return counts
}

// Connections counts the connections that clients have opened to the node, also
// those that were reset at once.
func (n *Node) Connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.accepted
}

// Request is a kind of request to a node.
type Request struct {
	Path string
	// Status is 0 for a request that got no answer.
	Status int
}

type requestCount struct {
	Request
	count int
}

// countRequest searches a slice because a node sees few kinds of request, and a
// map for each of thousands of nodes would cost more.
func (n *Node) countRequest(kind Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.requests {
		if n.requests[i].Request == kind {
			n.requests[i].count++
			return
		}
	}
	n.requests = append(n.requests, requestCount{kind, 1})
}

func (n *Node) sampleTime(ns int64) int64 {
	return ns - ns%int64(n.sampleInterval)
}

func (n *Node) run(ref ContainerRef) *run {
	s := n.pods[podKey{ref.Namespace, ref.Pod}]
	if s == nil {
		return nil
	}
	return s.run(ref.Container)
}

// admit adds a pod, from the node's current sample on: the values of that sample
// do not change, so that two answers with one sample time agree.
func (n *Node) admit(p Pod, now time.Time) {
	n.sortedRuns = nil
	n.pods[podKey{p.Namespace, p.Name}] = newPodState(p, now, n.sampleTime(now.UnixNano()))
}

// retire removes a pod and keeps what it has used.
func (n *Node) retire(key podKey, now time.Time) {
	s := n.pods[key]
	for i := range s.runs {
		s.runs[i].end = now.UnixNano()
	}
	n.past = append(append(n.past, s.runs...), s.past...)
	delete(n.pods, key)
	n.sortedRuns = nil
	n.foldPast(n.sampleTime(now.UnixNano()))
}

// foldPast sums up runs that ended before the current sample, so that a node
// whose pods come and go does not grow.
func (n *Node) foldPast(sample int64) {
	n.past = slices.DeleteFunc(n.past, func(r run) bool {
		if r.end > sample {
			return false
		}
		n.pastCPU += r.nodeUsage(sample).cpu
		return true
	})
}

// sort puts runs and pods in the order in which a kubelet lists them.
func (n *Node) sort() {
	if n.sortedRuns != nil {
		return
	}
	n.sortedRuns, n.sortedPods = make([]*run, 0, 2*len(n.pods)), make([]*podState, 0, len(n.pods))
	for _, s := range n.pods {
		n.sortedPods = append(n.sortedPods, s)
		for i := range s.runs {
			n.sortedRuns = append(n.sortedRuns, &s.runs[i])
		}
	}
	slices.SortFunc(n.sortedRuns, func(a, b *run) int { return a.compare(&b.identity) })
	slices.SortFunc(n.sortedPods, func(a, b *podState) int { return a.compare(&b.identity) })
}

// identity is who a sample belongs to: a container, or a pod where container is
// empty, or a node where all are.
type identity struct {
	namespace, pod, container string
	// The encoded labels, made when they are first needed.
	text, protobuf string
}

// compare follows the order of the label names: container, namespace, pod.
func (id *identity) compare(other *identity) int {
	if c := strings.Compare(id.container, other.container); c != 0 {
		return c
	}
	if c := strings.Compare(id.namespace, other.namespace); c != 0 {
		return c
	}
	return strings.Compare(id.pod, other.pod)
}
