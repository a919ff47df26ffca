// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/gomodule"
)

// startK9s builds k9s, the first time, and has it show a resource of all namespaces.
func startK9s(t *testing.T, resource string) screen {
	t.Helper()
	path, err := gomodule.Tool(t.Context(), "k9s", "github.com/derailed/k9s")
	if err != nil {
		t.Fatal(err)
	}
	// It asks nobody for newer versions of itself.
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "config.yaml"), []byte("k9s:\n  skipLatestRevCheck: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "--kubeconfig="+local.AdminKubeconfig(), "--logFile="+filepath.Join(home, "k9s.log"),
		"--all-namespaces", "--command="+resource, "--headless", "--splashless", "--readonly")
	cmd.Env = append(os.Environ(), "HOME="+home, "K9S_CONFIG_DIR="+home)
	return startScreen(t, cmd, 200, 50)
}

// k9sRow is how k9s shows a usage: in millicores and mebibytes.
func k9sRow(cells []string, u corev1.ResourceList) []string {
	return append(cells, fmt.Sprint(u.Cpu().MilliValue()), fmt.Sprint(u.Memory().Value()>>20))
}

func TestK9s(t *testing.T) {
	nodes, pods := servedUsage(t)
	var nodeRows, podRows rows
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		nodeRows = append(nodeRows, k9sRow([]string{name}, nodes[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(pods)) {
		podRows = append(podRows, k9sRow(strings.Split(name, "/"), sum(pods[name])))
	}
	for _, tt := range []struct {
		resource string
		columns  []string
		want     rows
	}{
		{"nodes", []string{"NAME", "CPU", "MEM"}, nodeRows},
		{"pods", []string{"NAMESPACE", "NAME", "CPU", "MEM"}, podRows},
	} {
		t.Run(tt.resource, func(t *testing.T) {
			s := startK9s(t, tt.resource)
			eventually.Succeeds(t, patience, func() error {
				got := s.table(tt.columns...)
				if slices.SortFunc(got, slices.Compare); !slices.EqualFunc(got, tt.want, slices.Equal) {
					return fmt.Errorf("got\n%q\nand served is\n%q, on the screen\n%s", got, tt.want, s.terminal.String())
				}
				return nil
			})
			t.Logf("k9s shows\n%s", s.terminal.String())
		})
	}
}
