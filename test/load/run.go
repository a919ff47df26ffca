// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/localcluster"
	"github.com/kubemeter/metrics-server/test/process"
)

// ReportFile is the name of the report in the folder of Options.Out.
const ReportFile = "load.json"

// errFailed is for a run of which the report says what failed.
var errFailed = errors.New("some phases failed: see the end of the table")

// Measure measures all servers with all numbers of nodes. After each number, it
// saves what there is so far and prints the number's table. What fails is in the
// report, and measuring goes on; then the error says so.
func Measure(ctx context.Context, o Options, out io.Writer) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.Log = &lockedWriter{w: o.Log}
	binaries, err := localcluster.Binaries(o.Server, o.Peer)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, err
	}
	report := &Report{
		Began: time.Now().UTC().Truncate(time.Second), Machine: machine(),
		PodsPerNode: o.PodsPerNode, ContainersPerPod: o.ContainersPerPod,
		Resolution: o.Resolution.String(), Measure: o.Measure.String(),
	}
	for _, nodes := range o.Nodes {
		run := o.run(ctx, nodes, binaries)
		report.Runs = append(report.Runs, run)
		if err := report.Write(filepath.Join(o.Out, ReportFile)); err != nil {
			return report, err
		}
		run.print(out, o.Resolution)
		if ctx.Err() != nil {
			return report, context.Cause(ctx)
		}
	}
	report.printFailures(out)
	if len(report.failures()) > 0 {
		return report, errFailed
	}
	return report, nil
}

// run measures all servers with one number of nodes.
func (o *Options) run(ctx context.Context, nodes int, binaries []localcluster.Binary) *Run {
	w := &workload{nodes: nodes, podsPerNode: o.PodsPerNode, containersPerPod: o.ContainersPerPod, started: time.Now().Add(-time.Hour)}
	run := &Run{Nodes: nodes, Pods: w.pods(), Containers: w.pods() * o.ContainersPerPod}
	fail := func(what string, err error) *Run {
		run.Failures = append(run.Failures, fmt.Sprintf("%s: %v", what, err))
		return run
	}
	for _, b := range binaries {
		result, err := newResult(ctx, b)
		if err != nil {
			return fail("binary", err)
		}
		run.Results = append(run.Results, result)
	}
	if err := process.RaiseFileLimit(nodes); err != nil {
		return fail("limits", err)
	}
	scrapes := newScrapeLog(nodes, clock.RealClock{})
	p, err := newPlane(ctx, o, w, scrapes.observe)
	if err != nil {
		return fail("control plane", err)
	}
	defer p.close()
	run.Plane = p.kind
	for i, b := range binaries {
		fmt.Fprintf(o.Log, "%s, %d nodes: idle\n", b.Name, nodes)
		if err := o.idle(ctx, p, b, nodes, run.Results[i]); err != nil {
			run.Results[i].fail("idle", err)
		}
	}
	if err := p.populate(ctx); err != nil {
		return fail("nodes and pods", err)
	}
	for i, b := range binaries {
		if err := o.measureServer(ctx, p, b, w, scrapes, run.Results[i]); err != nil {
			run.Results[i].fail("start and stop", err)
		}
	}
	return run
}

func newResult(ctx context.Context, b localcluster.Binary) (*Result, error) {
	info, err := os.Stat(b.Path)
	if err != nil {
		return nil, err
	}
	return &Result{Name: b.Name, Version: version(ctx, b), BinaryBytes: info.Size()}, nil
}

func version(ctx context.Context, b localcluster.Binary) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, b.Path, "--version").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// idle measures a server's memory while there are no nodes.
func (o *Options) idle(ctx context.Context, p *plane, b localcluster.Binary, nodes int, result *Result) error {
	return o.withServer(p, b, nodes, "idle", func(proc *cluster.Process) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-proc.Exited():
			return fmt.Errorf("the server has ended: %w", proc.Wait())
		case <-time.After(o.Idle):
		}
		u, err := process.Read(proc.PID())
		if err != nil {
			return err
		}
		result.Idle = &Memory{u.Resident, u.Anonymous}
		return nil
	})
}

func (o *Options) measureServer(ctx context.Context, p *plane, b localcluster.Binary, w *workload, scrapes *scrapeLog, result *Result) error {
	scrapes.forget()
	return o.withServer(p, b, w.nodes, "load", func(proc *cluster.Process) error {
		t, err := newTarget(o, w, p, proc, scrapes, result)
		if err != nil {
			return err
		}
		t.run(ctx)
		return nil
	})
}

// withServer runs a server while f does, with a log in the folder of the report.
func (o *Options) withServer(p *plane, b localcluster.Binary, nodes int, what string, f func(*cluster.Process) error) error {
	log, err := os.Create(filepath.Join(o.Out, fmt.Sprintf("%s-%d-%s.log", b.Name, nodes, what)))
	if err != nil {
		return err
	}
	defer log.Close()
	proc, err := p.startServer(b, log)
	if err != nil {
		return err
	}
	return errors.Join(f(proc), proc.Stop())
}

func machine() Machine {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease") // unknown elsewhere
	return Machine{Cores: runtime.NumCPU(), Kernel: strings.TrimSpace(string(release))}
}

// lockedWriter is for several who log at the same time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
