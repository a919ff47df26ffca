// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Command load measures what a metrics server costs, and compares it with a peer:
// CPU, memory, and the time of reads, with clusters of several sizes. It needs no
// cluster, and no root: it starts a control plane, simulated kubelets and the
// servers, one after the other, and writes a table, a report in JSON and a picture.
//
// With --plot, it merges reports and draws them instead.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/kubemeter/metrics-server/test/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong arguments")

func run(ctx context.Context, args []string, out, log io.Writer) error {
	o := load.Defaults()
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.StringVar(&o.Server, "server", "", "path of the metrics server's binary (required)")
	flags.StringVar(&o.Peer, "peer", "", "path of the binary that it is compared with")
	flags.Var((*numbers)(&o.Nodes), "nodes", "numbers of nodes, with commas between them")
	flags.IntVar(&o.PodsPerNode, "pods-per-node", o.PodsPerNode, "number of pods of a node")
	flags.IntVar(&o.ContainersPerPod, "containers-per-pod", o.ContainersPerPod, "number of containers of a pod")
	flags.IntVar(&o.StubAbove, "stub-above", o.StubAbove, "number of nodes above which a stub of the core API takes the place of a control plane")
	flags.DurationVar(&o.Resolution, "metric-resolution", o.Resolution, "interval between two scrapes of a node, at least 10s")
	flags.DurationVar(&o.Idle, "idle", o.Idle, "how long a server runs without nodes before its memory is read")
	flags.DurationVar(&o.ReadyWithin, "ready-within", o.ReadyWithin, "how long a server may take until it serves all")
	flags.DurationVar(&o.Settle, "settle", o.Settle, "time from the first complete answer to the measurement at rest")
	flags.DurationVar(&o.Measure, "measure", o.Measure, "how long a server is measured at rest, and while HPAs read")
	flags.DurationVar(&o.ReadTime, "read-time", o.ReadTime, "how long each kind of read is repeated at least")
	flags.IntVar(&o.HPAReads, "hpa-reads", o.HPAReads, "reads a second of HPAs")
	flags.StringVar(&o.Out, "out", o.Out, "folder for the report, the picture and the servers' logs")
	plot := flags.Bool("plot", false, "merge and draw the reports that are given as arguments")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return errUsage
	}
	if *plot == (flags.NArg() == 0) || *plot == (o.Server != "") {
		fmt.Fprintln(log, "load: give --server and no other arguments, or --plot and the files of reports")
		flags.Usage()
		return errUsage
	}
	if *plot {
		return draw(o.Out, flags.Args(), out)
	}
	o.Log = log
	report, err := load.Measure(ctx, o, out)
	if report == nil {
		return err
	}
	return errors.Join(err, report.Draw(picture(o.Out)))
}

func picture(folder string) string { return filepath.Join(folder, "load") }

// draw prints and draws saved reports.
func draw(folder string, files []string, out io.Writer) error {
	report, err := load.ReadReports(files...)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	report.Print(out)
	return report.Draw(picture(folder))
}

// numbers is a flag of numbers with commas between them.
type numbers []int

func (n *numbers) String() string {
	var all []string
	for _, i := range *n {
		all = append(all, strconv.Itoa(i))
	}
	return strings.Join(all, ",")
}

// Set implements flag.Value.
func (n *numbers) Set(text string) error {
	*n = nil
	for item := range strings.SplitSeq(text, ",") {
		i, err := strconv.Atoi(strings.TrimSpace(item))
		if err != nil {
			return err
		}
		*n = append(*n, i)
	}
	return nil
}
