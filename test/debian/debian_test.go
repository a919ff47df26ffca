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

// fakeT records whether Require skipped or failed the test.
type fakeT struct {
	testing.TB
	ended string
}

func (f *fakeT) Skip(...any)           { f.ended = "skipped" }
func (f *fakeT) Fatalf(string, ...any) { f.ended = "failed" }

func TestRequire(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for ci, want := range map[string]string{"": "skipped", "true": "failed"} {
		t.Setenv("CI", ci)
		f := &fakeT{TB: t}
		if Require(f, "npm"); f.ended != want {
			t.Errorf("CI=%q: the test was %q, want %q", ci, f.ended, want)
		}
		f = &fakeT{TB: t}
		if Require(f, "no-such-package"); f.ended != "failed" {
			t.Errorf("CI=%q, a package that is not in the list: the test was %q, want failed", ci, f.ended)
		}
	}
}

// fakeList is a list in which all packages are detected by programs on the PATH.
const fakeList = `
# A comment.
test!,unit!       compiler  compiler  the race detector
test              browser   browser   the browser tests
readers           node      node      the JavaScript tests
readers           npm       npm       the JavaScript tests
image!,node-test! builder   builder   building the image
`

// fakeMachine is a PATH with a few programs, and fakeList.
type fakeMachine struct {
	t        *testing.T
	bin, ran string // ran is a file with the arguments of each apt-get
	env      []string
}

// newFakeMachine adds the programs to those that hack/packages.sh itself needs. Its user has the
// ID uid. Its apt-get is a script, which can create a program with: add NAME.
func newFakeMachine(t *testing.T, uid, aptGet string, programs ...string) *fakeMachine {
	t.Helper()
	m := &fakeMachine{t: t, bin: t.TempDir(), ran: filepath.Join(t.TempDir(), "ran")}
	for _, name := range []string{"bash", "sh", "dirname", "grep", "mktemp", "rm", "sleep", "tail", "cp"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(m.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	m.write("id", "echo "+uid)
	m.write("apt-get", `echo "$@" >>`+m.ran+"\nadd() { cp -p \"$0\" "+m.bin+"/$1; }\n"+aptGet)
	for _, name := range programs {
		m.write(name, "")
	}
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte(fakeList), 0o600); err != nil {
		t.Fatal(err)
	}
	m.env = []string{"PATH=" + m.bin, "KUBEMETER_DEBIAN_PACKAGES=" + list}
	return m
}

func (m *fakeMachine) write(name, script string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		m.t.Fatal(err)
	}
}

// packages runs hack/packages.sh, and returns what it and apt-get have done.
func (m *fakeMachine) packages(targets ...string) (stdout, stderr, aptGet string, code int) {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), filepath.Join("..", "..", "hack", "packages.sh"), targets...)
	cmd.Env = m.env
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	calls, err := os.ReadFile(m.ran)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return out.String(), problems.String(), string(calls), cmd.ProcessState.ExitCode()
}

func TestPackagesScript(t *testing.T) {
	const (
		install     = "To install what is missing: apt-get install --no-install-recommends "
		browser     = "not run: the browser tests\n"
		javaScript  = "not run: the JavaScript tests\n"
		installed   = "update\ninstall -y --no-remove --no-install-recommends -- "
		noInstall   = "NO_INSTALL=1"
		inCI        = "CI is set: nothing may be skipped\n"
		bothProgams = "add node; add npm"
	)
	for name, c := range map[string]struct {
		programs, targets, env []string
		uid, script            string // root, and an apt-get that installs nothing, by default
		stdout, stderr, aptGet string // stderr is a part
		code                   int
	}{
		"nothing is missing":      {programs: []string{"compiler"}, targets: []string{"unit"}},
		"another target's":        {targets: []string{"readers"}, programs: []string{"node", "npm"}},
		"some tests are skipped":  {programs: []string{"compiler"}, targets: []string{"test"}, env: []string{noInstall}, stdout: browser + install + "browser\n"},
		"some in CI":              {programs: []string{"compiler"}, targets: []string{"test"}, env: []string{noInstall, "CI=true"}, stdout: browser + install + "browser\n" + inCI, code: 1},
		"two packages, one thing": {targets: []string{"readers"}, env: []string{noInstall}, stdout: javaScript + install + "node npm\n"},
		"a required package":      {programs: []string{"browser"}, targets: []string{"test"}, env: []string{noInstall}, stdout: "not run: test (it needs compiler for the race detector)\n" + install + "compiler\n", code: 1},
		"several targets": {targets: []string{"image", "readers"}, env: []string{noInstall}, code: 1,
			stdout: javaScript + "not run: image (it needs builder for building the image)\n" + install + "node npm builder\n"},
		"an unknown target":   {targets: []string{"tset"}, stderr: "no target tset", code: 2},
		"as root":             {targets: []string{"readers"}, script: bothProgams, aptGet: installed + "node npm\n", stderr: "installing node npm (set NO_INSTALL=1 to skip this)\n"},
		"as root in CI":       {targets: []string{"readers"}, env: []string{"CI=true"}, script: bothProgams, aptGet: installed + "node npm\n"},
		"as a user":           {targets: []string{"readers"}, uid: "1000", script: bothProgams, stdout: javaScript + "To install what is missing: sudo apt-get install --no-install-recommends node npm\n"},
		"apt-get fails":       {targets: []string{"readers"}, script: "echo no route to host; exit 100", aptGet: installed + "node npm\n", stderr: "no route to host\napt-get could not install the packages\n", stdout: javaScript + install + "node npm\n"},
		"apt-get fails in CI": {targets: []string{"readers"}, env: []string{"CI=true"}, script: "exit 100", aptGet: installed + "node npm\n", stdout: javaScript + install + "node npm\n" + inCI, code: 1},
		"one is installed":    {targets: []string{"readers"}, script: "add npm", aptGet: installed + "node npm\n", stdout: javaScript + install + "node\n"},
	} {
		t.Run(name, func(t *testing.T) {
			uid := "0"
			if c.uid != "" {
				uid = c.uid
			}
			m := newFakeMachine(t, uid, c.script, c.programs...)
			m.env = append(m.env, c.env...)
			stdout, stderr, aptGet, code := m.packages(c.targets...)
			if stdout != c.stdout || aptGet != c.aptGet || code != c.code {
				t.Errorf("stdout %q, want %q\napt-get %q, want %q\nexit code %d, want %d", stdout, c.stdout, aptGet, c.aptGet, code, c.code)
			}
			if !strings.Contains(stderr, c.stderr) || c.aptGet == "" && c.stderr == "" && stderr != "" {
				t.Errorf("stderr %q, want %q", stderr, c.stderr)
			}
		})
	}
}
