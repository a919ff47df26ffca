// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import "time"

// Answer is what an answer of a node says, with the faults that concern counters and
// clocks.
type Answer struct {
	// Node has a zero Time where the answer says nothing credible of it.
	Node       Sample
	Containers []Sample
	// Slow is for an answer that is sent so slowly that a client may give up on it.
	Slow bool
}

// Sample is what an answer says of a container, or of the node.
type Sample struct {
	ContainerRef // empty for the node
	Time, Start  time.Time
	// CPU is the counter in nanoseconds, and Memory the working set in bytes.
	CPU, Memory uint64
}

// record tells the option Record what an answer is about to say. A server may believe
// nothing of a body that cannot be read, no bad value, and no part of what lacks a
// metric.
func (s *Simulation) record(n *Node, f *faults, said *snapshot) {
	if s.options.Record == nil || f.body.unreadable() || said.timeless {
		return
	}
	containers := said.samples[perContainer]
	a := &Answer{Containers: make([]Sample, 0, len(containers)), Slow: f.delay > 0 || f.body.dripBytes > 0}
	for i := range containers {
		if containers[i].override == nil && !said.lacks(perContainer) {
			a.Containers = append(a.Containers, containers[i].export())
		}
	}
	if node := &said.samples[perNode][0]; node.override == nil && !said.lacks(perNode) {
		a.Node = node.export()
	}
	s.options.Record(n, a)
}

// lacks tells whether a metric of a scope is left out.
func (s *snapshot) lacks(scope scope) bool {
	for id, missing := range s.missing {
		if missing && families[id].scope == scope {
			return true
		}
	}
	return false
}

func (s *sample) export() Sample {
	return Sample{
		ContainerRef: ContainerRef{s.namespace, s.pod, s.container},
		Time:         time.UnixMilli(s.time), Start: time.Unix(0, s.start),
		CPU: s.cpu, Memory: s.memory,
	}
}

// unreadable is a body that is not what was rendered, or not whole.
func (f *bodyFaults) unreadable() bool {
	return f.html || f.noise || f.cut || f.abort || f.endless
}
