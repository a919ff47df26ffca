// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"strings"
	"testing"
	"time"
)

const (
	processStat = "4711 (a (b) c 1 2 3) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 20 0 30 0 99 1000 2000\n"
	status      = "Name:\tmetrics-server\nVmHWM:\t  4096 kB\nVmRSS:\t    2048 kB\nThreads:\t9\n"
	machineStat = "cpu  100 10 40 9000 500 6 4 70 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
)

func TestParseUsage(t *testing.T) {
	got, err := parseUsage(processStat, status, machineStat)
	want := Usage{CPU: 3 * time.Second, Resident: 2 << 20, Machine: 1600 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
	for name, text := range map[string][3]string{
		"no process":        {"", status, machineStat},
		"no number":         {strings.Replace(processStat, "250", "x", 1), status, machineStat},
		"ended":             {processStat, "Name:\tmetrics-server\n", machineStat},
		"no size":           {processStat, "VmRSS:\t kB\n", machineStat},
		"no machine":        {processStat, status, "intr 1 2 3 4 5 6 7 8\n"},
		"half of a machine": {processStat, status, "cpu 1 2 3\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if u, err := parseUsage(text[0], text[1], text[2]); err == nil {
				t.Errorf("%+v and no error", u)
			}
		})
	}
}

func TestLog(t *testing.T) {
	l := &Log{}
	const ended = `I1123 api.go:105] "Ended a watch that did not keep up" resource="pods"`
	for _, part := range []string{"I1123 other\n" + ended[:20], ended[20:], "\nI1123 ", "other\n" + ended + "\n"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%d of %d bytes are written: %v", n, len(part), err)
		}
	}
	if got := l.lines(); len(got) != 2 || got[0] != ended || got[1] != ended {
		t.Errorf("%q", got)
	}
}
