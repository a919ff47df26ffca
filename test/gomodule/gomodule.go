// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gomodule provides programs and files of other people's Go modules to tests. Their
// requirements may conflict with ours, so each is required by a module of its own, in a folder
// that holds nothing else.
package gomodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Tool returns the path of a tool of the module in folder. The first call downloads and builds
// it, which takes minutes.
func Tool(ctx context.Context, folder, tool string) (path string, err error) {
	out, err := run(ctx, folder, "tool", "-n", tool)
	return strings.TrimSpace(string(out)), err
}

// Sources returns the folder with the sources of a module that the module in folder requires.
// The first call downloads that module, and no other.
func Sources(ctx context.Context, folder, module string) (path string, err error) {
	sums, err := os.ReadFile(filepath.Join(folder, "go.sum"))
	if err != nil {
		return "", err
	}
	// go list -m has no folder for a module that is not in the module cache yet.
	out, err := run(ctx, folder, "mod", "download", "-json", module)
	var download struct{ Path, Version, Sum, Dir, Error string }
	decodeErr := json.Unmarshal(out, &download)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w%s", err, download.Error)
	case decodeErr != nil:
		return "", fmt.Errorf("what go mod download -json %s printed in %s: %w", module, folder, decodeErr)
	}
	// The go command checks a sum that is in go.sum, and may add one that is not.
	if sum := fmt.Sprintln(download.Path, download.Version, download.Sum); !strings.Contains(string(sums), sum) {
		return "", fmt.Errorf("%s/go.sum lacks %s", folder, sum)
	}
	return download.Dir, nil
}

// Environ returns the environment of go commands that build other people's modules. It overrides
// what is set for the caller's own build: vendoring or a workspace would break theirs. The Makefile
// sets the same compiler flag, so that Go's build cache serves both, and hack/heartbeat.sh the same
// GOGC.
func Environ() []string {
	return append(os.Environ(), "GOFLAGS=-mod=readonly -gcflags=all=-dwarf=false", "GOWORK=off", "CGO_ENABLED=0",
		"GOGC="+cmp.Or(os.Getenv("GOGC"), "400"))
}

// run returns the standard output of a go command in folder, also if it fails.
func run(ctx context.Context, folder string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = folder
	cmd.Env = Environ()
	out, err := cmd.Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		err = fmt.Errorf("go %s in %s: %w", strings.Join(args, " "), folder, err)
	}
	return out, err
}
