// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import "time"

// snapshot is everything that one answer says, whatever its format.
type snapshot struct {
	// samples has one slice per scope, each in the kubelet's order.
	samples [numScopes][]sample
	// missing families are left out.
	missing [numFamilies]bool
	// timeless leaves out all timestamps.
	timeless bool
}

// sample is what the answer says of one container, pod or node.
type sample struct {
	*identity
	usage
	swapLimit uint64 // in bytes
	time      int64  // in milliseconds
	start     int64  // in nanoseconds
	// override has values that no kubelet means to send. They are not for
	// /stats/summary, whose integers cannot hold them.
	override map[familyID]float64
}

func cpuOf(s *sample) float64       { return seconds(s.cpu) }
func memoryOf(s *sample) float64    { return float64(s.memory) }
func swapOf(s *sample) float64      { return float64(s.swap) }
func swapLimitOf(s *sample) float64 { return float64(s.swapLimit) }
func startOf(s *sample) float64     { return float64(s.start) / float64(time.Second) }
func noError(*sample) float64       { return 0 }

var nodeIdentity = &identity{}

// observe fills the snapshot with the node's state at the given time, faults
// included. The caller holds n.mu.
func (n *Node) observe(now time.Time, into *snapshot) {
	f := n.faults
	if f.frozen && now.After(f.since) {
		now = f.since
	}
	n.sort()
	instant := now.UnixMilli() * int64(time.Millisecond)
	n.observeContainers(instant, into)
	n.observePods(n.sampleTime(instant), into)
	f.distort(into)
}

func (n *Node) observeContainers(ns int64, into *snapshot) {
	samples := into.samples[perContainer][:0]
	for _, r := range n.sortedRuns {
		if start := r.Start.UnixNano(); start <= ns {
			samples = append(samples, sample{
				identity:  &r.identity,
				usage:     r.usage(ns),
				swapLimit: r.SwapLimit,
				time:      ns / int64(time.Millisecond),
				start:     start,
			})
		}
	}
	into.samples[perContainer] = samples
}

// observePods takes the samples of the pods and of the node itself.
func (n *Node) observePods(ns int64, into *snapshot) {
	samples := into.samples[perPod][:0]
	ms := ns / int64(time.Millisecond)
	for _, p := range n.sortedPods {
		if p.start <= ns {
			samples = append(samples, sample{identity: &p.identity, usage: p.usage(ns), time: ms, start: p.start})
		}
	}
	into.samples[perPod] = samples
	node := sample{identity: nodeIdentity, usage: n.totalsAt(ns), time: ms, start: n.start.UnixNano()}
	into.samples[perNode] = append(into.samples[perNode][:0], node)
}
