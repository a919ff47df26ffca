// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"

	testcluster "github.com/kubemeter/metrics-server/test/cluster"
)

// errProblems is for a run of which the report says what was wrong.
var errProblems = errors.New("the soak has found problems")

// Run runs a server for as long as the options say, writes the report, and prints its
// table. It fails if the server has grown beyond a bound, or has served what is not
// so, or not all.
func Run(ctx context.Context, o Options, out io.Writer) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	binary, err := filepath.Abs(o.Server) // it is started in another folder
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, err
	}
	c, err := o.start(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Stop()
	churn := newChurn(c, &o)
	if err := churn.populate(); err != nil {
		return nil, err
	}
	report := &Report{
		Began: time.Now().UTC().Truncate(time.Second), Nodes: o.Nodes, Pods: len(c.truth.pods), Churn: o.Churn, Failing: o.Failing,
		Resolution: o.Resolution.String(), For: o.For.String(), Seed: o.Seed,
		Findings: &Findings{}, ServerLog: filepath.Join(o.Out, "server.log"),
	}
	log, err := os.Create(report.ServerLog)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	server, err := c.Group.StartProcess("metrics-server", binary, c.Args, log)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(o.soak(ctx, c, churn, server, report), server.Stop()); err != nil {
		return report, fmt.Errorf("%w; the server's log is %s", err, report.ServerLog)
	}
	report.NodesReplaced, report.PodsReplaced, report.KubeletsFailed = churn.nodes, churn.pods, churn.failures
	report.Rows = rows(report.Samples)
	if err := report.write(filepath.Join(o.Out, ReportFile)); err != nil {
		return report, err
	}
	report.Print(out)
	if err := report.problem(); err != nil {
		return report, fmt.Errorf("%w: %w", errProblems, err)
	}
	return report, nil
}

// soak does all that happens while the server runs, and fails if it ends.
func (o *Options) soak(ctx context.Context, c *cluster, churn *churn, server *testcluster.Process, report *Report) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-server.Exited():
			cancel(fmt.Errorf("the server has ended: %w", server.Wait()))
		case <-ctx.Done():
		}
	}()
	r := &reader{cluster: c, options: o, findings: report.Findings}
	client, leave, err := r.client(runtime.ContentTypeProtobuf)
	if err != nil {
		return err
	}
	defer leave()
	if err := o.waitServed(ctx, r, client); err != nil {
		return err
	}
	fmt.Fprintf(o.Log, "all is served; warm-up for %s\n", o.WarmUp)
	during, end := context.WithTimeout(ctx, o.WarmUp+o.For)
	defer end()
	var others sync.WaitGroup
	defer others.Wait()
	errs := make(chan error, 3)
	for _, run := range []func(context.Context) error{
		churn.run, r.clients, func(ctx context.Context) error { return r.lists(ctx, client) },
	} {
		others.Go(func() {
			if err := run(during); err != nil {
				errs <- err
				end()
			}
		})
	}
	err = o.takeSamples(during, &probe{pid: server.PID(), rest: client.RESTClient(), began: time.Now()}, report)
	end()
	others.Wait()
	close(errs)
	for failed := range errs {
		err = errors.Join(err, failed)
	}
	return errors.Join(err, context.Cause(ctx))
}

// waitServed waits until everything is served for the first time.
func (o *Options) waitServed(ctx context.Context, r *reader, client v1beta1.MetricsV1beta1Interface) error {
	deadline := time.After(5 * time.Minute)
	for {
		nodes, pods, err := r.checkAll(ctx, client)
		if err == nil && nodes == o.Nodes && pods == o.Nodes*o.PodsPerNode {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline:
			return fmt.Errorf("%d of %d nodes and %d of %d pods are served: %w", nodes, o.Nodes, pods, o.Nodes*o.PodsPerNode, err)
		case <-time.After(time.Second):
		}
	}
}

// lists reads everything again and again.
func (r *reader) lists(ctx context.Context, client v1beta1.MetricsV1beta1Interface) error {
	for ctx.Err() == nil {
		if _, _, err := r.checkAll(ctx, client); err != nil && ctx.Err() == nil {
			r.findings.note(&r.findings.Failed, "list of all: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(r.options.ListEvery):
		}
	}
	return nil
}

// progressEvery is between two lines of the log.
const progressEvery = time.Minute

// takeSamples takes those after the warm-up.
func (o *Options) takeSamples(ctx context.Context, p *probe, report *Report) error {
	ticker := time.NewTicker(o.SampleEvery)
	defer ticker.Stop()
	said := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		s, err := p.sample(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if s.At >= o.WarmUp {
			report.Samples = append(report.Samples, s)
		}
		if time.Since(said) >= progressEvery {
			said = time.Now()
			fmt.Fprintf(o.Log, "%s: %.0f MiB resident, %.0f goroutines, %.0f descriptors, %.0f of %d pods served\n",
				s.At.Round(time.Second), s.Resident/mebi, s.Goroutines, s.Files, s.PodsServed, report.Pods)
		}
	}
}
