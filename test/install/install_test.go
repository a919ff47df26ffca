// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install tests the manifests and the chart against a real API server:
// what it accepts, what the server may do with the rights that it gets, and
// whether alerts and values have a meaning.
package install

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/gomodule"
)

// crdModules have the definitions of the chart's custom resources, in these
// files.
var crdModules = map[string][]string{
	"github.com/prometheus-operator/prometheus-operator": {
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
	},
	"github.com/cert-manager/cert-manager": {
		"deploy/crds/cert-manager.io_certificates.yaml",
		"deploy/crds/cert-manager.io_issuers.yaml",
	},
}

// auditPolicy has the API server write down each request once, with its verb and
// the decision, and without the bodies.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
`

var (
	plane *cluster.Cluster
	// auditLog is a file.
	auditLog string
	// helms are the versions that users have.
	helms []helm
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(leaktest.Run(leaktest.UntilSignal(func(ctx context.Context) (int, error) { return run(ctx, m) })))
}

func run(ctx context.Context, m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "kubemeter-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if helms, err = findHelms(ctx, filepath.Join(dir, "helm")); err != nil {
		return 0, err
	}
	policy := filepath.Join(dir, "audit-policy.yaml")
	auditLog = filepath.Join(dir, "audit.log")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return 0, err
	}
	plane, err = cluster.Start(ctx, cluster.Options{
		APIServerFlags: []string{"--audit-policy-file=" + policy, "--audit-log-path=" + auditLog},
	})
	if err != nil {
		return 0, err
	}
	defer plane.Stop()
	if err := installCRDs(ctx); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func installCRDs(ctx context.Context) error {
	for module, files := range crdModules {
		dir, err := gomodule.Sources(ctx, filepath.Join(repository(), "test", "install", "crds"), module)
		if err != nil {
			return err
		}
		for _, f := range files {
			text, err := os.ReadFile(filepath.Join(dir, f))
			if err != nil {
				return err
			}
			if err := plane.Apply(ctx, string(text)); err != nil {
				return err
			}
		}
	}
	_, err := plane.Kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
	return err
}

// repository is the folder of the product's sources.
func repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

func chart() string { return filepath.Join(repository(), "charts", "metrics-server") }

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

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
