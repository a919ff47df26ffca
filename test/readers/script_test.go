// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubemeter/metrics-server/test/debian"
)

// script is a program that reads with the client library of another language.
type script struct {
	dir     string
	command []string
}

func (s script) run(ctx context.Context, version string, what ...string) *exec.Cmd {
	args := append(s.command[1:len(s.command):len(s.command)], local.AdminKubeconfig(), version, namespace, selector, nodeName(0), podName)
	cmd := exec.CommandContext(ctx, s.command[0], append(args, what...)...)
	cmd.Dir = s.dir
	return cmd
}

// check compares what the library lists and gets, and what it is told by a watch.
func (s script) check(t *testing.T) {
	t.Helper()
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			decode[reading](t, []byte(output(t, s.run(t.Context(), version)))).check(t, served(t, version))
		})
		t.Run(version+" watch", func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := s.run(ctx, version, "watch")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				cancel()
				_ = cmd.Wait() // it was killed
				if t.Failed() {
					t.Log(stderr.String())
				}
			}()
			lines := bufio.NewScanner(out)
			lines.Buffer(nil, 1<<20)
			checkWatch(t, func() (event, bool) {
				if !lines.Scan() {
					return event{}, false
				}
				return decode[event](t, lines.Bytes()), true
			})
		})
	}
}

// The interpreter is the one that Debian's package is for.
func TestPython(t *testing.T) {
	debian.Require(t, "python3-kubernetes")
	const python = "/usr/bin/python3"
	version, err := exec.CommandContext(t.Context(), python, "-c", "import kubernetes; print(kubernetes.__version__)").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, version)
	}
	t.Logf("kubernetes %s", version)
	script{command: []string{python, filepath.Join("python", "read.py")}}.check(t)
}

// installJavaScript gives the script a folder with the packages of its lock file. The client's
// versions from 2.0 on need Node 22, which stable Debian has not.
func installJavaScript(t *testing.T) script {
	t.Helper()
	debian.Require(t, "nodejs", "npm")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("javascript")); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--prefer-offline")
	install.Dir = dir
	output(t, install)
	return script{dir: dir, command: []string{"node", "read.js"}}
}

func TestJavaScript(t *testing.T) {
	s := installJavaScript(t)
	s.check(t)
	t.Run("top", func(t *testing.T) {
		type usage struct{ CPU, Memory float64 }
		got := decode[struct {
			Nodes, Pods, Namespaced []any
			Top                     []struct {
				Name string
				usage
				Containers map[string]usage
			}
		}](t, []byte(output(t, s.run(t.Context(), "v1beta1", "top"))))
		want := served(t, "v1beta1")
		// The class has neither selectors nor a get.
		reading{got.Nodes, got.Pods, got.Namespaced, want.Selected, want.Node, want.Pod}.check(t, want)

		_, pods := servedUsage(t)
		near := func(got usage, want corev1.ResourceList) bool {
			cpu := got.CPU - want.Cpu().AsApproximateFloat64() // it adds floating-point numbers
			return -1e-9 < cpu && cpu < 1e-9 && got.Memory == want.Memory().AsApproximateFloat64()
		}
		if len(got.Top) != len(want.Namespaced) {
			t.Errorf("topPods shows %d pods, want %d", len(got.Top), len(want.Namespaced))
		}
		for _, pod := range got.Top {
			containers := pods[namespace+"/"+pod.Name]
			if len(pod.Containers) != len(containers) || !near(pod.usage, sum(containers)) {
				t.Errorf("topPods shows %+v, served is %s", pod, encode(t, containers))
			}
			for _, c := range containers {
				if !near(pod.Containers[c.Name], c.Usage) {
					t.Errorf("topPods shows %+v of %s, served is %s", pod, c.Name, encode(t, c.Usage))
				}
			}
		}
	})
}
