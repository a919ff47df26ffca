// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kwok

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

// address is that of all nodes: KWOK's server answers for all of them.
var address = net.IPv4(127, 0, 0, 1)

// startKWOK starts KWOK's controller with the rights of its ServiceAccount and the
// configuration of its Deployment, until the test ends. Nodes that it has made ready
// keep its port. With leases, the next one would not manage them before those of the
// one before have ended.
func startKWOK(t *testing.T, flags ...string) {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := cluster.WriteKubeconfig(kubeconfig, account(t, "kwok-controller")); err != nil {
		t.Fatal(err)
	}
	process := must[*cluster.Process](t)(plane.StartProcess("kwok", kwokBinary, append([]string{
		"--config=" + filepath.Join(kwokFiles, "kustomize", "kwok", "kwok.yaml"),
		"--kubeconfig=" + kubeconfig,
		"--node-lease-duration-seconds=0",
		"--node-ip=" + address.String(),
		"--node-port=" + strconv.Itoa(kwokPort),
		"--server-address=" + net.JoinHostPort(address.String(), strconv.Itoa(kwokPort)),
	}, flags...), nil))
	t.Cleanup(func() { stop(t, process) })
}

// certificate has KWOK serve with a certificate that the cluster signed.
func certificate(t *testing.T) []string {
	t.Helper()
	cert, key, err := plane.CA().IssueServing(nil, []net.IP{address})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var flags []string
	for flag, content := range map[string][]byte{"tls-cert-file": cert, "tls-private-key-file": key} {
		file := filepath.Join(dir, flag)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "--"+flag+"="+file)
	}
	return flags
}

// startServer starts a metrics server that ends with the test, and has the API server
// lead to it.
func startServer(t *testing.T, flags ...string) {
	t.Helper()
	dir, port := t.TempDir(), must[int](t)(cluster.FreePort())
	if err := os.WriteFile(filepath.Join(dir, localcluster.KubeletCAFile), plane.CA().CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	args := must[[]string](t)(localcluster.ServerFlags(dir, plane.CA(), account(t, "metrics-server"), port))
	args = append(args, "--metric-resolution="+resolution.String(), "--kubelet-request-timeout=4s")
	process := must[*cluster.Process](t)(plane.StartProcess(fmt.Sprint("metrics-server-", port), serverBinary, append(args, flags...), nil))
	t.Cleanup(func() {
		stop(t, process)
		for _, bad := range []string{"DATA RACE", "panic"} {
			if text := logOf(t, process); strings.Contains(text, bad) {
				t.Errorf("%s in the server's log:\n%s", bad, text)
			}
		}
	})
	if err := plane.RegisterAPIServices(t.Context(), port, plane.CA().CertPEM()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := plane.WaitAvailable(ctx); err != nil {
		t.Fatalf("%v\n%s", err, logOf(t, process))
	}
}

// account is the configuration of a ServiceAccount of kube-system.
func account(t *testing.T, name string) *rest.Config {
	t.Helper()
	config := plane.AnonymousConfig()
	config.BearerToken = must[string](t)(plane.ServiceAccountToken(t.Context(), "kube-system", name))
	return config
}

func stop(t *testing.T, p *cluster.Process) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Log(logOf(t, p))
	}
}

func logOf(t *testing.T, p *cluster.Process) string {
	t.Helper()
	return string(must[[]byte](t)(os.ReadFile(p.LogFile())))
}
