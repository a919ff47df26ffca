// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// Scenario is a cluster, and what is wrong with a part of its nodes. The rest is
// healthy.
type Scenario struct {
	Name  string
	Nodes int
	// Hanging, Flaky and Lying are parts of the nodes, together at most 1.
	Hanging, Flaky, Lying float64
	// Failing is the part of a flaky node's scrapes that fail, at random.
	Failing float64
}

func (s *Scenario) check() error {
	for _, part := range []float64{s.Hanging, s.Flaky, s.Lying, s.Failing, s.Hanging + s.Flaky + s.Lying} {
		if !(part >= 0 && part <= 1+1e-9) {
			return fmt.Errorf("scenario %s: parts of the nodes and of scrapes are from 0 to 1, and those of the nodes together at most 1", s.Name)
		}
	}
	if s.Nodes < 0 || s.Nodes > 0 && s.Nodes < podsPerApplication {
		return fmt.Errorf("scenario %s: %d nodes are too few: use %d or more, or 0 to leave it out", s.Name, s.Nodes, podsPerApplication)
	}
	return nil
}

// class of nodes is what is wrong with them.
type class int

const (
	healthy class = iota
	flaky
	hanging
	lying
	numClasses
)

func (c class) String() string {
	return [...]string{"healthy", "flaky", "hanging", "lying"}[c]
}

// classes says what is wrong with each node.
func (s *Scenario) classes(seed uint64) []class {
	all := make([]class, s.Nodes)
	order := rand.New(rand.NewPCG(seed, 0)).Perm(s.Nodes)
	for _, part := range []struct {
		class class
		of    float64
	}{{hanging, s.Hanging}, {lying, s.Lying}, {flaky, s.Flaky}} {
		count := min(len(order), int(math.Round(part.of*float64(s.Nodes))))
		for _, node := range order[:count] {
			all[node] = part.class
		}
		order = order[count:]
	}
	return all
}

// spoil gives each node the faults of its class, and returns what the lying ones
// tell.
func (c *cluster) spoil(s *Scenario, classes []class, seed uint64) (map[int]*lie, error) {
	told := make(map[int]*lie)
	for i, n := range c.nodes {
		var faults []kubeletsim.Fault
		switch classes[i] {
		case healthy:
			continue
		case flaky:
			faults = []kubeletsim.Fault{kubeletsim.RandomFailure(s.Failing, seed)}
		case hanging:
			faults = []kubeletsim.Fault{kubeletsim.Hang()}
		case lying:
			l := &lies[len(told)%len(lies)]
			told[i] = l
			var err error
			if faults, err = l.tell(c, i, classes); err != nil {
				return nil, err
			}
		}
		if err := n.SetFaults(faults...); err != nil {
			return nil, err
		}
	}
	return told, nil
}

// failure is how scrapes of an outage fail.
const failure = http.StatusInternalServerError
