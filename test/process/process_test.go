// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"strings"
	"testing"
	"time"
)

const (
	processStat = "4711 (a (b) c 1 2 3) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 20 0 30 0 99 1000 2000\n"
	status      = "Name:\tmetrics-server\nVmHWM:\t  4096 kB\nVmRSS:\t    2048 kB\nRssAnon:\t 1024 kB\nThreads:\t9\n"
	machineStat = "cpu  100 10 40 9000 500 6 4 70 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
)

func TestParse(t *testing.T) {
	got, err := parse(processStat, status, machineStat)
	want := Usage{CPU: 3 * time.Second, Resident: 2 << 20, Peak: 4 << 20, Anonymous: 1 << 20, Machine: 1600 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
	for name, text := range map[string][3]string{
		"no process":        {"", status, machineStat},
		"no number":         {strings.Replace(processStat, "250", "x", 1), status, machineStat},
		"ended":             {processStat, "Name:\tmetrics-server\n", machineStat},
		"no size":           {processStat, strings.Replace(status, "2048", "", 1), machineStat},
		"no machine":        {processStat, status, "intr 1 2 3 4 5 6 7 8\n"},
		"half of a machine": {processStat, status, "cpu 1 2 3\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if u, err := parse(text[0], text[1], text[2]); err == nil {
				t.Errorf("%+v and no error", u)
			}
		})
	}
}

func TestParseWaiting(t *testing.T) {
	if got, err := parseWaiting("132596 3090025 2\n"); got != 3090025 || err != nil {
		t.Errorf("%d %v", got, err)
	}
	for _, text := range []string{"", "1", "1 x 2"} {
		if got, err := parseWaiting(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestMachine(t *testing.T) {
	if _, err := Waiting(os.Getpid()); err != nil {
		t.Error(err)
	}
	if available, err := Available(); err != nil || available == 0 {
		t.Errorf("%d %v", available, err)
	}
}

// The test's own process has a peak that grows and is reset.
func TestResetPeak(t *testing.T) {
	const size = 64 << 20
	pid := os.Getpid()
	touch(make([]byte, size))
	if err := ResetPeak(pid); err != nil {
		t.Fatal(err)
	}
	before, err := Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	touch(make([]byte, 2*size))
	after, err := Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	if before.Peak > before.Resident+size || after.Peak < after.Resident || after.Peak < before.Peak+size/2 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if after.CPU < before.CPU || after.Machine < before.Machine {
		t.Errorf("times went back: before %+v, after %+v", before, after)
	}
}

//go:noinline
func touch(b []byte) {
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
}
