// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package debian tells tests which Debian packages are missing. It reads
// hack/debian-packages, the one list of them.
package debian

import (
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
	list, err := list()
	if err != nil {
		return err
	}
	var missing []string
	for _, p := range packages {
		shownBy, ok := list[p]
		if !ok {
			return fmt.Errorf("%s is not in hack/debian-packages", p)
		}
		if !isThere(shownBy) {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("this machine lacks %s: apt-get install --no-install-recommends %[1]s", strings.Join(missing, " "))
}

// Need skips a test if one of the packages is missing. Where CI is set, the test fails instead.
func Need(t testing.TB, packages ...string) {
	t.Helper()
	err := Missing(packages...)
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("%v, and CI is set", err)
	default:
		t.Skip(err)
	}
}

// list returns, for each package, the program or the pattern of files that shows that it is there.
func list() (shownBy map[string]string, err error) {
	_, file, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "..", "hack", "debian-packages"))
	if err != nil {
		return nil, err
	}
	shownBy = map[string]string{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 3 && !strings.HasPrefix(line, "#") {
			shownBy[fields[1]] = fields[2]
		}
	}
	return shownBy, nil
}

func isThere(shownBy string) bool {
	if filepath.IsAbs(shownBy) {
		files, err := filepath.Glob(shownBy)
		return err == nil && len(files) > 0
	}
	_, err := exec.LookPath(shownBy)
	return err == nil
}
