// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Command localcluster shows a metrics server at work: it starts a control
// plane, simulated kubelets and the server, prints what kubectl top says, and
// stays up until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kubemeter/metrics-server/test/localcluster"
)

func main() {
	server := flag.String("server", "", "path of the metrics server's binary (required)")
	nodes := flag.Int("nodes", 10, "number of nodes")
	pods := flag.Int("pods", 200, "number of pods, spread over the nodes")
	resolution := flag.Duration("metric-resolution", 10*time.Second, "interval between two scrapes of a node, at least 10s")
	once := flag.Bool("once", false, "stop after the tables are printed")
	flag.Parse()
	if *server == "" || *nodes < 1 || *pods < 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "localcluster: give --server, at least one node, and no other arguments")
		flag.Usage()
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *server, *nodes, *pods, *resolution, *once)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "localcluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, server string, nodes, pods int, resolution time.Duration, once bool) error {
	began := time.Now()
	l, err := localcluster.Start(ctx, localcluster.Options{
		Server: server, ManagedCertificate: true, Nodes: nodes, Pods: pods, Log: os.Stderr,
		ServerFlags: []string{
			"--metric-resolution=" + resolution.String(),
			"--kubelet-request-timeout=" + (resolution / 2).String(),
		},
	})
	if err != nil {
		return interrupted(ctx, err)
	}
	defer l.Stop()
	served, cancel := context.WithTimeout(ctx, time.Minute+4*resolution)
	defer cancel()
	if err := l.WaitServed(served); err != nil {
		return interrupted(ctx, err)
	}
	took := time.Since(began).Round(100 * time.Millisecond)

	for _, command := range [][]string{{"top", "nodes"}, {"top", "pods", "-A"}} {
		if err := show(ctx, l, os.Stdout, command); err != nil {
			return interrupted(ctx, err)
		}
	}
	if err := check(ctx, l, os.Stdout, server); err != nil {
		return interrupted(ctx, err)
	}
	fmt.Printf("\n%d nodes and %d pods are served, %s after the start.\n", nodes, pods, took)
	if once {
		return nil
	}
	if err := l.Apply(ctx, localcluster.StatusReader); err != nil {
		return interrupted(ctx, err)
	}
	fmt.Printf("Point your own kubectl at it:\n\n    export KUBECONFIG=%s PATH=%s:$PATH\n\n"+
		"The server's own page is %s/status: leave the user empty, and give as the password what this prints:\n\n"+
		"    kubectl -n kube-system create token status-reader\n\n"+
		"Ctrl-C ends it. The server's log follows.\n",
		l.AdminKubeconfig(), filepath.Dir(l.KubectlPath()), l.ServerURL())
	select {
	case <-ctx.Done():
		return nil
	case <-l.Server.Exited():
		return fmt.Errorf("the metrics server ended: %w", l.Server.Wait())
	}
}

func show(ctx context.Context, l *localcluster.Local, w io.Writer, command []string) error {
	fmt.Fprint(w, "\n$ kubectl")
	for _, word := range command {
		fmt.Fprint(w, " ", word)
	}
	out, err := l.Kubectl(ctx, command...)
	fmt.Fprint(w, "\n", out)
	return err
}

// check has the server's binary say what is wrong. It is an error if anything is.
func check(ctx context.Context, l *localcluster.Local, w io.Writer, server string) error {
	fmt.Fprintln(w, "\n$ metrics-server check")
	cmd := exec.CommandContext(ctx, server, "check", "--kubeconfig="+l.AdminKubeconfig(), "--server-url="+l.ServerURL())
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s check: %w", server, err)
	}
	return nil
}

// interrupted leaves out what Ctrl-C broke off.
func interrupted(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		err = nil
	}
	return err
}
