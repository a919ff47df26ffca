// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Options say what is measured, and how.
type Options struct {
	// Server and Peer are the paths of the binaries. Without a peer there are no
	// ratios.
	Server, Peer string
	// Nodes are the sizes of clusters that are measured, one after the other.
	Nodes []int
	// PodsPerNode and ContainersPerPod are the same for all.
	PodsPerNode, ContainersPerPod int
	// StubAbove is the number of nodes above which a stub takes the place of the
	// control plane.
	StubAbove int
	// Resolution is the interval between two scrapes of a node, at least 10 s.
	Resolution time.Duration
	// Idle is how long a server runs without nodes before its memory is read.
	Idle time.Duration
	// ReadyWithin is how long a server may take until it serves all.
	ReadyWithin time.Duration
	// Settle is between the first complete answer and the measurement at rest.
	Settle time.Duration
	// Measure is how long a server is measured at rest, and while HPAs read.
	Measure time.Duration
	// ReadTime is how long each kind of read is repeated at least. There are
	// fewer than leastReads only if one fails.
	ReadTime time.Duration
	// HPAReads is how many times a second HPAs read.
	HPAReads int
	// Out is the folder for the report, the picture and the servers' logs.
	Out string
	// Log gets the progress.
	Log io.Writer
}

// Defaults are the options of a run that counts, but for the binaries.
func Defaults() Options {
	return Options{
		Nodes: []int{500, 1000, 5000}, PodsPerNode: 30, ContainersPerPod: 2, StubAbove: 5000,
		Resolution: 15 * time.Second, Idle: 20 * time.Second, ReadyWithin: 5 * time.Minute,
		Settle: 30 * time.Second, Measure: time.Minute, ReadTime: 3 * time.Second, HPAReads: 300,
		Out: "load",
	}
}

// check returns an error for each option that cannot be.
func (o *Options) check() error {
	var all []error
	for _, n := range o.Nodes {
		if n < 1 {
			all = append(all, fmt.Errorf("%d nodes cannot be measured: use 1 or more", n))
		}
	}
	if len(o.Nodes) == 0 {
		all = append(all, errors.New("there is no number of nodes to measure: give at least one"))
	}
	if o.PodsPerNode < 1 || o.ContainersPerPod < 1 {
		all = append(all, errors.New("a node needs at least one pod, and a pod one container"))
	}
	if o.Resolution < 10*time.Second {
		all = append(all, fmt.Errorf("a resolution of %s is too short: servers refuse less than 10s", o.Resolution))
	}
	if o.Measure <= 0 || o.HPAReads < 1 {
		all = append(all, errors.New("measuring needs some time and at least one read a second"))
	}
	return errors.Join(all...)
}

// flags are those of all servers.
func (o *Options) flags() []string {
	return []string{
		"--metric-resolution=" + o.Resolution.String(),
		"--kubelet-request-timeout=" + (o.Resolution / 2).String(),
	}
}
