// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestContentsOfAProgram(t *testing.T) {
	t.Chdir(write(t, map[string]string{
		"go.mod":  "module example.com/main\n\ngo 1.26.0\n",
		"main.go": "package main\n\nimport \"os\"\n\nfunc main() { os.Exit(0) }\n",
		"LICENSE": text(t, "Apache-2.0/pristine.txt"),
	}))
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", "main", ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	args := []string{"contents", "-binary", "main", "-package", ".", "-version", "v0.1.0", "-created", "1785000000", "-out", "out"}
	if err := run(t.Context(), args, os.Stdout); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"licenses/std/LICENSE", "licenses/example.com/main/LICENSE", "sbom.cdx.json"} {
		if _, err := os.Stat(filepath.Join("out", file)); err != nil {
			t.Error(err)
		}
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"":                               "no command",
		"build":                          `unknown command "build"`,
		"inspect /nowhere":               "inspect takes an OCI layout and its platforms",
		"inspect /nowhere linux/amd64":   "index.json",
		"contents -binary /nowhere":      "reading what /nowhere was built of",
		"contents -created=today":        "invalid value",
		"contents -unknown /nowhere/out": "flag provided but not defined",
	} {
		if err := run(t.Context(), strings.Fields(args), os.Stdout); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", args, err, want)
		}
	}
}
