// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// heartbeatInterval is the longest time that a long step stays silent.
const heartbeatInterval = 15 * time.Second

// progress writes one line per event. It is safe for concurrent use.
type progress struct {
	mu sync.Mutex
	w  io.Writer
}

func newProgress(w io.Writer) *progress {
	if w == nil {
		w = io.Discard
	}
	return &progress{w: w}
}

func (p *progress) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// heartbeat prints line's text and the time since the call at each
// heartbeatInterval, until the returned function is called.
func (p *progress) heartbeat(line func() string) (stop func()) {
	start := time.Now()
	ticker := time.NewTicker(heartbeatInterval)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				p.printf("  %s … %s", line(), elapsed(start))
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		ticker.Stop()
		close(done)
	})
}

// elapsed is the time since start, rounded for people.
func elapsed(start time.Time) time.Duration {
	d := time.Since(start)
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
