// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package debian checks for the Debian packages that tests need. How a package is detected stands
// in hack/debian-packages.
package debian

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Missing returns an error with the command to type if one of the packages is missing.
func Missing(packages ...string) error {
	names, err := missing(packages)
	if err != nil || len(names) == 0 {
		return err
	}
	return errors.New(advice(names))
}

// Require skips a test if one of the packages is missing. If CI is set, it fails the test instead.
func Require(t testing.TB, packages ...string) {
	t.Helper()
	names, err := missing(packages)
	switch {
	case err != nil:
		t.Fatalf("%v", err)
	case len(names) == 0:
	case os.Getenv("CI") != "":
		t.Fatalf("%s, and CI is set", advice(names))
	default:
		t.Skip(advice(names))
	}
}

func advice(names []string) string {
	return fmt.Sprintf("this machine lacks %s: apt-get install --no-install-recommends %[1]s", strings.Join(names, " "))
}

func missing(packages []string) (names []string, err error) {
	probes, err := list()
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		probe, ok := probes[p]
		if !ok {
			return nil, fmt.Errorf("%s is not in hack/debian-packages", p)
		}
		if !isInstalled(probe) {
			names = append(names, p)
		}
	}
	return names, nil
}

// list returns, for each package, the program or the pattern of files that it is detected by.
func list() (probes map[string]string, err error) {
	_, file, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "..", "hack", "debian-packages"))
	if err != nil {
		return nil, err
	}
	probes = map[string]string{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 3 && !strings.HasPrefix(line, "#") {
			probes[fields[1]] = fields[2]
		}
	}
	return probes, nil
}

func isInstalled(probe string) bool {
	if filepath.IsAbs(probe) {
		files, err := filepath.Glob(probe)
		return err == nil && len(files) > 0
	}
	_, err := exec.LookPath(probe)
	return err == nil
}
