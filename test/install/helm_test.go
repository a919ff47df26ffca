// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubemeter/metrics-server/test/gomodule"
)

// helm is one version of the program.
type helm struct {
	name, path string
	// home has neither the settings nor the plugins of the user.
	home string
}

// findHelms builds them the first time.
func findHelms(ctx context.Context, home string) (all []helm, err error) {
	for _, version := range []string{"v3", "v4"} {
		path, err := gomodule.Tool(ctx, filepath.Join(repository(), "hack", "helm"), "helm.sh/helm/"+version+"/cmd/helm")
		if err != nil {
			return nil, err
		}
		all = append(all, helm{name: "helm " + version, path: path, home: filepath.Join(home, version)})
	}
	return all, nil
}

func (h helm) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, h.path, args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+h.home, "HELM_CONFIG_HOME="+h.home, "HELM_DATA_HOME="+h.home,
		"KUBECONFIG="+plane.AdminKubeconfig())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s%s", h.name, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

func (h helm) must(t *testing.T, args ...string) string {
	t.Helper()
	return must[string](t)(h.run(t.Context(), args...))
}

// template renders the chart as a release in kube-system, without a cluster. One
// that is not a release of Helm's knows no version of Kubernetes by itself.
func (h helm) template(ctx context.Context, args ...string) (string, error) {
	return h.run(ctx, append([]string{"template", "metrics-server", chart(), "--namespace=kube-system",
		"--kube-version=" + plane.Version()}, args...)...)
}

// newest is the latest version, for tests of what is the same in all.
func newest() helm { return helms[len(helms)-1] }

// valuesFiles are those of the chart's ci folder, by name.
func valuesFiles(t *testing.T) map[string]string {
	t.Helper()
	files := must[[]string](t)(filepath.Glob(filepath.Join(chart(), "ci", "*-values.yaml")))
	if len(files) == 0 {
		t.Fatal("the chart has no values files in ci")
	}
	all := map[string]string{}
	for _, f := range files {
		all[strings.TrimSuffix(filepath.Base(f), "-values.yaml")] = f
	}
	return all
}
