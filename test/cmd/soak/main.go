// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Command soak runs a metrics server for an hour, or as long as asked, on a cluster of
// which a tenth is replaced each minute, while clients come and go and some kubelets
// fail. It prints what the server has at the beginning and at the end, and fails if it
// grows, or serves what is not so. It needs no cluster, and no root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/kubemeter/metrics-server/test/soak"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong arguments")

func run(ctx context.Context, args []string, out, log io.Writer) error {
	o := soak.Defaults()
	o.Log = log
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.StringVar(&o.Server, "server", "", "path of the metrics server's binary (required)")
	flags.DurationVar(&o.For, "for", o.For, "how long is measured after the warm-up")
	flags.DurationVar(&o.WarmUp, "warm-up", o.WarmUp, "how long nothing is measured, from when all is served")
	flags.IntVar(&o.Nodes, "nodes", o.Nodes, "number of nodes")
	flags.IntVar(&o.PodsPerNode, "pods-per-node", o.PodsPerNode, "number of pods of a node")
	flags.Float64Var(&o.Churn, "churn", o.Churn, "part of the pods, and of the nodes, that is replaced each minute")
	flags.Float64Var(&o.Failing, "failing", o.Failing, "part of the nodes that fail at any time")
	flags.IntVar(&o.Readers, "readers", o.Readers, "number of clients that list by label at any time")
	flags.IntVar(&o.Watchers, "watchers", o.Watchers, "number of clients that watch at any time")
	flags.DurationVar(&o.Stay, "stay", o.Stay, "how long such a client stays, at most")
	flags.DurationVar(&o.ListEvery, "list-every", o.ListEvery, "time between two lists of everything")
	flags.DurationVar(&o.SampleEvery, "sample-every", o.SampleEvery, "time between two samples of what the server has")
	flags.DurationVar(&o.Resolution, "metric-resolution", o.Resolution, "interval between two scrapes of a node, at least 10s")
	flags.DurationVar(&o.Timeout, "kubelet-request-timeout", o.Timeout, "for one scrape, at most 90% of the resolution")
	flags.Uint64Var(&o.Seed, "seed", o.Seed, "decides what is replaced, and what fails")
	flags.StringVar(&o.Out, "out", o.Out, "folder for the report and the server's log")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return errUsage
	}
	if o.Server == "" || flags.NArg() > 0 {
		fmt.Fprintln(log, "soak: give --server, and no other arguments than flags")
		flags.Usage()
		return errUsage
	}
	_, err := soak.Run(ctx, o, out)
	return err
}
