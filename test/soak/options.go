// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Options say what runs, and how long.
type Options struct {
	// Server is the path of the binary.
	Server string
	// Nodes and PodsPerNode are how many there are at any time.
	Nodes, PodsPerNode int
	// Churn is the part of the pods that are replaced by others each minute, and the
	// part of the nodes: these take their pods with them.
	Churn float64
	// Failing is the part of the nodes that fail at any time.
	Failing float64
	// For is how long is measured, after WarmUp, which begins when all is served.
	For, WarmUp time.Duration
	// SampleEvery is between two looks at the server.
	SampleEvery time.Duration
	// ListEvery is between two lists of all nodes and pods, each of which is checked.
	ListEvery time.Duration
	// Readers and Watchers are how many there are at any time.
	Readers, Watchers int
	// Stay is how long each of them stays, at most.
	Stay time.Duration
	// Resolution is the interval between two scrapes of a node, at least 10 s, and
	// Timeout is that of a scrape, at most 90 % of it.
	Resolution, Timeout time.Duration
	// Seed decides what is replaced, and what fails.
	Seed uint64
	// Out is the folder for the report and the server's log.
	Out string
	// Log gets the progress.
	Log io.Writer
}

// Defaults are the options of a run that counts, but for the binary.
func Defaults() Options {
	return Options{
		Nodes: 1000, PodsPerNode: 30, Churn: 0.1, Failing: 0.05,
		For: time.Hour, WarmUp: 10 * time.Minute, SampleEvery: 10 * time.Second, ListEvery: 10 * time.Second,
		Readers: 4, Watchers: 20, Stay: time.Minute,
		Resolution: 15 * time.Second, Timeout: 10 * time.Second,
		Seed: 1, Out: "soak",
	}
}

// check returns an error for each option that cannot be.
func (o *Options) check() error {
	var all []error
	if o.Nodes < 1 || o.PodsPerNode < 1 || o.Readers < 0 || o.Watchers < 0 {
		all = append(all, errors.New("there has to be at least one node with one pod, and numbers may not be negative"))
	}
	for _, part := range []float64{o.Churn, o.Failing} {
		if !(part >= 0 && part <= 1) {
			all = append(all, fmt.Errorf("%v is no part: use 0 to 1", part))
		}
	}
	if o.Resolution < 10*time.Second || o.Timeout <= 0 || o.Timeout > o.Resolution*9/10 {
		all = append(all, fmt.Errorf("servers refuse a resolution of %s with a timeout of %s: use at least 10s, and at most 90%% of it", o.Resolution, o.Timeout))
	}
	if o.WarmUp < 0 || o.ListEvery <= 0 || o.SampleEvery <= 0 || o.Stay <= 0 || o.For < 4*o.SampleEvery {
		all = append(all, errors.New("times have to be above 0, and the run four times as long as that between two samples"))
	}
	return errors.Join(all...)
}

func (o *Options) flags() []string {
	return []string{
		"--metric-resolution=" + o.Resolution.String(),
		"--kubelet-request-timeout=" + o.Timeout.String(),
	}
}

// patience is for what has to be served: a node that is new, or works again, needs up
// to three scrapes, and its first may be an interval away.
func (o *Options) patience() time.Duration { return 4 * o.Resolution }

// stale is how long what is gone may still be served, by a server that is told so.
const stale = 20 * time.Second
