// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testModule = `module example.com/controlplane

go 1.26.0

require (
	k8s.io/api v0.99.1
	k8s.io/kubernetes v1.99.1 // indirect
)
`

// writeModule writes a control-plane module and makes an empty cache.
func writeModule(t *testing.T, gomod string) (module string) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	module = t.TempDir()
	for name, text := range map[string]string{"go.mod": gomod, "go.sum": "sums\n"} {
		if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return module
}

// fakeGo puts a go command first in PATH that notes its calls and runs body.
func fakeGo(t *testing.T, body string) (calls string) {
	t.Helper()
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	script := "#!/bin/sh\necho \"$GOFLAGS|$CGO_ENABLED|$*\" >>" + calls + "\nfor a in \"$@\"; do case $a in */) out=$a;; esac; done\n" + body
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return calls
}

const fakeBuild = `for b in server kube-apiserver kube-controller-manager kubectl; do echo $b >"$out$b"; done`

func TestBinariesAreBuiltOnce(t *testing.T) {
	module := writeModule(t, testModule)
	t.Setenv("GOFLAGS", "-mod=vendor")
	calls := fakeGo(t, fakeBuild)
	var log bytes.Buffer
	for range 2 {
		source, err := newControlPlane(module, controlPlaneSet)
		if err != nil {
			t.Fatal(err)
		}
		b, err := source.binaries(t.Context(), newProgress(&log))
		if err != nil {
			t.Fatal(err)
		}
		if b.version != "v1.99.1" {
			t.Errorf("got version %s", b.version)
		}
		for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"} {
			if _, err := os.Stat(b.path(name)); err != nil {
				t.Error(err)
			}
		}
	}
	data, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(data), "\n"); got != 1 {
		t.Fatalf("the go command ran %d times, want once:\n%s", got, data)
	}
	for _, want := range []string{
		"-mod=readonly -gcflags=all=-dwarf=false|0|build ",
		"-X k8s.io/component-base/version.gitVersion=v1.99.1",
		"-X k8s.io/client-go/pkg/version.gitMajor=1",
		"-X k8s.io/component-base/version.gitMinor=99",
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the go command's call lacks %q: %s", want, data)
		}
	}
	if !strings.Contains(log.String(), "building etcd, kube-apiserver, kube-controller-manager and kubectl v1.99.1 (first time: several minutes) …") {
		t.Errorf("got log %q", log.String())
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	module := writeModule(t, testModule)
	fakeGo(t, "echo half >\"${out}server\"\necho 'main.go:1: syntax error' >&2\nexit 1\n")
	source, err := newControlPlane(module, controlPlaneSet)
	if err != nil {
		t.Fatal(err)
	}
	_, err = source.binaries(t.Context(), newProgress(nil))
	if err == nil || !strings.Contains(err.Error(), "main.go:1: syntax error") {
		t.Errorf("got %v, want the go command's output", err)
	}
	entries, err := os.ReadDir(source.cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			t.Errorf("%s is left", entry.Name())
		}
	}
}

func TestBuildKey(t *testing.T) {
	key := func(gomod string) string {
		source, err := newControlPlane(writeModule(t, gomod), controlPlaneSet)
		if err != nil {
			t.Fatal(err)
		}
		return source.key
	}
	first := key(testModule)
	if !strings.HasPrefix(first, "v1.99.1-") {
		t.Errorf("got key %q, want it to begin with the version", first)
	}
	if key(testModule) != first {
		t.Error("the same module has two keys")
	}
	if key(testModule+"\n// changed\n") == first {
		t.Error("a changed module has the same key")
	}
}

func TestModuleErrors(t *testing.T) {
	tests := []struct {
		name, gomod, want string
	}{
		{"no requirement", "module example.com/m\n", "requires no k8s.io/kubernetes"},
		{"another module with that prefix", "module example.com/m\n\nrequire k8s.io/kubernetes-more v1.2.3\n", "requires no k8s.io/kubernetes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := newControlPlane(writeModule(t, test.gomod), controlPlaneSet)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := newControlPlane(t.TempDir(), controlPlaneSet); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a module: got %v", err)
	}
}

func TestChosenModule(t *testing.T) {
	for _, minor := range []string{"", "v1.34", "v1.35", "v1.36", "v1.37"} {
		t.Setenv(minorVariable, minor)
		module, err := chosenModule()
		if err != nil {
			t.Fatal(err)
		}
		source, err := newControlPlane(module, nodeSet)
		if err != nil {
			t.Fatal(err)
		}
		if want := cmp.Or(minor, defaultMinor); !strings.HasPrefix(source.version, want+".") {
			t.Errorf("got version %s in the folder of %s", source.version, want)
		}
	}
	t.Setenv(minorVariable, "v1.3")
	if _, err := chosenModule(); err == nil || !strings.Contains(err.Error(), "v1.34, v1.35, v1.36, v1.37") {
		t.Errorf("of an unknown version: got %v, want those that there are", err)
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path, newProgress(nil))
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lockFile(ended, path, newProgress(nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("while it is held: got %v, want to wait until the context ends", err)
	}
	unlock()
	again, err := lockFile(t.Context(), path, newProgress(nil))
	if err != nil {
		t.Fatal(err)
	}
	again()
}
