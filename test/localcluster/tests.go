// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
)

// servedWithin is generous for two scrapes of all nodes.
const servedWithin = 90 * time.Second

// RunTests is for TestMain: it builds the server with the race detector, starts
// it in a cluster, runs the tests when all nodes and pods are served, and returns
// the exit status. That is not 0 either if the server does not end well, or if it
// has logged a data race or a panic. The log is printed then. Nor is it 0 if anything
// leaks. Server and Log of the options are set here.
func RunTests(o Options, run func(*Local) int) int {
	return leaktest.Run(leaktest.UntilSignal(func(ctx context.Context) (int, error) { return runTests(ctx, o, run) }))
}

func runTests(ctx context.Context, o Options, run func(*Local) int) (code int, err error) {
	dir, err := os.MkdirTemp("", "kubemeter-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if o.Server, err = BuildServer(ctx); err != nil {
		return 0, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	defer func() {
		if code != 0 || err != nil {
			text, _ := os.ReadFile(log.Name())
			err = errors.Join(err, fmt.Errorf("the servers' log:\n%s", text))
		}
	}()
	o.Log = log
	l, err := Start(ctx, o)
	if err != nil {
		return 0, err
	}
	defer l.Stop()
	served, cancel := context.WithTimeout(ctx, servedWithin)
	defer cancel()
	if err := l.WaitServed(served); err != nil {
		return 0, err
	}
	code = run(l)
	if err := errors.Join(l.Server.Stop(), l.Server.Wait()); err != nil {
		return code, fmt.Errorf("stopping the server: %w", err)
	}
	return code, l.checkLogs()
}

// BuildServer builds the server with the race detector, and returns the binary's path, in
// Go's build cache. It links the binary only if the cache does not have it.
func BuildServer(ctx context.Context) (string, error) {
	return buildServer(ctx, "CGO_ENABLED=1", "-race")
}

// BuildPlainServer is BuildServer without the race detector, which takes many times
// the memory. The packages are compiled as by make build.
func BuildPlainServer(ctx context.Context) (string, error) {
	return buildServer(ctx, "CGO_ENABLED=0")
}

func buildServer(ctx context.Context, env string, flags ...string) (path string, err error) {
	args := append(append([]string{"run"}, flags...), "-exec=echo", "./cmd/metrics-server")
	// The first go run links the binary, caches it, and runs a temporary copy. The second runs the
	// cached file. With -exec=echo, it only prints the path of that file.
	for range 2 {
		run := exec.CommandContext(ctx, "go", args...)
		run.Dir, run.Env = repository(), append(os.Environ(), env)
		var stderr strings.Builder
		run.Stderr = &stderr
		out, err := run.Output()
		if err != nil {
			return "", fmt.Errorf("build the server: go %s: %w\n%s", strings.Join(args, " "), err, &stderr)
		}
		path = strings.TrimSpace(string(out))
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("go %s did not leave a server in the build cache: %w", strings.Join(args, " "), err)
	}
	return path, nil
}

// checkLogs looks for races and panics in what all servers logged.
func (l *Local) checkLogs() error {
	files, err := filepath.Glob(filepath.Join(l.Dir(), "logs", "metrics-server*.log"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no server has logged to %s", l.Dir())
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, bad := range []string{"DATA RACE", "panic"} {
			if strings.Contains(string(text), bad) {
				return fmt.Errorf("%s in %s", bad, file)
			}
		}
	}
	return nil
}
