// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/gomodule"
)

var image = flag.String("image", filepath.Join("..", "..", "bin", "image.oci"), "archive of the server's image, as make image writes it")

// TestChart installs the chart with its defaults, and reads through the aggregation
// layer what the pod of our image serves.
func TestChart(t *testing.T) {
	if _, err := os.Stat(*image); err != nil {
		t.Fatalf("%v: run make image PLATFORMS=linux/$(go env GOARCH)", err)
	}
	// The newest version that the chart is for.
	path := must[string](t)(gomodule.Tool(t.Context(), filepath.Join("..", "..", "hack", "helm"), "helm.sh/helm/v4/cmd/helm"))
	home := t.TempDir()
	chart := filepath.Join("..", "..", "charts", "metrics-server")
	rendered := must[string](t)(helm(t.Context(), path, home, "template", "metrics-server", chart))
	name := regexp.MustCompile(`image: "?([^"\s]+)`).FindStringSubmatch(rendered)
	if name == nil {
		t.Fatalf("the chart names no image:\n%s", rendered)
	}
	if err := node.ImportImage(t.Context(), *image, name[1]); err != nil {
		t.Fatal(err)
	}

	installed := time.Now()
	t.Log(must[string](t)(helm(t.Context(), path, home, "install", "metrics-server", chart, "--namespace=kube-system")))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(describe(t))
		}
		ctx := context.WithoutCancel(t.Context())
		if _, err := helm(ctx, path, home, "uninstall", "metrics-server", "--namespace=kube-system", "--wait"); err != nil {
			t.Error(err)
		}
	})
	service := must[*corev1.Service](t)(node.Client().CoreV1().Services("kube-system").Get(t.Context(), "metrics-server", metav1.GetOptions{}))
	if err := node.RouteService(t.Context(), service.Spec.ClusterIP); err != nil {
		t.Fatal(err)
	}
	t.Log(must[string](t)(node.Kubectl(t.Context(), "rollout", "status", "deployment/metrics-server", "--namespace=kube-system", "--timeout="+patience.String())))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := node.WaitAvailable(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("%.0f s after the install, both APIServices are available", time.Since(installed).Seconds())
	client := must[*metricsclient.Clientset](t)(metricsclient.NewForConfig(node.AdminConfig()))
	o := startWatched(t, client)
	watch(t, client, o, min(*length, 90*time.Second)).checkSteady(t, o)
	t.Log(describe(t))
	for line := range strings.Lines(serverLog(t)) {
		if strings.HasPrefix(line, "E") || strings.Contains(line, "insecure") {
			t.Errorf("the server's log says: %s", line)
		}
	}
}

// describe is what the cluster says of the pod.
func describe(t *testing.T) string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	var all strings.Builder
	for _, args := range [][]string{
		{"get", "node,pod,service,endpointslice,certificatesigningrequest", "--all-namespaces", "--output=wide"},
		{"get", "apiservice", "v1.metrics.k8s.io", "v1beta1.metrics.k8s.io"},
		{"get", "event", "--namespace=kube-system"},
	} {
		out, err := node.Kubectl(ctx, args...)
		if err != nil {
			out = err.Error()
		}
		fmt.Fprintln(&all, out)
	}
	return all.String() + serverLog(t)
}

// serverLog is that of the pod, as the kubelet keeps it, without its time stamps.
func serverLog(t *testing.T) string {
	t.Helper()
	files := must[[]string](t)(filepath.Glob(node.path("var/log/pods/kube-system_metrics-server-*/metrics-server/*.log")))
	var all strings.Builder
	for _, f := range files {
		for line := range strings.Lines(string(must[[]byte](t)(os.ReadFile(f)))) {
			if fields := strings.SplitN(line, " ", 4); len(fields) == 4 {
				all.WriteString(fields[3])
			}
		}
	}
	return all.String()
}

// helm runs it with neither the settings nor the plugins of the user.
func helm(ctx context.Context, path, home string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+node.AdminKubeconfig())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("helm %s: %w: %s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out), nil
}
