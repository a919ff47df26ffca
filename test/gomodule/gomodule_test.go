// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package gomodule

import (
	"archive/zip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// proxied is the files of example.com/hello v1.0.0, which has a tool.
var proxied = map[string]string{
	"go.mod":        "module example.com/hello\n\ngo 1.26.0\n",
	"hello.go":      "package main\n\nfunc main() { print(`hello`) }\n",
	"crds/kind.txt": "a file for users\n",
}

// write makes a file, and the folders above it.
func write(t *testing.T, text string, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startProxy makes a Go module proxy of files, and a folder whose module requires
// example.com/hello of it. The proxy's folder can be removed.
func startProxy(t *testing.T) (folder, proxy string) {
	t.Helper()
	folder, proxy = t.TempDir(), t.TempDir()
	versions := filepath.Join(proxy, "example.com", "hello", "@v")
	write(t, `{"Version":"v1.0.0"}`, versions, "v1.0.0.info")
	write(t, proxied["go.mod"], versions, "v1.0.0.mod")
	file, err := os.Create(filepath.Join(versions, "v1.0.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	archive := zip.NewWriter(file)
	for name, text := range proxied {
		w, err := archive.Create("example.com/hello@v1.0.0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", (&url.URL{Scheme: "file", Path: proxy}).String())
	t.Setenv("GONOSUMDB", "*")
	write(t, "module example.com/user\n\ngo 1.26.0\n\ntool example.com/hello\n\nrequire example.com/hello v1.0.0\n", folder, "go.mod")
	emptyCache(t)
	tidy := exec.CommandContext(t.Context(), "go", "mod", "tidy") // it writes go.sum
	tidy.Dir = folder
	if out, err := tidy.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	emptyCache(t)
	return folder, proxy
}

// emptyCache gives the go commands that follow an empty module cache.
func emptyCache(t *testing.T) {
	t.Helper()
	cache := t.TempDir()
	t.Setenv("GOMODCACHE", cache)
	t.Cleanup(func() {
		clean := exec.Command("go", "clean", "-modcache") // its folders are read-only
		clean.Env = append(os.Environ(), "GOMODCACHE="+cache)
		if out, err := clean.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func TestSourcesWithEmptyModuleCache(t *testing.T) {
	folder, proxy := startProxy(t)
	for _, want := range []string{"downloaded", "cached"} {
		dir, err := Sources(t.Context(), folder, "example.com/hello")
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		for name, want := range proxied {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != want {
				t.Errorf("%s is %q, want %q: %v", name, text, want, err)
			}
		}
		if err := os.RemoveAll(proxy); err != nil {
			t.Fatal(err)
		}
	}
	// With neither the module nor a proxy, the error names the module.
	emptyCache(t)
	if dir, err := Sources(t.Context(), folder, "example.com/hello"); err == nil || !strings.Contains(err.Error(), "example.com/hello") {
		t.Errorf("without a proxy: %q, %v", dir, err)
	}
}

func TestSourcesChecksGoSum(t *testing.T) {
	folder, _ := startProxy(t)
	sums, err := os.ReadFile(filepath.Join(folder, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := regexp.MustCompile(`v1.0.0 h1:....`).ReplaceAllString(string(sums), "v1.0.0 h1:AAAA")
	write(t, wrong, folder, "go.sum")
	if dir, err := Sources(t.Context(), folder, "example.com/hello"); err == nil || !strings.Contains(err.Error(), "checksum mismatch") {
		t.Errorf("got %q, %v for a module with another checksum than in go.sum", dir, err)
	}
	emptyCache(t)
	write(t, "", folder, "go.sum")
	if dir, err := Sources(t.Context(), folder, "example.com/hello"); err == nil || !strings.Contains(err.Error(), "go.sum lacks example.com/hello v1.0.0 h1:") {
		t.Errorf("got %q, %v for a module that is not in go.sum", dir, err)
	}
}

func TestSourcesOfUnknownModule(t *testing.T) {
	folder, _ := startProxy(t)
	if dir, err := Sources(t.Context(), folder, "example.com/other"); err == nil || !strings.Contains(err.Error(), "example.com/other") {
		t.Errorf("%q, %v", dir, err)
	}
}

func TestToolWithEmptyModuleCache(t *testing.T) {
	folder, _ := startProxy(t)
	path, err := Tool(t.Context(), folder, "example.com/hello")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), path).CombinedOutput(); err != nil || string(out) != "hello" {
		t.Errorf("%q, %v", out, err)
	}
}
