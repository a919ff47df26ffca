// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// hpaWorkers bounds how many reads wait for an answer at the same time.
	hpaWorkers = 64
	// hpaDecoded is the part of the answers that are decoded: one of so many.
	hpaDecoded = 10
)

// HPA is what HorizontalPodAutoscalers get while they read all the time.
type HPA struct {
	Cost Cost
	// Rate is the reads a second that were answered, of those that were asked for.
	Rate float64
	// Time is from when a read was due: it includes waiting for a worker.
	Time Distribution
	// Failed and Incomplete are numbers of reads; only some are looked into.
	Failed, Incomplete int
	FirstFailure       string
	// Age of the samples in the answers, from the timestamp of a pod to when the
	// answer had come. Timestamps are in whole seconds, cut off: that alone makes
	// them up to one second older than they are.
	Age     Distribution
	Scrapes Scrapes
}

// hpaLoad sends reads at a constant rate, whatever the answers take.
type hpaLoad struct {
	*target
	began time.Time
	next  atomic.Int64

	mu         sync.Mutex
	times      []time.Duration
	ages       []time.Duration
	failed     int
	incomplete int
	first      error
}

func (t *target) hpa(ctx context.Context) error {
	m, err := startMeter(t.process.PID())
	if err != nil {
		return err
	}
	t.scrapes.begin()
	l := &hpaLoad{target: t, began: time.Now()}
	var workers sync.WaitGroup
	for i := range hpaWorkers {
		random := rand.New(rand.NewPCG(3, uint64(i)))
		workers.Go(func() { l.work(ctx, random) })
	}
	workers.Wait()
	cost, _, err := m.cost()
	if err != nil {
		return err
	}
	r := HPA{
		Cost: cost, Time: newDistribution(l.times), Age: newDistribution(l.ages),
		Failed: l.failed, Incomplete: l.incomplete,
		Scrapes: t.scrapes.since(time.Since(m.began), t.Resolution),
	}
	r.Rate = float64(r.Time.Count) / cost.Seconds
	t.result.HPA = &r
	if l.first != nil {
		r.FirstFailure = l.first.Error()
		return fmt.Errorf("%d reads failed, %d were incomplete, the first: %w", l.failed, l.incomplete, l.first)
	}
	if r.Age.Count == 0 {
		return errors.New("no answer had a sample")
	}
	return ctx.Err()
}

// work takes the next read that is due, and waits for its time.
func (l *hpaLoad) work(ctx context.Context, random *rand.Rand) {
	period := time.Second / time.Duration(l.HPAReads)
	for {
		i := l.next.Add(1) - 1
		due := l.began.Add(time.Duration(i) * period)
		if due.Sub(l.began) >= l.Measure {
			return
		}
		if early := time.Until(due); early > 0 {
			if sleep(ctx, early) != nil {
				return
			}
			due = time.Now() // a timer that fires late is no fault of the server's
		}
		// A server that does not keep up must not hold the run for ever.
		if ctx.Err() != nil || time.Since(l.began) > 2*l.Measure {
			return
		}
		l.note(l.read(ctx, l.workload.hpaRead(random.IntN(l.workload.pods())), due, i%hpaDecoded == 0))
	}
}

// hpaAnswer is one read.
type hpaAnswer struct {
	took       time.Duration
	ages       []time.Duration
	incomplete bool
	err        error
}

func (l *hpaLoad) read(ctx context.Context, r read, due time.Time, decode bool) (a hpaAnswer) {
	resp, err := l.open(ctx, r)
	if err != nil {
		return hpaAnswer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return hpaAnswer{err: err}
	}
	now := time.Now()
	a.took = now.Sub(due)
	if !decode {
		return a
	}
	var list struct {
		Items []struct{ Timestamp time.Time }
	}
	if a.err = json.Unmarshal(body, &list); a.err != nil {
		return a
	}
	if len(list.Items) != r.want {
		a.incomplete, a.err = true, fmt.Errorf("%s has %d of %d pods", r.path, len(list.Items), r.want)
	}
	for _, item := range list.Items {
		a.ages = append(a.ages, now.Sub(item.Timestamp))
	}
	return a
}

func (l *hpaLoad) note(a hpaAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.err != nil && l.first == nil {
		l.first = a.err
	}
	switch {
	case a.incomplete:
		l.incomplete++
	case a.err != nil:
		l.failed++
		return
	}
	l.times = append(l.times, a.took)
	l.ages = append(l.ages, a.ages...)
}
