// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// steadyPlaces and failingPlaces are how many large bodies are held at a time, of
	// endpoints whose last fetch succeeded and of others. Kubelets that take long over
	// large bodies, or send endless ones, so delay each other and not the steady.
	steadyPlaces  = 4
	failingPlaces = 2
	// turn is how long a body may take when others wait for its place: far more than a
	// kubelet needs.
	turn = 2 * time.Second
)

// places are what bounds the memory that all large bodies take together, however many
// kubelets send them.
type places struct {
	*semaphore.Weighted
	waiting atomic.Int32
	turn    time.Duration
}

func newPlaces(n int64, turn time.Duration) *places {
	return &places{Weighted: semaphore.NewWeighted(n), turn: turn}
}

// take waits for a place. The source is interrupted if it keeps it for longer than
// its turn while others wait.
func (p *places) take(ctx context.Context, deadline time.Time, source interrupter) (*place, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	if err := p.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	l := &place{of: p, source: source}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(p.turn, l.look)
	return l, nil
}

// place is one of places, from when it is taken until leave.
type place struct {
	of    *places
	timer *time.Timer

	mu          sync.Mutex
	source      interrupter // nil when it is not read any more
	interrupted bool
}

// look interrupts a source that has had its turn, if others wait.
func (l *place) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.source == nil:
	case l.of.waiting.Load() == 0:
		l.timer.Reset(l.of.turn)
	default:
		l.source.interrupt()
		l.source, l.interrupted = nil, true
	}
}

// settle says that the source is not read any more, and tells whether it was
// interrupted. It may be called on nil.
func (l *place) settle() (interrupted bool) {
	if l == nil {
		return false
	}
	l.timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.source = nil
	return l.interrupted
}

func (l *place) leave() {
	l.settle()
	l.of.Release(1)
}
