// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/test/localcluster"
)

// A whole run: the server loses nothing when faults begin, and nothing through one
// failed scrape.
func TestMeasure(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the server, and waits for scrapes")
	}
	dir := t.TempDir()
	server, err := localcluster.BuildServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := Defaults()
	o.Server, o.Out = server, filepath.Join(dir, "out")
	// One node lies, with a body that is none: all else of it stays sound.
	o.Scenarios = []Scenario{{Name: "smoke", Nodes: 10, Hanging: 0.2, Flaky: 0.3, Failing: 0.5, Lying: 0.1}}
	o.Outages, o.PodsPerNode, o.After = []int{1}, 2, 1
	o.Resolution, o.Timeout = 10*time.Second, 5*time.Second
	o.Calm, o.Settle, o.Measure, o.ListPodsEvery = 2*time.Second, 0, 3*time.Second, time.Second
	var out, log bytes.Buffer
	o.Log = &log
	report, err := Measure(t.Context(), o, &out)
	if err != nil {
		logged, _ := os.ReadFile(filepath.Join(o.Out, "server-smoke.log"))
		t.Fatalf("%v\n%s\n%s\n%s", err, out.String(), log.String(), logged)
	}
	r := report.Scenarios[0].Results[0]
	// Points are served for four intervals, so that no fault shows yet.
	for _, tally := range []*tally{r.calm, r.faults} {
		if tally.nodeTally.least != 1 || tally.podTally.least != 1 || tally.hpaWhole != tally.hpaReads || tally.hpaReads == 0 {
			t.Errorf("not all is served:\n%s", out.String())
		}
	}
	timeline := report.Timelines[0][0]
	if node, pod, hpa := timeline.Missing(o.ReadEvery); node+pod+hpa > 0 || len(timeline.Readings) == 0 {
		t.Errorf("one failed scrape has lost something: %+v", timeline.Readings)
	}
	if !strings.Contains(out.String(), "healthy nodes served") || !strings.Contains(out.String(), "failed scrapes in a row: 1") {
		t.Errorf("tables are missing:\n%s", out.String())
	}
	if strings.Contains(log.String(), "does not know") {
		t.Errorf("the server asks the stub for what it does not have:\n%s", log.String())
	}
}

func TestMeasureServerThatFails(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "server")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := Defaults()
	o.Server, o.Out, o.Log = binary, dir, &bytes.Buffer{}
	o.Scenarios = []Scenario{{Name: "x", Nodes: 3}}
	var out bytes.Buffer
	_, err := Measure(t.Context(), o, &out)
	if err == nil || !strings.Contains(err.Error(), "scenario x: server: not all is served: the server has ended, and its log tells why: exit status 3") {
		t.Errorf("%v", err)
	}
}

func TestWrongOptions(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"parts":      func(o *Options) { o.Scenarios[0].Lying = 0.1 },
		"negative":   func(o *Options) { o.Scenarios[0].Hanging = -0.1 },
		"few nodes":  func(o *Options) { o.Scenarios[0].Nodes = 2 },
		"outage":     func(o *Options) { o.Outages = []int{0} },
		"pods":       func(o *Options) { o.PodsPerNode = 0 },
		"resolution": func(o *Options) { o.Resolution = time.Second },
		"timeout":    func(o *Options) { o.Timeout = o.Resolution },
		"measure":    func(o *Options) { o.Measure = 0 },
	} {
		o := Defaults()
		if err := o.check(); err != nil {
			t.Fatal(err)
		}
		if spoil(&o); o.check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
