// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gomodule has programs and files of other people's Go modules for tests. What they
// require may clash with ours, so each is required by a module of its own, in a folder that
// has nothing else.
package gomodule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Tool returns the path of a tool of the module in a folder. The first time, it is built,
// which takes minutes and needs a Go module proxy.
func Tool(ctx context.Context, folder, tool string) (path string, err error) {
	return output(ctx, folder, "tool", "-n", tool)
}

// Sources returns the folder of the sources of a module that the one in a folder requires.
func Sources(ctx context.Context, folder, module string) (path string, err error) {
	return output(ctx, folder, "list", "-m", "-f", "{{.Dir}}", module)
}

func output(ctx context.Context, folder string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = folder
	// What is set for the caller's own build must not reach this one.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("go %s in %s: %w", strings.Join(args, " "), folder, err)
	}
	return strings.TrimSpace(string(out)), nil
}
