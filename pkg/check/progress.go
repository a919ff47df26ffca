// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// progressPeriod is how long nothing is said of progress.
const progressPeriod = 3 * time.Second

// progress says now and then how far a long step has come.
type progress struct {
	w     io.Writer
	clock clock.PassiveClock

	mu    sync.Mutex
	title string
	said  time.Time
}

func newProgress(w io.Writer, clock clock.PassiveClock) *progress {
	return &progress{w: w, clock: clock, said: clock.Now()}
}

func (p *progress) begin(title string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.title = title
}

// say is for every piece of work that is done. total is 0 where it is not known.
func (p *progress) say(done, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	if p.w == nil || now.Sub(p.said) < progressPeriod {
		return
	}
	p.said = now
	if total == 0 {
		fmt.Fprintf(p.w, "%s: %d …\n", p.title, done)
		return
	}
	fmt.Fprintf(p.w, "%s: %d of %d …\n", p.title, done, total)
}
