// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/test/localcluster"
)

// A whole run against the stub of the core API: the server serves all, and
// everything is measured.
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
	o.Server, o.Out, o.Nodes, o.StubAbove = server, filepath.Join(dir, "out"), []int{5}, 0
	o.PodsPerNode, o.ContainersPerPod = 3, 1
	// Every node is scraped at least once in an interval.
	o.Resolution, o.Measure = 10*time.Second, 10*time.Second
	o.Idle, o.Settle, o.ReadTime, o.HPAReads = 0, 0, 0, 20
	var out, log bytes.Buffer
	o.Log = &log
	report, err := Measure(t.Context(), o, &out)
	if err != nil {
		logged, _ := os.ReadFile(filepath.Join(o.Out, "server-5-load.log"))
		t.Fatalf("%v\n%s\n%s\n%s", err, out.String(), log.String(), logged)
	}
	run := report.Runs[0]
	r := run.result("server")
	if run.Plane != "stub of the core API" || r == nil || r.Ready == 0 || r.Idle.Resident == 0 {
		t.Fatalf("%+v", run)
	}
	if r.Rest.CPUPerScrape < 0 || r.Rest.Scrapes.Silent != 0 || r.Rest.Memory.Resident == 0 {
		t.Errorf("%+v", r.Rest)
	}
	if len(r.Reads) != 10 || r.HPA.Failed+r.HPA.Incomplete > 0 || r.HPA.Age.Count == 0 {
		t.Errorf("%d kinds of reads, %+v", len(r.Reads), r.HPA)
	}
	if strings.Contains(log.String(), "does not know") {
		t.Errorf("the server asks the stub for what it does not have:\n%s", log.String())
	}
	saved, err := ReadReports(filepath.Join(o.Out, ReportFile))
	if err != nil || len(saved.Runs) != 1 {
		t.Errorf("%+v %v", saved, err)
	}
}

// What cannot be measured is in the report, and the run fails at its end.
func TestMeasureServerThatFails(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "server")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := Defaults()
	o.Server, o.Peer, o.Out, o.Nodes, o.StubAbove = binary, binary, dir, []int{1}, 0
	var out, log bytes.Buffer
	o.Log = &log
	report, err := Measure(t.Context(), o, &out)
	if err == nil || report == nil {
		t.Fatalf("%+v %v", report, err)
	}
	for _, want := range []string{
		"1 nodes, server: idle: the server has ended: exit status 3",
		"1 nodes, peer: ready: the server has ended",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not printed:\n%s", want, out.String())
		}
	}
}
