// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Command watchload measures what watches cost a metrics server: it starts a
// control plane, simulated kubelets and the server, opens many watches straight to
// the server, and prints its CPU time and memory in several phases:
//
//  1. without watches
//  2. with watches whose selectors match a few pods each
//  3. with watches whose selectors match nothing
//  4. as 2, beside two watches of all pods whose clients never read
//  5. without watches again
//  6. with watches that match nothing, and ask only that a label is there
//  7. with watches that match nothing, and ask for a label that many pods have and
//     for one that none has
//
// All run on one machine and share its CPUs. What is measured is the CPU time of
// the server's process, not how long things take. Compare the phases of a run.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kubemeter/metrics-server/test/localcluster"
	"github.com/kubemeter/metrics-server/test/process"
	"github.com/kubemeter/metrics-server/test/watchload"
)

func main() {
	var c command
	flag.StringVar(&c.server, "server", "", "path of the metrics server's binary (required)")
	flag.IntVar(&c.nodes, "nodes", 5000, "number of nodes")
	flag.IntVar(&c.pods, "pods", 150_000, "number of pods, spread over the nodes")
	flag.DurationVar(&c.resolution, "metric-resolution", 15*time.Second, "interval between two scrapes of a node, at least 10s")
	flag.IntVar(&c.load.Watchers, "watchers", 1000, "number of watches in the phases that have some")
	flag.DurationVar(&c.load.Measure, "measure", 2*time.Minute, "how long each phase is measured")
	flag.DurationVar(&c.load.Settle, "settle", 30*time.Second, "how long each phase waits before it is measured")
	flag.BoolVar(&c.load.Protobuf, "protobuf", false, "watch with protobuf instead of JSON")
	flag.StringVar(&c.load.Profiles, "profiles", "", "folder for profiles of the server's CPU and memory in each phase")
	flag.Parse()
	if c.server == "" || c.nodes < 1 || c.pods < 2 || c.load.Watchers < 1 || c.load.Measure <= 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "watchload: give --server, at least one node, two pods and one watcher, and no other arguments")
		flag.Usage()
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := c.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "watchload:", err)
		os.Exit(1)
	}
}

type command struct {
	server      string
	nodes, pods int
	resolution  time.Duration
	load        watchload.Options
}

func (c command) run(ctx context.Context) error {
	teams, each := watchload.Teams(c.load.Watchers, c.pods)
	log := &watchload.Log{}
	local, err := localcluster.Start(ctx, localcluster.Options{
		Server: c.server, Nodes: c.nodes, Pods: c.pods - teams*each, Log: io.MultiWriter(os.Stderr, log),
		ServerFlags: []string{
			"--metric-resolution=" + c.resolution.String(),
			"--kubelet-request-timeout=" + (c.resolution / 2).String(),
		},
	})
	if err != nil {
		return err
	}
	defer local.Stop()
	fmt.Printf("adding %d pods of %d teams\n", teams*each, teams)
	if c.load.Scene, err = watchload.AddTeams(ctx, local, c.nodes, teams, each); err != nil {
		return err
	}
	server := watchload.Server{
		Config: local.AdminConfig(), Log: log,
		Usage: func() (process.Usage, error) { return process.Read(local.Server.PID()) },
	}
	server.Config.Host = local.ServerURL()
	fmt.Println("waiting until all are served")
	served, cancel := context.WithTimeout(ctx, 5*time.Minute+4*c.resolution)
	defer cancel()
	if err := watchload.WaitServed(served, server, c.nodes, c.pods); err != nil {
		return err
	}
	_, err = watchload.Run(ctx, server, c.load, os.Stdout)
	return err
}
