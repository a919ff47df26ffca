// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scrape decides when which kubelet is asked, and how many at a time.
//
// Every node has a phase of its own in the interval, a hash of its name, so
// that work is spread evenly, and its points are in the store as soon as they
// are decoded: no node waits for another. Scrapes that turn out slow, and nodes
// whose last scrape failed, run in a lane of their own and never take a place
// from the others.
package scrape

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

// Fetcher is what the pool needs of the kubelet client.
type Fetcher interface {
	Endpoint(kubelet.Node) (*kubelet.Endpoint, error)
	Fetch(ctx context.Context, e *kubelet.Endpoint, buf []byte) (kubelet.Answer, error)
}

// Sink takes what was scraped. The samples are its to read until it returns;
// errors name the node.
type Sink interface {
	Put(node string, samples *exposition.Samples, requestTime time.Time)
	ScrapeFailed(node string, err error)
}

// slowAfter is how long a scrape may hold a place in the lane of the healthy:
// far more than a kubelet needs.
const slowAfter = time.Second

// Config is what a Pool is made of.
type Config struct {
	Fetcher    Fetcher
	Sink       Sink
	Clock      clock.WithDelayedExecution
	Metrics    *Metrics
	Resolution time.Duration // the interval between two scrapes of a node
	Workers    int           // places in the lane of the healthy; 0 = chosen from the number of nodes
}

// Pool scrapes the nodes that it is told of. The healthy have as many places as
// Config says; with those that hang, at most one scrape of each node is under
// way. All methods are safe for concurrent use.
type Pool struct {
	Config
	wake    chan struct{} // something to do, or a place is free
	scratch sync.Pool     // *scratch
	running sync.WaitGroup

	mu      sync.Mutex
	targets map[string]*target
	healthy lane
	failing lane // the slow, too
	round   round
}

// scratch is what one scrape works with.
type scratch struct {
	decoder exposition.Decoder
	body    []byte
}

// NewPool returns a pool without nodes.
func NewPool(c Config) *Pool {
	return &Pool{
		Config:  c,
		wake:    make(chan struct{}, 1),
		scratch: sync.Pool{New: func() any { return new(scratch) }},
		targets: make(map[string]*target),
	}
}

// SetNode has a node scraped from its next phase on, or from where it is now if
// it is known already.
func (p *Pool) SetNode(n kubelet.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.targets[n.Name]
	if ok && t.node.Equal(n) {
		return // the endpoint knows more by now than a new one would
	}
	if !ok {
		t = newTarget(n.Name, p.Resolution)
		p.targets[n.Name] = t
		t.due = t.nextPhase(p.Clock.Now())
		p.healthy.push(t)
		p.resize()
		p.notify()
	}
	t.node = n
	t.endpoint, t.endpointErr = p.Fetcher.Endpoint(n)
}

// RemoveNode ends the scraping of a node. A scrape under way is cancelled.
func (p *Pool) RemoveNode(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.targets[name]
	if !ok {
		return
	}
	delete(p.targets, name)
	if t.cancel != nil {
		t.cancel()
	} else {
		t.lane.remove(t)
	}
	p.resize()
	p.Metrics.forget(name)
}

// resize sets the lanes' places by the number of nodes. The lock is held.
func (p *Pool) resize() {
	p.healthy.places = p.Workers
	if p.Workers == 0 {
		p.healthy.places = workersFor(len(p.targets))
	}
	// The slow and failing wait more than they work. With half of all nodes
	// hanging at once, each of them is still tried on time.
	p.failing.places = max(p.healthy.places, len(p.targets)/2)
}

// workersFor leaves every kubelet three quarters of a second to answer, at an
// interval of 15 s.
func workersFor(nodes int) int { return min(max(nodes/20, 8), 256) }

// Run scrapes until ctx is cancelled and every scrape has ended.
func (p *Pool) Run(ctx context.Context) {
	defer p.running.Wait()
	for {
		next := p.startDue(ctx)
		timer := p.Clock.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-p.wake:
			timer.Stop()
		case <-timer.C():
		}
	}
}

// startDue starts what is due and has a place, and returns how long until the
// next is due.
func (p *Pool) startDue(ctx context.Context) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Clock.Now()
	next := p.Resolution
	for _, l := range []*lane{&p.healthy, &p.failing} {
		for l.hasPlace() {
			t := l.first()
			if t == nil {
				break
			}
			if wait := t.due.Sub(now); wait > 0 {
				next = min(next, wait)
				break
			}
			l.remove(t)
			p.start(ctx, t, l)
		}
	}
	return next
}

// start runs one scrape in a lane. The lock is held.
func (p *Pool) start(ctx context.Context, t *target, l *lane) {
	ctx, t.cancel = context.WithCancel(ctx)
	t.lane = l
	l.busy++
	endpoint, err := t.endpoint, t.endpointErr
	p.running.Go(func() {
		slow := p.Clock.AfterFunc(slowAfter, func() { p.giveWay(t) })
		if err == nil {
			err = p.scrape(ctx, t, endpoint)
		}
		if err != nil && ctx.Err() == nil {
			p.Sink.ScrapeFailed(t.name, err)
		}
		slow.Stop()
		p.finish(ctx, t, err)
	})
}

// giveWay moves a scrape that takes long out of the lane of the healthy.
func (p *Pool) giveWay(t *target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.cancel == nil || t.lane == &p.failing {
		return
	}
	t.lane.busy--
	t.lane = &p.failing
	t.lane.busy++
	p.notify()
}

// scrape asks one kubelet and stores what it answers.
func (p *Pool) scrape(ctx context.Context, t *target, e *kubelet.Endpoint) error {
	p.Metrics.inFlight.Inc()
	defer p.Metrics.inFlight.Dec()
	s := p.scratch.Get().(*scratch)
	defer p.scratch.Put(s)

	began := p.Clock.Now()
	samples, requestTime, err := p.fetch(ctx, t.name, e, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.Metrics.requested(t.name, began, p.Clock.Now(), err)
	if err != nil {
		return err
	}
	p.Metrics.rejectedIn(samples)
	p.Sink.Put(t.name, samples, requestTime)
	return nil
}

// fetch asks one kubelet and decodes what it answers.
func (p *Pool) fetch(ctx context.Context, node string, e *kubelet.Endpoint, s *scratch) (*exposition.Samples, time.Time, error) {
	answer, err := p.Fetcher.Fetch(ctx, e, s.body)
	if err != nil {
		return nil, time.Time{}, err
	}
	s.body = answer.Body
	p.Metrics.received.Add(float64(len(answer.Body)))
	samples, err := s.decoder.Decode(answer.Format, answer.Body, answer.RequestTime)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("node %q: the kubelet's answer cannot be read: %w", node, err)
	}
	return samples, answer.RequestTime, nil
}

// finish frees the place and puts the node back in its queue.
func (p *Pool) finish(ctx context.Context, t *target, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cancelled := ctx.Err() != nil
	t.cancel()
	t.cancel = nil
	t.lane.busy--
	defer p.notify()

	now := p.Clock.Now()
	p.Metrics.tick(p.round.observe(t.due, now, p.Resolution))
	if p.targets[t.name] != t { // removed meanwhile
		if p.targets[t.name] == nil {
			p.Metrics.forget(t.name)
		}
		return
	}
	if !cancelled {
		p.Metrics.scraped(err)
		t.record(err, now)
	}
	t.due = t.nextDue(now)
	if t.failures > 0 {
		p.failing.push(t)
	} else {
		p.healthy.push(t)
	}
}

func (p *Pool) notify() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Timely returns an error if a healthy node has waited for its scrape for more
// than one and a half intervals: the pool is stuck, or too small.
func (p *Pool) Timely() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.healthy.first()
	if t == nil {
		return nil
	}
	if late := p.Clock.Since(t.due); late > p.Resolution*3/2 {
		err := fmt.Errorf("the scrape of node %q is %s late, with %d of %d places busy (--scrape-workers)",
			t.name, late.Round(time.Second), p.healthy.busy, p.healthy.places)
		klog.ErrorS(err, "Metric collection is not timely")
		return err
	}
	return nil
}

// Nodes returns how many nodes are scraped, and how many of them failed last
// time.
func (p *Pool) Nodes() (all, failing int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.targets {
		if t.failures > 0 {
			failing++
		}
	}
	return len(p.targets), failing
}
