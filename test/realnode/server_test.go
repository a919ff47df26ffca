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
	config := grantRights(t)
	port := must[int](t)(cluster.FreePort())
	process := startProcess(t, config, port, flags...)
	routeTo(t, port)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := node.WaitAvailable(ctx); err != nil {
		t.Fatalf("%v\n%s", err, logOf(t, process))
	}
	return &server{Process: process, token: config.BearerToken, client: newMetricsClient(t)}
}

func newMetricsClient(t *testing.T) metricsclient.Interface {
	t.Helper()
	return must[*metricsclient.Clientset](t)(metricsclient.NewForConfig(node.AdminConfig()))
}

// grantRights makes the ServiceAccount of servers until the test ends, and returns what
// it shows to the API server.
func grantRights(t *testing.T) *rest.Config {
	t.Helper()
	file := filepath.Join("..", "..", "manifests", "base", "rbac.yaml")
	if err := node.Apply(t.Context(), string(must[[]byte](t)(os.ReadFile(file)))); err != nil {
		t.Fatal(err)
	}
	deleteAtEnd(t, "--filename", file)
	config := node.AnonymousConfig()
	config.BearerToken = must[string](t)(node.ServiceAccountToken(t.Context(), "kube-system", "metrics-server"))
	return config
}

// routeTo leads the aggregation layer to a port until the test ends.
func routeTo(t *testing.T, port int) {
	t.Helper()
	if err := node.RegisterAPIServices(t.Context(), port, node.CA().CertPEM()); err != nil {
		t.Fatal(err)
	}
	deleteAtEnd(t, "--namespace=kube-system", "service/metrics-server")
	deleteAtEnd(t, "apiservice/v1.metrics.k8s.io", "apiservice/v1beta1.metrics.k8s.io")
}

// deleteAtEnd is kubectl delete when the test ends.
func deleteAtEnd(t *testing.T, args ...string) {
	t.Helper()
	t.Cleanup(func() {
		args := append([]string{"delete", "--ignore-not-found"}, args...)
		if _, err := node.Kubectl(context.WithoutCancel(t.Context()), args...); err != nil {
			t.Error(err)
		}
	})
}

// startProcess starts a server to which nothing leads yet. It trusts kubelets whose
// certificate the cluster signed.
func startProcess(t *testing.T, config *rest.Config, port int, flags ...string) *cluster.Process {
	t.Helper()
	return startBinary(t, serverBinary, config, port, flags...)
}

// startBinary starts any metrics server with the same flags.
func startBinary(t *testing.T, binary string, config *rest.Config, port int, flags ...string) *cluster.Process {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, localcluster.KubeletCAFile), node.CA().CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	args := must[[]string](t)(localcluster.ServerFlags(dir, node.CA(), config, port))
	args = append(args, "--metric-resolution="+resolution.String(), "--kubelet-request-timeout=4s")
	process := must[*cluster.Process](t)(node.StartProcess(fmt.Sprint("metrics-server-", port), binary, append(args, flags...), nil))
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
