// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubemeter/metrics-server/test/localcluster"
)

// Report is what all servers have served, in the order of the options.
type Report struct {
	Scenarios []*ScenarioReport
	// Timelines are by server and outage.
	Timelines [][]*Timeline
}

// ScenarioReport is of one scenario.
type ScenarioReport struct {
	Scenario Scenario
	Results  []*Result
}

// Result is what one server has served in a scenario.
type Result struct {
	Name string
	// Ready is from the start until all was served.
	Ready time.Duration
	// calm and faults are nil where nothing was measured.
	calm, faults *tally
}

// Wrong counts the values of nodes that do not lie which were served and not true.
func (r *Result) Wrong() (n int) {
	for _, t := range []*tally{r.calm, r.faults} {
		if t != nil {
			n += total(t.wrong)
		}
	}
	return n
}

// errWrong is for a server that has served what is not so.
var errWrong = errors.New("the server has served wrong values of nodes that do not lie: see the table")

// Measure measures all servers in all scenarios, and prints a table after each. It
// fails if something cannot be measured, and if the server, not the peer, has
// served a wrong value.
func Measure(ctx context.Context, o Options, out io.Writer) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	binaries, err := localcluster.Binaries(o.Server, o.Peer)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, err
	}
	report := &Report{}
	for _, s := range o.Scenarios {
		if s.Nodes == 0 {
			continue
		}
		r, err := o.scenario(ctx, s, binaries)
		if err != nil {
			return report, fmt.Errorf("scenario %s: %w", s.Name, err)
		}
		report.Scenarios = append(report.Scenarios, r)
		r.print(out, &o)
	}
	if len(o.Outages) > 0 {
		if report.Timelines, err = o.outages(ctx, binaries); err != nil {
			return report, fmt.Errorf("outages: %w", err)
		}
		printTimelines(out, &o, report.Timelines)
	}
	return report, report.wrong()
}

// wrong is about the server, which is the first.
func (r *Report) wrong() error {
	for _, s := range r.Scenarios {
		if s.Results[0].Wrong() > 0 {
			return errWrong
		}
	}
	if len(r.Timelines) == 0 {
		return nil
	}
	for _, t := range r.Timelines[0] {
		if t.wrong() > 0 {
			return errWrong
		}
	}
	return nil
}

func (o *Options) workload(nodes, podsPerNode int) workload {
	return workload{nodes: nodes, podsPerNode: podsPerNode, started: time.Now().Add(-time.Hour)}
}

func (o *Options) scenario(ctx context.Context, s Scenario, binaries []localcluster.Binary) (*ScenarioReport, error) {
	report := &ScenarioReport{Scenario: s}
	for _, b := range binaries {
		result := &Result{Name: b.Name}
		report.Results = append(report.Results, result)
		if err := o.measureBinary(ctx, &s, b, result); err != nil {
			return nil, fmt.Errorf("%s: %w", b.Name, err)
		}
	}
	return report, nil
}

// measureBinary has a cluster of its own, the same for all: what the faults of the
// last have left in counters is not in it.
func (o *Options) measureBinary(ctx context.Context, s *Scenario, b localcluster.Binary, result *Result) error {
	c, err := newCluster(ctx, o, o.workload(s.Nodes, o.PodsPerNode), nil)
	if err != nil {
		return err
	}
	defer c.Stop()
	return c.withServer(o, b, s.Name, func(srv *server) error {
		return o.measureServer(ctx, c, srv, s, result)
	})
}

func (o *Options) measureServer(ctx context.Context, c *cluster, srv *server, s *Scenario, result *Result) (err error) {
	step := func(what string) { fmt.Fprintf(o.Log, "%s, %s: %s\n", result.Name, s.Name, what) }
	r := &reader{&c.workload, srv}
	step("start")
	if result.Ready, err = r.waitReady(ctx, o.ReadyWithin); err != nil {
		return err
	}
	classes := s.classes(o.Seed)
	if o.Calm > 0 {
		step("no faults")
		result.calm = r.measure(ctx, o, o.Calm, classes, nil)
	}
	told, err := c.spoil(s, classes, o.Seed)
	if err != nil {
		return err
	}
	step("faults begin")
	if err := r.sleep(ctx, o.Settle); err != nil {
		return err
	}
	step("faults")
	result.faults = r.measure(ctx, o, o.Measure, classes, told)
	// One that has ended has no more to lose, and none of the numbers would tell.
	return r.sleep(ctx, 0)
}

// waitReady returns how long it took until all was served.
func (r *reader) waitReady(ctx context.Context, within time.Duration) (time.Duration, error) {
	began := time.Now()
	var last error
	err := wait.PollUntilContextTimeout(ctx, time.Second, within, true, func(ctx context.Context) (bool, error) {
		if err := r.sleep(ctx, 0); err != nil {
			return false, err
		}
		last = r.complete(ctx)
		return last == nil, nil
	})
	if err != nil {
		return 0, fmt.Errorf("not all is served: %w", errors.Join(err, last))
	}
	return time.Since(began), nil
}

// complete fails unless all is served.
func (r *reader) complete(ctx context.Context) error {
	nodes, err := r.nodes(ctx)
	if err != nil {
		return err
	}
	if len(nodes) < r.workload.nodes {
		return fmt.Errorf("%d of %d nodes are", len(nodes), r.workload.nodes)
	}
	pods, err := r.pods(ctx)
	if err != nil {
		return err
	}
	if len(pods) < r.workload.pods() {
		return fmt.Errorf("%d of %d pods are", len(pods), r.workload.pods())
	}
	return nil
}

// sleep ends early where the server does, with an error.
func (s *server) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-s.process.Exited():
		return fmt.Errorf("the server has ended, and its log tells why: %w", s.process.Wait())
	default:
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.process.Exited():
		return fmt.Errorf("the server has ended, and its log tells why: %w", s.process.Wait())
	case <-time.After(d):
		return nil
	}
}

// outages measures those of all lengths at the same time.
func (o *Options) outages(ctx context.Context, binaries []localcluster.Binary) ([][]*Timeline, error) {
	failing := &outages{}
	c, err := newCluster(ctx, o, o.workload(podsPerApplication*len(o.Outages), 1), failing.observe)
	if err != nil {
		return nil, err
	}
	defer c.Stop()
	var all [][]*Timeline
	for _, b := range binaries {
		fmt.Fprintf(o.Log, "%s: outages\n", b.Name)
		err := c.withServer(o, b, "outages", func(srv *server) error {
			r := &reader{&c.workload, srv}
			if _, err := r.waitReady(ctx, o.ReadyWithin); err != nil {
				return err
			}
			timelines, err := r.timelines(ctx, o, c, failing)
			all = append(all, timelines)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.Name, err)
		}
	}
	return all, nil
}
