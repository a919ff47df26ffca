// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leaktest finds what tests leave behind: goroutines, open descriptors and
// child processes. It is for tests alone.
//
// Descriptors and child processes are read in /proc. On systems other than Linux,
// only goroutines are checked.
package leaktest

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// patience is how long that which was told to end may take, on a busy machine:
	// nothing waits so long unless something leaks.
	patience = 10 * time.Second
	// maxPause is the longest time between two looks.
	maxPause = 100 * time.Millisecond
)

// Main is the TestMain of a package: it runs the tests and exits, with status 1 if
// they pass and something that was not there before is still there 10 s after.
func Main(m *testing.M) {
	os.Exit(Run(m.Run))
}

// Run is Main for packages that do more before and after their tests, which run does,
// too. It returns the exit status instead of exiting, and writes what leaks to
// standard error. What leaks is not looked for when tests fail: they may have had no
// chance to clean up.
func Run(run func() int) int {
	return check(run, os.Stderr, patience)
}

// UntilSignal makes what Run runs of a function that starts processes: its context ends
// when this process is interrupted or terminated. With an error, which is printed, the exit
// status is not 0.
func UntilSignal(run func(context.Context) (code int, err error)) func() int {
	return func() int {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		code, err := run(ctx)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		return code
	}
}

func check(run func() int, log io.Writer, patience time.Duration) int {
	before := read()
	code := run()
	if code != 0 || isFuzzWorker() {
		return code
	}
	if left := before.wait(patience); len(left) > 0 {
		fmt.Fprintln(log, describe(left))
		return 1
	}
	return 0
}

// isFuzzWorker tells whether the process was started by go test -fuzz to run a
// target: whoever started it ends it, and may do so in the middle of a target.
func isFuzzWorker() bool {
	f := flag.Lookup("test.fuzzworker")
	return f != nil && f.Value.String() == "true"
}

// Check has the test fail if something that is not there now is still there 10 s
// after the test and the clean-up functions that it registers from now on. No other
// test may run at the same time. A test that fails anyway is not checked.
func Check(t testing.TB) {
	t.Helper()
	checkTest(t, patience)
}

func checkTest(t testing.TB, patience time.Duration) {
	t.Helper()
	before := read()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		if left := before.wait(patience); len(left) > 0 {
			t.Error(describe(left))
		}
	})
}

// resources are what this process has, with a description. No two ever have the same
// key.
type resources map[string]string

func read() resources {
	all := resources{}
	all.addGoroutines()
	if runtime.GOOS == "linux" {
		all.addDescriptors()
		all.addChildren()
	}
	return all
}

// wait returns the descriptions of what is there and was not before, sorted, once
// there is nothing, or when the time has passed.
func (before resources) wait(patience time.Duration) []string {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, maxPause) {
		now := read()
		maps.DeleteFunc(now, func(key, _ string) bool {
			_, ok := before[key]
			return ok
		})
		if len(now) == 0 || time.Now().After(deadline) {
			return slices.Sorted(maps.Values(now))
		}
		time.Sleep(pause)
	}
}

func describe(left []string) string {
	return fmt.Sprintf("%d left behind, which a test has to close, stop or wait for:\n\n%s", len(left), strings.Join(left, "\n\n"))
}
