// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Command metrics-server serves the CPU and memory usage of nodes and pods as
// metrics.k8s.io.
package main

import (
	"context"
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"

	"github.com/kubemeter/metrics-server/cmd/metrics-server/app"
	"github.com/kubemeter/metrics-server/pkg/server"
)

func main() {
	ctx := genericapiserver.SetupSignalContext()
	os.Exit(app.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr, run))
}

func run(ctx context.Context, c server.Config) error {
	return c.Run(ctx)
}
