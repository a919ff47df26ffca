// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Pod is a pod on a simulated node.
type Pod struct {
	Namespace, Name string
	// UID is reported by /stats/summary only.
	UID        string
	Containers []Container
}

// Container finds a container of the pod by its name.
func (p *Pod) Container(name string) (*Container, bool) {
	for i := range p.Containers {
		if p.Containers[i].Name == name {
			return &p.Containers[i], true
		}
	}
	return nil, false
}

func (p *Pod) validate() error {
	if p.Namespace == "" || p.Name == "" {
		return errors.New("a pod needs a namespace and a name")
	}
	seen := make(map[string]bool, len(p.Containers))
	for i := range p.Containers {
		c := &p.Containers[i]
		if err := c.validate(); err != nil {
			return fmt.Errorf("pod %s/%s: %w", p.Namespace, p.Name, err)
		}
		if seen[c.Name] {
			return fmt.Errorf("pod %s/%s: two containers are named %q; give each its own name", p.Namespace, p.Name, c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}

type podKey struct{ namespace, name string }

// podState is a pod in the life of its node.
type podState struct {
	identity
	uid string
	// start is when the first container started, in nanoseconds.
	start int64
	// runs has one entry per container, the one that runs now; its entries keep
	// their places. past has the runs that a restart ended.
	runs, past []run
}

// run is one life of a container, from its start to its restart or removal.
type run struct {
	Container
	identity
	// from is since when the node's own counters include the run, and fromCPU
	// the run's counter at that time: a container that joins with a counter
	// above zero must not make the node's counter jump.
	from    int64
	fromCPU uint64
	// end is math.MaxInt64 while the container runs.
	end int64
}

func newRun(c Container, pod identity, from int64) run {
	id := identity{namespace: pod.namespace, pod: pod.pod, container: c.Name}
	return run{Container: c, identity: id, from: from, fromCPU: c.cpuNanoseconds(from), end: math.MaxInt64}
}

func newPodState(p Pod, now time.Time, from int64) *podState {
	s := &podState{
		identity: identity{namespace: p.Namespace, pod: p.Name},
		uid:      p.UID,
		start:    math.MaxInt64,
		runs:     make([]run, 0, len(p.Containers)),
	}
	for _, c := range p.Containers {
		if c.Start.IsZero() {
			c.Start = now
		}
		s.start = min(s.start, c.Start.UnixNano())
		s.runs = append(s.runs, newRun(c, s.identity, from))
	}
	return s
}

func (s *podState) export() Pod {
	p := Pod{Namespace: s.namespace, Name: s.pod, UID: s.uid}
	for i := range s.runs {
		p.Containers = append(p.Containers, s.runs[i].Container)
	}
	return p
}

func (s *podState) run(container string) *run {
	for i := range s.runs {
		if s.runs[i].Name == container {
			return &s.runs[i]
		}
	}
	return nil
}

// restart ends the run of a container at the given time and starts its next.
func (s *podState) restart(r *run, at time.Time) {
	ended := *r
	ended.end = at.UnixNano()
	s.past = append(s.past, ended)
	c := r.Container
	c.Start = at
	*r = newRun(c, s.identity, at.UnixNano())
}
