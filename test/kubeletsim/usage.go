// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

// usage is a sum over containers at one time: CPU time in nanoseconds, the rest
// in bytes.
type usage struct {
	cpu, memory, swap uint64
}

func (u *usage) add(v usage) {
	u.cpu += v.cpu
	u.memory += v.memory
	u.swap += v.swap
}

// usage is what the run has consumed until the given time, and what it holds
// then.
func (r *run) usage(ns int64) usage {
	u := usage{cpu: r.cpuNanoseconds(min(ns, r.end))}
	if ns < r.end {
		u.memory, u.swap = r.workingSet(ns), r.swapUsage(ns)
	}
	return u
}

// nodeUsage is the part of the usage that the node's own counters include.
func (r *run) nodeUsage(ns int64) usage {
	if ns < r.from {
		return usage{}
	}
	u := r.usage(ns)
	u.cpu -= r.fromCPU
	return u
}

// usage is what a pod's own cgroup would show.
func (s *podState) usage(ns int64) usage {
	var sum usage
	for i := range s.runs {
		sum.add(s.runs[i].usage(ns))
	}
	for i := range s.past {
		sum.add(s.past[i].usage(ns))
	}
	return sum
}

// totalsAt is what the node itself shows at the given time.
func (n *Node) totalsAt(ns int64) usage {
	sum := n.overheadAt(ns)
	sum.cpu += n.pastCPU
	for i := range n.past {
		sum.add(n.past[i].nodeUsage(ns))
	}
	for _, s := range n.pods {
		for i := range s.runs {
			sum.add(s.runs[i].nodeUsage(ns))
		}
		for i := range s.past {
			sum.add(s.past[i].nodeUsage(ns))
		}
	}
	return sum
}

func (n *Node) overheadAt(ns int64) usage {
	overhead := Container{Start: n.start, CPU: n.overheadCPU, Memory: n.overheadMemory}
	return usage{cpu: overhead.cpuNanoseconds(ns), memory: overhead.workingSet(ns)}
}
