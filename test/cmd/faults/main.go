// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Command faults measures what a metrics server serves while kubelets hang, fail at
// random and lie, and while single nodes fail for a number of scrapes, beside a
// peer if it is given. It needs no cluster, and no root: it starts the stub of a
// control plane, simulated kubelets and the servers, one after the other, and
// prints tables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/kubemeter/metrics-server/test/faults"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong arguments")

func run(ctx context.Context, args []string, out, log io.Writer) error {
	o := faults.Defaults()
	o.Log = log
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.StringVar(&o.Server, "server", "", "path of the metrics server's binary (required)")
	flags.StringVar(&o.Peer, "peer", "", "path of the binary that it is compared with")
	for i := range o.Scenarios {
		s := &o.Scenarios[i]
		flags.IntVar(&s.Nodes, s.Name+"-nodes", s.Nodes, "number of nodes of scenario "+s.Name+", 0 to leave it out")
		flags.Float64Var(&s.Hanging, s.Name+"-hanging", s.Hanging, "part of its nodes that never answer")
		flags.Float64Var(&s.Flaky, s.Name+"-flaky", s.Flaky, "part of its nodes that fail at random")
		flags.Float64Var(&s.Failing, s.Name+"-failing", s.Failing, "part of the scrapes of those that fail")
		flags.Float64Var(&s.Lying, s.Name+"-lying", s.Lying, "part of its nodes that answer what is not so")
	}
	flags.Func("outages", "numbers of scrapes that fail in a row, with commas between them, or empty for none (default 1,3,10)", func(text string) (err error) {
		o.Outages, err = numbers(text)
		return err
	})
	flags.IntVar(&o.After, "after", o.After, "number of intervals that are read after the last of them")
	flags.IntVar(&o.PodsPerNode, "pods-per-node", o.PodsPerNode, "number of pods of a node")
	flags.DurationVar(&o.Resolution, "metric-resolution", o.Resolution, "interval between two scrapes of a node, at least 10s")
	flags.DurationVar(&o.Timeout, "kubelet-request-timeout", o.Timeout, "for one scrape, at most 90% of the resolution")
	flags.DurationVar(&o.ReadyWithin, "ready-within", o.ReadyWithin, "how long a server may take until it serves all")
	flags.DurationVar(&o.Calm, "calm", o.Calm, "how long is measured without faults")
	flags.DurationVar(&o.Settle, "settle", o.Settle, "time from when faults begin to when they are measured")
	flags.DurationVar(&o.Measure, "measure", o.Measure, "how long is measured with faults")
	flags.DurationVar(&o.ReadEvery, "read-every", o.ReadEvery, "time between two lists of the nodes")
	flags.IntVar(&o.HPAReads, "hpa-reads", o.HPAReads, "number of reads by label at the same time")
	flags.DurationVar(&o.ListPodsEvery, "list-pods-every", o.ListPodsEvery, "time between two lists of all pods")
	flags.Uint64Var(&o.Seed, "seed", o.Seed, "decides which nodes have faults, and which scrapes fail")
	flags.StringVar(&o.Out, "out", o.Out, "folder for the servers' logs")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return errUsage
	}
	if o.Server == "" || flags.NArg() > 0 {
		fmt.Fprintln(log, "faults: give --server, and no other arguments than flags")
		flags.Usage()
		return errUsage
	}
	_, err := faults.Measure(ctx, o, out)
	return err
}

// numbers have commas between them.
func numbers(text string) (all []int, err error) {
	if text == "" {
		return nil, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		i, err := strconv.Atoi(strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, nil
}
