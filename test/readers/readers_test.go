// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package readers tests that what people read resource metrics with shows what is
// served: kubectl of several versions, client libraries of several languages, and k9s.
//
// The kubelets stand still, so that whoever reads gets the same.
package readers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	nodeCount = 3
	podCount  = 18
	// patience is how long a test waits for what takes two intervals at most, or for a
	// program to start.
	patience = 90 * time.Second
)

var local *localcluster.Local

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: nodeCount, Pods: podCount,
		// Points of kubelets that stand still are served for as long as the tests run.
		ServerFlags: []string{"--metric-resolution=10s", "--kubelet-request-timeout=4s", "--metric-max-age=24h"},
	}, func(l *localcluster.Local) int {
		local = l
		if err := stopKubelets(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}))
}

// stopKubelets has them stand still, and waits until that is what is served.
func stopKubelets() error {
	answered := func(n *kubeletsim.Node) int {
		return n.Requests()[kubeletsim.Request{Path: "/metrics/resource", Status: http.StatusOK}]
	}
	for i := range nodeCount {
		n, ok := local.Kubelets.Node(nodeName(i))
		if !ok {
			return fmt.Errorf("there is no %s", nodeName(i))
		}
		if err := n.SetFaults(kubeletsim.Frozen()); err != nil {
			return err
		}
		// The first may be of before, and the second is stored when the third is asked for.
		enough := answered(n) + 3
		err := wait.PollUntilContextTimeout(context.Background(), 100*time.Millisecond, patience, true, func(context.Context) (bool, error) {
			return answered(n) >= enough, nil
		})
		if err != nil {
			return fmt.Errorf("%s has not been scraped three times: %w", n.Name(), err)
		}
	}
	return nil
}

func nodeName(i int) string { return fmt.Sprint("node-", i) }

func node(t *testing.T, i int) *kubeletsim.Node {
	t.Helper()
	n, ok := local.Kubelets.Node(nodeName(i))
	if !ok {
		t.Fatalf("there is no %s", nodeName(i))
	}
	return n
}

// output runs a program to its end.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit := (&exec.ExitError{}); errors.As(err, &exit) {
			stderr = exit.Stderr
		}
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, stderr)
	}
	return string(out)
}
