// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	resolution = 10 * time.Second
	// cacheTTL is short, so that what happens after it is soon seen.
	cacheTTL = 15 * time.Second
	// patience is how long a test waits for what takes some intervals.
	patience = 2 * time.Minute
)

var (
	node *Node
	// serverBinary has the race detector.
	serverBinary string

	length = flag.Duration("for", 2*time.Minute, "how long containers are watched")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(leaktest.Run(leaktest.UntilSignal(func(ctx context.Context) (int, error) { return run(ctx, m) })))
}

func run(ctx context.Context, m *testing.M) (code int, err error) {
	if err := Check(); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "kubemeter-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if serverBinary, err = localcluster.BuildServer(ctx); err != nil {
		return 0, err
	}
	if node, err = Start(ctx, Options{WebhookCacheTTL: cacheTTL, Log: os.Stderr}); err != nil {
		return 0, err
	}
	defer func() {
		if code != 0 {
			err = errors.Join(err, errors.New(node.logs()))
		}
		err = errors.Join(err, node.Stop(), checkGone(node))
	}()
	return m.Run(), nil
}

// checkGone has an error for what a node has left behind.
func checkGone(n *Node) error {
	var all []error
	for _, pattern := range []string{
		n.Dir(), "/sys/class/net/" + n.network.link, filepath.Join(cgroups, n.cgroup), filepath.Join(cgroups, "*", n.cgroup),
	} {
		left, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, l := range left {
			all = append(all, fmt.Errorf("the node has left %s", l))
		}
	}
	return errors.Join(all...)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
