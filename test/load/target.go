// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/process"
	"github.com/kubemeter/metrics-server/test/rawclient"
)

// target is a server that runs and is measured.
type target struct {
	*Options
	workload *workload
	process  *cluster.Process
	base     string // URL of the API group
	client   *http.Client
	scrapes  *scrapeLog
	result   *Result
	random   *rand.Rand
	// restCPU is what scraping costs, in cores; it is known from the phase at rest
	// on.
	restCPU float64
}

// requestTimeout is beyond the minute that generic API servers allow themselves.
const requestTimeout = 2 * time.Minute

// apiPath is that of the version that all servers serve.
const apiPath = "/apis/metrics.k8s.io/v1beta1"

func newTarget(o *Options, w *workload, p *plane, proc *cluster.Process, scrapes *scrapeLog, result *Result) (*target, error) {
	config, err := rest.TLSConfigFor(p.admin)
	if err != nil {
		return nil, err
	}
	client := rawclient.New(config)
	client.Timeout = requestTimeout
	return &target{
		Options: o, workload: w, process: proc, base: p.admin.Host + apiPath,
		client: client, scrapes: scrapes, result: result,
		random: rand.New(rand.NewPCG(1, 2)), // all servers are asked for the same
	}, nil
}

// run measures one phase after the other. A phase that fails is noted, and ends
// the others only if the server has ended.
func (t *target) run(ctx context.Context) {
	defer t.client.CloseIdleConnections()
	phases := []struct {
		name string
		run  func(context.Context) error
	}{
		{"ready", t.ready},
		{"rest", t.rest},
		{"reads", t.reads},
		{"HPA reads", t.hpa},
	}
	for _, p := range phases {
		fmt.Fprintf(t.Log, "%s, %d nodes: %s\n", t.result.Name, t.workload.nodes, p.name)
		err := p.run(ctx)
		if err != nil {
			t.result.fail(p.name, err)
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case <-t.process.Exited():
			t.result.fail(p.name, errors.New("the server has ended; its log tells why, and the other phases are left out"))
			return
		default:
		}
	}
}

// ready waits for the first complete answers.
func (t *target) ready(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, t.ReadyWithin, fmt.Errorf("not all is served within %s", t.ReadyWithin))
	defer cancel()
	// Single nodes cost a server next to nothing, and most of the time is spent
	// waiting for them.
	const samples = 20
	for i := range samples {
		node := i * t.workload.nodes / samples
		if err := t.poll(ctx, read{path: "/nodes/" + t.workload.nodeName(node), want: 1}, 200*time.Millisecond); err != nil {
			return err
		}
	}
	if err := t.poll(ctx, read{path: "/nodes", want: t.workload.nodes}, 500*time.Millisecond); err != nil {
		return err
	}
	t.result.NodesReady = time.Since(began).Seconds()
	if err := t.poll(ctx, read{path: "/pods", want: t.workload.pods()}, time.Second); err != nil {
		return err
	}
	t.result.Ready = time.Since(began).Seconds()
	return nil
}

// poll reads until the answer is complete.
func (t *target) poll(ctx context.Context, r read, every time.Duration) error {
	r.accept = acceptProtobuf
	for {
		_, err := t.check(ctx, r)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-t.process.Exited():
			return fmt.Errorf("the server has ended: %w", t.process.Wait())
		case <-time.After(every):
		}
	}
}

// Rest is what a server needs for scraping alone.
type Rest struct {
	Cost    Cost
	Scrapes Scrapes
	// CPUPerScrape is in seconds.
	CPUPerScrape float64
	// Memory is that at the end. ResidentMean and ResidentMax are of readings a
	// second apart, in bytes.
	Memory                    Memory
	ResidentMean, ResidentMax uint64
}

func (t *target) rest(ctx context.Context) error {
	if err := sleep(ctx, t.Settle); err != nil {
		return err
	}
	m, err := startMeter(t.process.PID())
	if err != nil {
		return err
	}
	t.scrapes.begin()
	var r Rest
	var sum, readings uint64
	for time.Since(m.began) < t.Measure {
		if err := sleep(ctx, min(time.Second, t.Measure-time.Since(m.began))); err != nil {
			return err
		}
		u, err := process.Read(t.process.PID())
		if err != nil {
			return err
		}
		sum, readings = sum+u.Resident, readings+1
		r.ResidentMax = max(r.ResidentMax, u.Resident)
	}
	cost, usage, err := m.cost()
	if err != nil {
		return err
	}
	r.Cost = cost
	r.Scrapes = t.scrapes.since(time.Since(m.began), t.Resolution)
	r.Memory, r.ResidentMean = Memory{usage.Resident, usage.Anonymous}, sum/readings
	t.restCPU = cost.Server
	t.result.Rest = &r
	if r.Scrapes.Answered == 0 {
		return errors.New("no kubelet has answered a scrape")
	}
	r.CPUPerScrape = cost.Server * cost.Seconds / float64(r.Scrapes.Answered)
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
