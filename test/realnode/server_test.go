// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

// server is a metrics server as a process, with the rights of its ServiceAccount.
type server struct {
	*cluster.Process
	client metricsclient.Interface
	token  string
}

// startServer starts one that is reached through the aggregation layer, until the test
// ends.
func startServer(t *testing.T, flags ...string) *server {
	t.Helper()
	rights := string(must[[]byte](t)(os.ReadFile(filepath.Join("..", "..", "manifests", "base", "rbac.yaml"))))
	if err := node.Apply(t.Context(), rights); err != nil {
		t.Fatal(err)
	}
	config := node.AnonymousConfig()
	config.BearerToken = must[string](t)(node.ServiceAccountToken(t.Context(), "kube-system", "metrics-server"))
	port := must[int](t)(cluster.FreePort())
	process := startProcess(t, config, port, flags...)
	if err := node.RegisterAPIServices(t.Context(), port, node.CA().CertPEM()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if _, err := node.Kubectl(ctx, "delete", "--ignore-not-found", "--filename", filepath.Join("..", "..", "manifests", "base", "rbac.yaml")); err != nil {
			t.Error(err)
		}
		if _, err := node.Kubectl(ctx, "delete", "apiservice/v1.metrics.k8s.io", "apiservice/v1beta1.metrics.k8s.io"); err != nil {
			t.Error(err)
		}
		if _, err := node.Kubectl(ctx, "delete", "--namespace=kube-system", "service/metrics-server"); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := node.WaitAvailable(ctx); err != nil {
		t.Fatalf("%v\n%s", err, logOf(t, process))
	}
	return &server{Process: process, token: config.BearerToken, client: must[*metricsclient.Clientset](t)(metricsclient.NewForConfig(node.AdminConfig()))}
}

// startProcess starts a server to which nothing leads yet. It trusts kubelets whose
// certificate the cluster signed.
func startProcess(t *testing.T, config *rest.Config, port int, flags ...string) *cluster.Process {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, localcluster.KubeletCAFile), node.CA().CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	args := must[[]string](t)(localcluster.ServerFlags(dir, node.CA(), config, port))
	args = append(args, "--metric-resolution="+resolution.String(), "--kubelet-request-timeout=4s")
	process := must[*cluster.Process](t)(node.StartProcess(fmt.Sprint("metrics-server-", port), serverBinary, append(args, flags...), nil))
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			t.Error(err)
		}
		for _, bad := range []string{"DATA RACE", "panic"} {
			if text := logOf(t, process); strings.Contains(text, bad) {
				t.Errorf("%s in the server's log:\n%s", bad, text)
			}
		}
	})
	return process
}

func logOf(t *testing.T, p *cluster.Process) string {
	t.Helper()
	return string(must[[]byte](t)(os.ReadFile(p.LogFile())))
}
