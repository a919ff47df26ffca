// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs runs the commands of the documentation, and holds its references against
// the server.
package docs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/gomodule"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

// repository is the folder of the product's sources.
var repository = filepath.Join("..", "..")

var (
	local *localcluster.Local
	helm  string // path
)

func TestMain(m *testing.M) {
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: 6, Pods: 36, ManagedCertificate: true,
		ServerFlags: []string{"--metric-resolution=10s", "--kubelet-request-timeout=4s"},
	}, func(l *localcluster.Local) int {
		local = l
		return m.Run()
	}))
}

// marksOfREADME says where commands of README.md run, or why they do not.
var marksOfREADME = map[string]string{
	"make run":                        notRun + "all of test/ runs what it does, with the server as a process",
	"make test":                       notRun + "it runs this test",
	"kubectl apply -k manifests/base": onManifests,
	"kubectl apply -k manifests/overlays/switch":                      onManifests,
	"kubectl -n kube-system rollout status deployment/metrics-server": notRun + "pods need a node: test/realnode",
	"kubectl top nodes": onCluster,
	"helm upgrade --install metrics-server charts/metrics-server --namespace kube-system --set image.repository=REGISTRY/metrics-server,image.tag=TAG": onChart,
	"kubectl patch apiservice v1beta1.metrics.k8s.io --type=merge -p '{\"spec\":{\"insecureSkipTLSVerify\":true,\"caBundle\":null}}'":                  onManifests,
	"kubectl delete apiservice v1.metrics.k8s.io": onManifests,
	"kubectl patch apiservices v1.metrics.k8s.io v1beta1.metrics.k8s.io --type=merge -p '{\"spec\":{\"caBundle\":null}}'": onManifests,
	"make image": notRun + "it needs root: test/realnode",
	"skopeo copy --all oci-archive:bin/image.oci docker://REGISTRY/metrics-server:TAG":                      notRun + "it needs a registry",
	"kubectl -n kube-system set image deployment/metrics-server metrics-server=REGISTRY/metrics-server:TAG": onManifests,
	"make build": notRun + "every test of test/ builds the server",
	"kubectl apply -f manifests/base/rbac.yaml":                                                             onManifests,
	"bin/metrics-server --kubeconfig=FILE --authentication-kubeconfig=FILE --authorization-kubeconfig=FILE": notRun + "it does not end; test/localcluster runs it so",
	"kubectl get podmetrics -A -w":                                                                          notRun + "it does not end; test/e2e watches",
	"kubectl top pods -A --field-selector spec.nodeName=node-3":                                             onCluster,
}

// TestCommands runs all commands of a page in their order, where they say.
func TestCommands(t *testing.T) {
	manifests, chart := startPlane(t), startPlane(t)
	helm = findHelm(t)
	used := map[string]bool{}
	for _, page := range pages(t) {
		indented := func(c string) (mark string, ok bool) {
			used[c] = true
			mark, ok = marksOfREADME[c]
			return mark, ok && filepath.Base(page) == "README.md"
		}
		blocks, problems := blocksOf(page, readPage(t, page), indented)
		for _, err := range problems {
			t.Error(err)
		}
		byPlace := map[string][]block{}
		for _, b := range blocks {
			place := b.mark
			if place == fails {
				place = onCluster
			}
			if !b.isNotRun() {
				byPlace[place] = append(byPlace[place], b)
			}
		}
		t.Run(page, func(t *testing.T) {
			runAll(t, local.Cluster, byPlace[onCluster])
			runAll(t, chart, byPlace[onChart])
			if blocks := byPlace[onManifests]; len(blocks) > 0 {
				runAll(t, manifests, append([]block{{page: "before " + page, text: "kubectl apply -k manifests/base"}}, blocks...))
			}
		})
	}
	for c := range marksOfREADME {
		if !used[c] {
			t.Errorf("%q is not in README.md any more: remove it here", c)
		}
	}
}

// startPlane starts a control plane to install to.
func startPlane(t *testing.T) *cluster.Cluster {
	t.Helper()
	plane, err := cluster.Start(t.Context(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plane.Stop)
	return plane
}

func runAll(t *testing.T, c *cluster.Cluster, blocks []block) {
	t.Helper()
	if len(blocks) == 0 {
		return
	}
	env := environment(t, c)
	for _, b := range blocks {
		cmd := exec.CommandContext(t.Context(), "sh", "-euxc", b.text)
		cmd.Dir, cmd.Env = repository, env
		out, err := cmd.CombinedOutput()
		if (err != nil) != (b.mark == fails) {
			t.Errorf("%s: %v\n%s", b, err, out)
		}
		if b.mark == fails && !strings.Contains(readPage(t, b.page), lastLine(out)) {
			t.Errorf("%s: the page does not show what this says: %s", b, out)
		}
		t.Logf("%s\n%s", b, bytes.TrimSpace(out))
	}
}

func lastLine(out []byte) string {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return string(lines[len(lines)-1])
}

// environment has the programs of the pages, and no settings of the user. Only the server
// is not where check looks for it: it is no pod.
func environment(t *testing.T, c *cluster.Cluster) []string {
	t.Helper()
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	server := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = check ]; then set -- \"$@\" --server-url=%s; fi\nexec %s \"$@\"\n", local.ServerURL(), local.ServerBinary())
	if err := os.WriteFile(filepath.Join(bin, "metrics-server"), []byte(server), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"kubectl": c.KubectlPath(), "helm": helm} {
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+home, "KUBECONFIG="+c.AdminKubeconfig(), "KUBERC=off",
		"KUBECACHEDIR="+home, "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
}

// findHelm builds the newest version that the chart is for, the first time.
func findHelm(t *testing.T) string {
	t.Helper()
	path, err := gomodule.Tool(t.Context(), filepath.Join(repository, "hack", "helm"), "helm.sh/helm/v4/cmd/helm")
	if err != nil {
		t.Fatal(err)
	}
	return path
}
