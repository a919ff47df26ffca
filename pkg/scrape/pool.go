// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scrape decides when which kubelet is asked, and how many at a time.
//
// Every node has a phase of its own in the interval, a hash of its name, so
// that work is spread evenly, and its points are in the store as soon as they
// are decoded: no node waits for another. Scrapes that turn out slow, and nodes
// whose last scrape failed, run in a lane of their own and never take a place
// from the others.
//
// A node that is new is scraped at once, and again some seconds later, until all
// that it runs can be served; only then does it fall into its phase.
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

// Fetcher is what the pool needs of the kubelet client. Endpoints are closed when
// they are not needed any more, perhaps during a Fetch; a Fetch ends with its ctx.
type Fetcher interface {
	Endpoint(kubelet.Node) (*kubelet.Endpoint, error)
	Fetch(ctx context.Context, e *kubelet.Endpoint) (kubelet.Answer, error)
}

// Sink takes what was scraped. The samples are its to read until it returns, and it
// may reject some of them; errors name the node.
type Sink interface {
	// Put tells whether something of the node lacks a second point, so that another
	// scrape would let more be served.
	Put(node string, samples *exposition.Samples, requestTime time.Time) (lacking bool)
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
	Events     Events        // nil if nobody is to be told of nodes without metrics
	Resolution time.Duration // the interval between two scrapes of a node
	MaxAge     time.Duration // how long what was scraped is served; for Events
	Workers    int           // places in the lane of the healthy; 0 = chosen from the number of nodes
}

// maxIdleWorkers is how many goroutines wait for a node to scrape. More begin when
// more nodes are due, and end.
const maxIdleWorkers = 64

// Pool scrapes the nodes that it is told of. The healthy have as many places as
// Config says; with those that hang, at most one scrape of each node is under
// way. All methods are safe for concurrent use.
//
// In the steady state nothing is allocated for a scrape: goroutines, contexts and
// buffers are those of scrapes before.
type Pool struct {
	Config
	ctx      context.Context // of all scrapes
	cancel   context.CancelFunc
	wake     chan struct{} // to look again at what is due
	decoders sync.Pool     // *exposition.Decoder
	workers  sync.WaitGroup

	mu      sync.Mutex
	targets map[string]*target
	healthy lane
	failing lane // the slow, too
	starts  starts
	warm    bool // Warm returns no error any more
	idle    []chan<- scrape
	looks   time.Time // when it is looked next at what is due
	round   round
	journal journal
	notices notices
}

// scrape is what a worker is to do.
type scrape struct {
	target   *target
	endpoint *kubelet.Endpoint
	err      error // why there is no endpoint
}

// NewPool returns a pool without nodes.
func NewPool(c Config) *Pool {
	p := &Pool{
		Config:   c,
		wake:     make(chan struct{}, 1),
		decoders: sync.Pool{New: func() any { return new(exposition.Decoder) }},
		targets:  make(map[string]*target),
		notices:  notices{events: c.Events, maxAge: c.MaxAge},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// SetNode has a node scraped from now on, or from where it is now if it is known
// already.
func (p *Pool) SetNode(n kubelet.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.targets[n.Name]
	if ok && t.node.Equal(n) {
		return // the endpoint knows more by now than a new one would
	}
	if !ok {
		t = newTarget(p.ctx, n.Name, p.Resolution)
		if p.isWarm() == nil && p.warm {
			t.newUntil = p.Clock.Now().Add(newNode)
		}
		p.targets[n.Name] = t
		t.due = p.starts.take(p.Clock.Now())
		p.resize()
		p.push(&p.healthy, t)
	}
	t.closeEndpoint()
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
	if !t.running {
		t.lane.remove(t)
	}
	t.cancel()
	t.closeEndpoint()
	t.noticed = false
	p.resize()
	p.Metrics.forget(name)
}

// resize sets the lanes' places by the number of nodes. The lock is held.
func (p *Pool) resize() {
	defer p.notify() // others may wait for a place
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

// Run scrapes until ctx is cancelled and every scrape has ended. It is called once.
func (p *Pool) Run(ctx context.Context) {
	defer p.workers.Wait()
	defer p.endIdle()
	defer p.cancel()
	timer := p.Clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C():
		}
		timer.Reset(p.startDue())
	}
}

// endIdle ends the workers that have nothing to do, and has the others end when
// they have nothing to do any more.
func (p *Pool) endIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, work := range p.idle {
		close(work)
	}
	p.idle = nil
}

// startDue starts what is due and has a place, and returns how long until there
// may be more to do.
func (p *Pool) startDue() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Clock.Now()
	next := p.Resolution
	p.giveWay(now)
	for _, l := range [...]*lane{&p.healthy, &p.failing} {
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
			p.start(t, l, now)
		}
	}
	if len(p.healthy.running) > 0 {
		next = min(next, p.healthy.running[0].began.Add(slowAfter).Sub(now))
	}
	p.looks = now.Add(next)
	return next
}

// start runs one scrape in a lane. The lock is held.
func (p *Pool) start(t *target, l *lane, now time.Time) {
	t.running, t.began = true, now
	l.enter(t)
	s := scrape{t, t.endpoint, t.endpointErr}
	if last := len(p.idle) - 1; last >= 0 {
		work := p.idle[last]
		p.idle = p.idle[:last]
		work <- s
		return
	}
	p.workers.Go(func() { p.work(s) })
}

// outcome is how a scrape has ended.
type outcome struct {
	err     error   // it has failed
	lacking bool    // what the sink says of the answer
	refused refusal // of the answer
}

// work scrapes one node after another, as long as there are some.
func (p *Pool) work(s scrape) {
	work := make(chan scrape, 1)
	for more := true; more; {
		o := outcome{err: s.err}
		if o.err == nil {
			o = p.scrape(s.target, s.endpoint)
		}
		if o.err != nil && s.target.ctx.Err() == nil {
			p.Sink.ScrapeFailed(s.target.name, o.err)
		}
		if !p.finish(s.target, o, work) {
			return
		}
		s, more = <-work
	}
}

// giveWay moves scrapes that take long out of the lane of the healthy, in which
// they are in the order of their start. The lock is held.
func (p *Pool) giveWay(now time.Time) {
	for len(p.healthy.running) > 0 {
		t := p.healthy.running[0]
		if now.Sub(t.began) < slowAfter {
			return
		}
		p.healthy.leave(t)
		p.failing.enter(t)
	}
}

// scrape asks one kubelet and stores what it answers.
func (p *Pool) scrape(t *target, e *kubelet.Endpoint) outcome {
	p.Metrics.inFlight.Inc()
	defer p.Metrics.inFlight.Dec()
	began := p.Clock.Now()
	answer, err := p.Fetcher.Fetch(t.ctx, e)
	if err == nil {
		defer answer.Release()
	}
	decoder := p.decoders.Get().(*exposition.Decoder)
	defer p.decoders.Put(decoder)
	var samples *exposition.Samples
	if err == nil {
		p.Metrics.received.Add(float64(len(answer.Body)))
		if samples, err = decoder.Decode(answer.Format, answer.Body, answer.RequestTime); err != nil {
			err = fmt.Errorf("node %q: the kubelet's answer cannot be read: %w", t.name, err)
		}
	}
	if t.ctx.Err() != nil {
		return outcome{err: t.ctx.Err()}
	}
	p.Metrics.requested(t.name, began, p.Clock.Now(), err)
	if err != nil {
		return outcome{err: err}
	}
	lacking := p.Sink.Put(t.name, samples, answer.RequestTime)
	p.Metrics.rejectedIn(samples)
	return outcome{lacking: lacking, refused: refusalOf(samples)}
}

// finish frees the place and puts the node back in its queue. It tells whether the
// worker is to wait for more work.
func (p *Pool) finish(t *target, o outcome, work chan<- scrape) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	cancelled := t.ctx.Err() != nil
	t.running = false
	if !t.lane.hasPlace() {
		p.notify() // others may wait for the place
	}
	t.lane.leave(t)

	now := p.Clock.Now()
	p.Metrics.tick(p.round.observe(t.due, now, p.Resolution))
	p.journal.summarize(p.targets, now)
	p.notices.count(p.targets, now)
	switch p.targets[t.name] {
	case t:
		if !cancelled {
			p.Metrics.scraped(o.err)
			p.record(t, o, now)
		}
		t.due = t.nextDue(now)
		if t.failing.scrapes > 0 {
			p.push(&p.failing, t)
		} else {
			p.push(&p.healthy, t)
		}
	case nil: // removed meanwhile
		p.Metrics.forget(t.name)
	}
	if len(p.idle) == maxIdleWorkers || p.ctx.Err() != nil {
		return false
	}
	p.idle = append(p.idle, work)
	return true
}

// record remembers how a scrape ended. The lock is held.
func (p *Pool) record(t *target, o outcome, now time.Time) {
	t.took, t.failure = now.Sub(t.began), o.err
	if o.err != nil {
		p.journal.failed(t, o.err, now)
		p.notices.failed(t, now)
		t.warmUp.fail(t.failing.scrapes)
		return
	}
	t.succeeded, t.refused = now, o.refused
	p.notices.answered(t)
	p.journal.answered(t, o.refused, now)
	t.warmUp.answer(o.lacking, now)
}

// push queues a node. The lock is held.
func (p *Pool) push(l *lane, t *target) {
	l.push(t)
	if t.due.Before(p.looks) {
		p.notify()
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
			t.name, late.Round(time.Second), len(p.healthy.running), p.healthy.places)
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
		if t.failing.scrapes > 0 {
			failing++
		}
	}
	return len(p.targets), failing
}
