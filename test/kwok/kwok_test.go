// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kwok tests the server with the nodes of KWOK, which has no kubelets and
// tells what usage it is told to simulate.
package kwok

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/gomodule"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	resolution = 10 * time.Second
	// patience is how long a test waits for what takes some intervals.
	patience = 90 * time.Second
	// kwokModule is where the program and its manifests come from.
	kwokModule = "sigs.k8s.io/kwok"
)

var (
	plane *cluster.Cluster
	// serverBinary has the race detector.
	serverBinary string
	// kwokBinary is KWOK's controller. kwokFiles are the sources of its version, with
	// what users apply.
	kwokBinary, kwokFiles string
	kwokPort              int
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(leaktest.Run(leaktest.UntilSignal(func(ctx context.Context) (int, error) { return run(ctx, m) })))
}

func run(ctx context.Context, m *testing.M) (code int, err error) {
	if kwokBinary, err = gomodule.Tool(ctx, "program", kwokModule+"/cmd/kwok"); err != nil {
		return 0, err
	}
	if kwokFiles, err = gomodule.Sources(ctx, "program", kwokModule); err != nil {
		return 0, err
	}
	if plane, err = cluster.Start(ctx, cluster.Options{}); err != nil {
		return 0, err
	}
	defer plane.Stop()
	// The settings of the user have no say.
	if err := os.Setenv("KWOK_WORKDIR", plane.Dir()); err != nil {
		return 0, err
	}
	if serverBinary, err = localcluster.BuildServer(ctx); err != nil {
		return 0, err
	}
	if kwokPort, err = cluster.FreePort(); err != nil {
		return 0, err
	}
	for _, step := range []func(context.Context) error{prepare, createNodes, createWorkload} {
		if err := step(ctx); err != nil {
			return 0, err
		}
	}
	return m.Run(), nil
}

// prepare applies what users of KWOK apply, and what the server needs.
func prepare(ctx context.Context) error {
	kwok := func(folder ...string) string {
		return filepath.Join(append([]string{kwokFiles, "kustomize"}, folder...)...)
	}
	for _, args := range [][]string{
		{"apply", "--server-side", "--kustomize", kwok("crd")},
		{"wait", "--for=condition=Established", "customresourcedefinition", "--all", "--timeout=" + patience.String()},
		{"apply", "--server-side", "--kustomize", kwok("rbac")},
		{"apply", "--server-side", "--kustomize", kwok("stage", "fast")},
		{"apply", "--server-side", "--kustomize", kwok("metrics", "resource")},
		{"apply", "--server-side", "--filename", filepath.Join("..", "..", "manifests", "base", "rbac.yaml")},
	} {
		if _, err := plane.Kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
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

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return must[string](t)(plane.Kubectl(t.Context(), args...))
}
