// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package leaktest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// leak is something that a test may leave behind.
type leak struct {
	name  string
	text  string // matches what tells of it
	linux bool   // tells whether it is found there only
	open  func(t *testing.T) (end func())
}

var leaks = []leak{
	{"goroutine", `(?s)goroutine \d+ \[.*created by .*/leaktest\.startGoroutine in `, false, func(*testing.T) func() {
		return startGoroutine()
	}},
	{"socket", `(?m)^descriptor \d+ of socket:\[\d+\]$`, true, func(t *testing.T) func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return func() { l.Close() }
	}},
	{"pipe", `(?m)^descriptor \d+ of pipe:\[\d+\]$`, true, func(t *testing.T) func() {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return func() { r.Close(); w.Close() }
	}},
	{"file", `(?m)^descriptor \d+ of /dev/null$`, true, func(t *testing.T) func() {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		return func() { f.Close() }
	}},
	{"child process", `(?m)^child process \d+ in state \w: sleep 1000$`, true, func(t *testing.T) func() {
		return startProcess(t, "sleep", "1000")
	}},
	{"child process that ends", `(?m)^child process \d+ in state \w: true$`, true, func(t *testing.T) func() {
		return startProcess(t, "true")
	}},
}

func startGoroutine() (end func()) {
	c := make(chan struct{})
	go func() { <-c }()
	return func() { close(c) }
}

func startProcess(t *testing.T, name string, args ...string) (end func()) {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		// It has ended or been killed: how it ends tells nothing.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// forEach runs a test for each leak that can be found here.
func forEach(t *testing.T, test func(*testing.T, leak)) {
	for _, l := range leaks {
		if l.linux && runtime.GOOS != "linux" {
			t.Logf("not found on %s: %s", runtime.GOOS, l.name)
			continue
		}
		t.Run(l.name, func(t *testing.T) { test(t, l) })
	}
}

func TestRunFindsLeaks(t *testing.T) {
	forEach(t, func(t *testing.T, l leak) {
		var end func()
		var log bytes.Buffer
		code := check(func() int { end = l.open(t); return 0 }, &log, 0)
		end()
		if text := strings.TrimSpace(log.String()); code != 1 || !regexp.MustCompile(l.text).MatchString(text) {
			t.Errorf("the status is %d, and %q is not in:\n%s", code, l.text, text)
		}
	})
}

// What is told to end, and has not yet, is no leak.
func TestRunWaits(t *testing.T) {
	forEach(t, func(t *testing.T, l leak) {
		var log bytes.Buffer
		code := check(func() int {
			end := l.open(t)
			go end()
			return 0
		}, &log, patience)
		if code != 0 || log.Len() > 0 {
			t.Errorf("the status is %d:\n%s", code, &log)
		}
	})
}

// A package whose tests fail has its own status, and says nothing more.
func TestRunOfFailedTests(t *testing.T) {
	var end func()
	var log bytes.Buffer
	code := check(func() int { end = startGoroutine(); return 3 }, &log, 0)
	end()
	if code != 3 || log.Len() > 0 {
		t.Errorf("the status is %d:\n%s", code, &log)
	}
}

// recorder is a test that keeps what it is told.
type recorder struct {
	testing.TB
	cleanup func()
	failed  bool
	errors  []any
}

func (*recorder) Helper()             {}
func (r *recorder) Cleanup(f func())  { r.cleanup = f }
func (r *recorder) Failed() bool      { return r.failed }
func (r *recorder) Error(args ...any) { r.errors = append(r.errors, args...) }

func TestCheckFindsLeaks(t *testing.T) {
	forEach(t, func(t *testing.T, l leak) {
		r := &recorder{TB: t}
		checkTest(r, 0)
		end := l.open(t)
		r.cleanup()
		r.failed = true
		r.cleanup() // of a test that has failed anyway
		end()
		if len(r.errors) != 1 || !regexp.MustCompile(l.text).MatchString(r.errors[0].(string)) {
			t.Errorf("%q is not in:\n%s", l.text, r.errors)
		}
	})
}

func TestCheckOfCleanTests(t *testing.T) {
	forEach(t, func(t *testing.T, l leak) {
		Check(t)
		t.Cleanup(l.open(t))
	})
}

func TestParseStat(t *testing.T) {
	if name, state, parent := parseStat("12 (a (b) c) S 34 56 7"); name != "a (b) c" || state != "S" || parent != "34" {
		t.Errorf("%q %q %q", name, state, parent)
	}
	for _, stat := range []string{"", "12 (a", "12 )a(", "12 (a) S"} {
		if name, state, parent := parseStat(stat); name+state+parent != "" {
			t.Errorf("%q has %q %q %q", stat, name, state, parent)
		}
	}
}
