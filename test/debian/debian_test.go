// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := Missing("make", "npm"); err == nil || !strings.Contains(err.Error(), "apt-get install --no-install-recommends make npm") {
		t.Errorf("got %v, want the command that installs make and npm", err)
	}
	if err := Missing("no-such-package"); err == nil || !strings.Contains(err.Error(), "hack/debian-packages") {
		t.Errorf("got %v, want the name of the list", err)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("PATH"), "npm"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Missing("npm"); err != nil {
		t.Error(err)
	}
}

// recorder is a test of which only the end matters.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()               { r.TB.Helper() }
func (r *recorder) Skip(...any)           { r.ended = "skipped" }
func (r *recorder) Fatalf(string, ...any) { r.ended = "failed" }

func TestNeed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for ci, want := range map[string]string{"": "skipped", "true": "failed"} {
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		if Need(r, "npm"); r.ended != want {
			t.Errorf("CI=%q: the test %s, want %s", ci, r.ended, want)
		}
	}
}

// machine is the programs on the PATH of hack/packages.sh.
type machine struct {
	t   *testing.T
	bin string
	env []string
}

// newMachine returns one that has no program but those that the script calls, and these.
func newMachine(t *testing.T, programs ...string) *machine {
	m := &machine{t: t, bin: t.TempDir()}
	for _, name := range []string{"bash", "sh", "dirname", "id", "mktemp", "rm", "sleep", "tail", "cp"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(m.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range programs {
		m.add(name, "")
	}
	m.env = []string{"PATH=" + m.bin}
	return m
}

func (m *machine) add(name, script string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		m.t.Fatal(err)
	}
}

// packages runs the script for some targets.
func (m *machine) packages(targets ...string) (stdout, stderr string, code int) {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), filepath.Join("..", "..", "hack", "packages.sh"), targets...)
	cmd.Env = m.env
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return out.String(), problems.String(), cmd.ProcessState.ExitCode()
}

func TestPackagesScript(t *testing.T) {
	const install = "apt-get install --no-install-recommends "
	for name, c := range map[string]struct {
		programs, targets, env []string
		want                   []string // in what is printed
		code                   int
	}{
		"all is there":        {programs: []string{"gcc"}, targets: []string{"test-unit"}},
		"a test is left out":  {programs: []string{"gcc"}, targets: []string{"test"}, want: []string{"not run: the status page in a browser (test/status)\n", install + "chromium"}},
		"in CI":               {programs: []string{"gcc"}, targets: []string{"test"}, env: []string{"CI=true"}, want: []string{install + "chromium"}, code: 1},
		"no compiler":         {programs: []string{"chromium"}, targets: []string{"test"}, want: []string{"not run: make test, which needs gcc for Go's race detector\n", install + "gcc"}, code: 1},
		"nothing of a target": {programs: []string{"gcc"}, targets: []string{"test-node"}, want: []string{"make test-node, which needs runc", "containerd"}, code: 1},
		"several targets":     {targets: []string{"image", "ci"}, want: []string{"make image, which needs buildah", "make ci, which needs make", install + "make buildah"}, code: 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, c.programs...)
			m.env = append(m.env, append(c.env, "NO_INSTALL=1")...)
			m.add("apt-get", "exit 1")
			stdout, stderr, code := m.packages(c.targets...)
			if code != c.code || stderr != "" || len(c.want) == 0 && stdout != "" {
				t.Errorf("exit code %d, want %d; it printed %q, and to standard error %q", code, c.code, stdout, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("printed %q, want %q in it", stdout, want)
				}
			}
		})
	}
}

func TestPackagesScriptInstalls(t *testing.T) {
	for name, c := range map[string]struct {
		user, aptGet   string
		stdout, stderr string
		code           int
	}{
		"as root":           {user: "0", aptGet: `[ "$1" = update ] || for p; do case $p in npm) cp -p "$0" $BIN/npm ;; nodejs) cp -p "$0" $BIN/node ;; esac; done`, stderr: "installing Debian's"},
		"as a user":         {user: "1000", aptGet: "exit 1", stdout: "sudo apt-get install"},
		"no network":        {user: "0", aptGet: "echo no route to host; exit 100", stdout: "type: apt-get install", stderr: "no route to host"},
		"only some of them": {user: "0", aptGet: `cp -p "$0" $BIN/npm`, stdout: "--no-install-recommends nodejs"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, "gcc")
			m.env = append(m.env, "BIN="+m.bin)
			if err := os.Remove(filepath.Join(m.bin, "id")); err != nil {
				t.Fatal(err)
			}
			m.add("id", "echo "+c.user)
			m.add("apt-get", c.aptGet)
			stdout, stderr, code := m.packages("test-readers")
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d; it printed %q, and to standard error %q", code, stdout, stderr)
			}
			if c.stdout == "" && strings.Contains(stdout, "JavaScript") {
				t.Errorf("the packages were installed, and it printed %q", stdout)
			}
		})
	}
}
