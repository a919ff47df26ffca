// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"math"
	"time"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

const (
	// minWindow is the shortest distance between two points that gives a rate
	// worth serving: below it, the granularity of the counter shows.
	minWindow = 5 * time.Second
	// minStartAge is the age from which a container is served by the average
	// since its start, when it has no second point yet.
	minStartAge = 10 * time.Second
)

// point is a cumulative counter at a time. The zero point is none.
type point struct {
	time int64  // nanoseconds since the Unix epoch
	cpu  uint64 // core-nanoseconds
}

type state uint8

const (
	// complete: the newest answer has both CPU and memory.
	complete state = iota
	// incomplete: the newest answer has only one of CPU and memory, or none.
	incomplete
	// notRunning: CPU counter and working set are both zero, as for an init
	// container that has finished.
	notRunning
)

// usage is what is kept of one container or node: two points, so that there is
// a rate, and the gauges of the last one.
type usage struct {
	last, prev point
	memory     uint64 // working set of the last point, bytes
	swap       uint64 // bytes
	hasSwap    bool
	state      state
}

// epoch is the moment of a write: what the rules need to know beside the sample.
type epoch struct {
	now    int64 // nanoseconds since the Unix epoch
	maxAge int64 // nanoseconds
	// prevScrape is when the previous successful scrape of the node was sent,
	// in nanoseconds since the Unix epoch, 0 if there was none.
	prevScrape int64
}

// expired tells whether a sample time is too far from now to be served. A time
// in the future counts too: a clock that was set back must not freeze a node
// until the old time is reached again.
func (e epoch) expired(t int64) bool {
	age := e.now - t
	return age > e.maxAge || age < -e.maxAge
}

// add takes in what a kubelet's newest answer says. It tells whether the counter
// has risen faster than it can: then nothing is known of what it was before.
func (u *usage) add(s *exposition.Usage, e epoch) (tooFast bool) {
	const both = exposition.HasCPU | exposition.HasMemory
	switch {
	case s.Has&both != both:
		u.state = incomplete
		return false
	case s.CPU == 0 && s.Memory == 0:
		*u = usage{state: notRunning}
		return false
	}
	u.state = complete
	if ahead := u.last.time - e.now; ahead > e.maxAge {
		*u = usage{} // the node's clock was ahead, and has been set right
	}
	if s.Time <= u.last.time {
		return false // no news
	}
	if s.Time-u.last.time > e.maxAge {
		*u = usage{} // gone since its maximum age
	}
	if s.Has&exposition.HasStart != 0 && s.Start > u.last.time || s.CPU < u.last.cpu {
		*u = usage{} // restarted: its points never mix with those before
	}
	next := point{time: s.Time, cpu: s.CPU}
	if u.last.time != 0 && isTooFast(u.last, next) {
		*u, tooFast = usage{}, true
	}
	switch tooClose := next.time-u.last.time < int64(minWindow); {
	case u.last.time == 0:
		if start := (point{time: s.Start}); startedSince(s, e.prevScrape) {
			if isTooFast(start, next) {
				tooFast = true
			} else {
				u.prev = start
			}
		}
	case tooClose && u.prev.time == 0:
		return tooFast // the older point is the better base
	case !tooClose:
		u.prev = u.last
	}
	u.last, u.memory = next, s.Memory
	u.swap, u.hasSwap = s.Swap, s.Has&exposition.HasSwap != 0
	return tooFast
}

// isTooFast tells whether no machine could raise a counter so.
func isTooFast(from, to point) bool {
	return float64(to.cpu-from.cpu) > exposition.MaxCores*float64(to.time-from.time)
}

// startedSince tells whether a container with a single point may be served by
// its average since its start: it is old enough for that to mean something, and
// young enough that the previous scrape could not have seen it.
func startedSince(s *exposition.Usage, prevScrape int64) bool {
	return s.Has&exposition.HasStart != 0 && prevScrape != 0 &&
		s.Start > prevScrape && s.Time-s.Start >= int64(minStartAge)
}

// hasWindow tells whether there are two points to form a rate.
func (u *usage) hasWindow() bool { return u.prev.time != 0 }

// lacksPoint tells whether a newer point is all that it takes to form a rate.
func (u *usage) lacksPoint() bool { return u.state == complete && !u.hasWindow() }

func (u *usage) timestamp() time.Time  { return time.Unix(0, u.last.time) }
func (u *usage) window() time.Duration { return time.Duration(u.last.time - u.prev.time) }

// cpu returns the average rate over the window, in nanocores.
func (u *usage) cpu() uint64 {
	cores := float64(u.last.cpu-u.prev.cpu) / float64(u.last.time-u.prev.time)
	return uint64(math.Min(math.Round(cores*1e9), math.MaxInt64))
}
