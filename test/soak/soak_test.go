// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/test/localcluster"
)

// A short run of all of it. That it is too short for growth to show is why this has few
// samples.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the server, and runs for a minute")
	}
	dir := t.TempDir()
	server, err := localcluster.BuildServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := Defaults()
	o.Server, o.Out = server, filepath.Join(dir, "out")
	o.Nodes, o.PodsPerNode, o.Churn, o.Failing = 20, 10, 0.5, 0.1
	o.For, o.WarmUp, o.SampleEvery, o.ListEvery = 30*time.Second, 10*time.Second, time.Second, time.Second
	o.Readers, o.Watchers, o.Stay = 2, 10, 20*time.Second
	o.Resolution, o.Timeout = 10*time.Second, 5*time.Second
	var out, log bytes.Buffer
	o.Log = &log
	report, err := Run(t.Context(), o, &out)
	if err != nil {
		logged, _ := os.ReadFile(filepath.Join(o.Out, "server.log"))
		t.Fatalf("%v\n%s\n%s\n%s", err, out.String(), log.String(), logged)
	}
	if f := report.Findings; f.Objects == 0 || f.Events == 0 || report.NodesReplaced == 0 || report.PodsReplaced == 0 || report.KubeletsFailed == 0 {
		t.Errorf("there is something that has not happened:\n%s", out.String())
	}
	for _, row := range report.Rows {
		if row.Points[0] == 0 {
			t.Errorf("%s is not known", row.Name)
		}
	}
	if strings.Contains(log.String(), "does not know") {
		t.Errorf("the server asks the stub for what it does not have:\n%s", log.String())
	}
	if _, err := os.Stat(filepath.Join(o.Out, ReportFile)); err != nil {
		t.Error(err)
	}
}

func TestServerThatFails(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "server")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := Defaults()
	o.Server, o.Out, o.Log, o.Nodes = binary, dir, &bytes.Buffer{}, 1
	if _, err := Run(t.Context(), o, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "the server has ended: exit status 3") {
		t.Errorf("%v", err)
	}
}

func TestWrongOptions(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"nodes":      func(o *Options) { o.Nodes = 0 },
		"churn":      func(o *Options) { o.Churn = 1.5 },
		"failing":    func(o *Options) { o.Failing = -1 },
		"resolution": func(o *Options) { o.Resolution = time.Second },
		"timeout":    func(o *Options) { o.Timeout = o.Resolution },
		"time":       func(o *Options) { o.For = time.Second },
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

// What grows beyond its bound is a problem, and so is what was wrongly served.
func TestProblem(t *testing.T) {
	samples := func(growth float64) (all []Sample) {
		for i := range 40 {
			all = append(all, Sample{At: time.Duration(i) * time.Minute, Goroutines: 100 + growth*float64(i), Resident: 100 * mebi})
		}
		return all
	}
	steady := &Report{Findings: &Findings{}, Rows: rows(samples(0.1))}
	if err := steady.problem(); err != nil {
		t.Error(err)
	}
	grown := &Report{Findings: &Findings{}, Rows: rows(samples(2))}
	err := grown.problem()
	if err == nil || !strings.Contains(err.Error(), "goroutines") || strings.Contains(err.Error(), "memory") {
		t.Errorf("%v", err)
	}
	if row := grown.Rows[3]; row.Points[0] != 102 || row.Slope < 119.9 || row.Slope > 120.1 {
		t.Errorf("%+v", row)
	}
	findings := &Findings{}
	findings.note(&findings.Missing, "%s is missing", "a pod")
	findings.note(&findings.Missing, "another")
	wrong := &Report{Findings: findings, Rows: rows(samples(0))}
	var out bytes.Buffer
	wrong.Print(&out)
	if err := wrong.problem(); err == nil || !strings.Contains(err.Error(), "2 missing") || !strings.Contains(out.String(), "a pod is missing") || strings.Contains(out.String(), "another") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
