// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Options say what is measured, and how.
type Options struct {
	// Server and Peer are the paths of the binaries; Peer may be empty.
	Server, Peer string
	// Scenarios are measured one after the other. One without nodes is left out.
	Scenarios []Scenario
	// Outages are numbers of scrapes of a node that fail in a row, each of which
	// gets a table of what is served meanwhile.
	Outages []int
	// After is how many intervals are read after the last failure of an outage: a
	// server may need two more scrapes, and some time to store them.
	After int
	// PodsPerNode is for Scenarios; Outages have one.
	PodsPerNode int
	// Resolution is the interval between two scrapes of a node, at least 10 s, and
	// Timeout is that of a scrape, at most 90 % of it.
	Resolution, Timeout time.Duration
	// ReadyWithin is how long a server may take until it serves all.
	ReadyWithin time.Duration
	// Calm is how long is measured without faults. Settle is from when they begin
	// to when they are measured, for Measure.
	Calm, Settle, Measure time.Duration
	// ReadEvery is between two lists of the nodes, and HPAReads is how many reads
	// of an HPA there are at the same time. ListPodsEvery is between two lists of
	// all pods, which can cost a server more than its scrapes.
	ReadEvery, ListPodsEvery time.Duration
	HPAReads                 int
	// Seed decides which nodes have which faults, and which scrapes fail.
	Seed uint64
	// Out is the folder for the servers' logs.
	Out string
	// Log gets the progress.
	Log io.Writer
}

// Defaults are the options of a run that counts, but for the binaries.
func Defaults() Options {
	const resolution = 15 * time.Second
	return Options{
		Scenarios: []Scenario{
			{Name: "random", Nodes: 5000, Hanging: 0.02, Flaky: 0.98, Failing: 0.1},
			{Name: "isolation", Nodes: 1000, Hanging: 0.2, Flaky: 0.1, Failing: 0.5, Lying: 0.05},
		},
		Outages: []int{1, 3, 10}, After: 5, PodsPerNode: 5,
		Resolution: resolution, Timeout: 10 * time.Second, ReadyWithin: 5 * time.Minute,
		// A server may serve the last points of nodes that hang for a while.
		Calm: 2 * time.Minute, Settle: 6 * resolution, Measure: 10 * time.Minute,
		ReadEvery: time.Second, ListPodsEvery: 5 * time.Second, HPAReads: 10,
		Seed: 1, Out: "faults",
	}
}

// check returns an error for each option that cannot be.
func (o *Options) check() error {
	var all []error
	for _, s := range o.Scenarios {
		all = append(all, s.check())
	}
	for _, n := range o.Outages {
		if n < 1 {
			all = append(all, fmt.Errorf("an outage of %d scrapes is none: use 1 or more", n))
		}
	}
	if o.PodsPerNode < 1 {
		all = append(all, errors.New("a node needs at least one pod"))
	}
	if o.Resolution < 10*time.Second || o.Timeout <= 0 || o.Timeout > o.Resolution*9/10 {
		all = append(all, fmt.Errorf("servers refuse a resolution of %s with a timeout of %s: use at least 10s, and at most 90%% of it", o.Resolution, o.Timeout))
	}
	if o.Calm < 0 || o.Settle < 0 || o.Measure <= 0 || o.ReadEvery <= 0 || o.ListPodsEvery <= 0 || o.HPAReads < 0 || o.After < 0 {
		all = append(all, errors.New("times and numbers of reads may not be negative, and measuring and the time between reads not 0"))
	}
	return errors.Join(all...)
}

// flags are those of all servers.
func (o *Options) flags() []string {
	return []string{
		"--metric-resolution=" + o.Resolution.String(),
		"--kubelet-request-timeout=" + o.Timeout.String(),
	}
}
