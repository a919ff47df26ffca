// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"context"
	"errors"
	"hash/fnv"
	"time"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

// target is a node to scrape. Guarded by Pool.mu, but for what never changes.
type target struct {
	name       string        // never changes
	phase      time.Duration // in the interval; never changes
	resolution time.Duration // never changes

	node        kubelet.Node
	endpoint    *kubelet.Endpoint
	endpointErr error // why there is no endpoint

	ctx    context.Context // until it is removed; never changes
	cancel context.CancelFunc

	due     time.Time
	index   int   // in the queue
	lane    *lane // whose queue it waits in, or whose place it takes
	running bool  // its scrape is under way
	began   time.Time

	failing  trouble   // of scrapes
	refusing trouble   // of samples
	newUntil time.Time // its failures are not logged until then; never changes
	noticed  bool      // operators have been told that it is unavailable

	succeeded time.Time     // when the last scrape that has not failed ended
	took      time.Duration // the last scrape
	failure   error         // of the last scrape
	refused   refusal       // of the last answer

	warmUp warmUp
}

// phaseStep is what phases are multiples of: to start some scrapes at a time costs
// less than to wake up for each.
const phaseStep = 100 * time.Millisecond

func newTarget(ctx context.Context, name string, resolution time.Duration) *target {
	h := fnv.New64a()
	h.Write([]byte(name))
	t := &target{
		name:       name,
		phase:      time.Duration(h.Sum64() % uint64(resolution)).Truncate(phaseStep),
		resolution: resolution,
		warmUp:     warmUp{cold: true},
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

func (t *target) closeEndpoint() {
	if t.endpoint != nil {
		t.endpoint.Close()
	}
}

// nextPhase returns the first moment after now that is in phase. It keeps now's
// monotonic clock reading: a wall clock that is set back must not stop scraping.
func (t *target) nextPhase(now time.Time) time.Time {
	wait := t.phase - now.Sub(now.Truncate(t.resolution))
	if wait <= 0 {
		wait += t.resolution
	}
	return now.Add(wait)
}

// nextDue is the warm-up's next scrape: one in phase between could come too early for
// a window. Then it is the next phase, however soon, so that no point gets older than
// others do. After a first failure it is half an interval from now if that is sooner:
// most failures are passing.
func (t *target) nextDue(now time.Time) time.Time {
	if !t.warmUp.over() {
		if next, ok := t.warmUp.next(now); ok {
			return next
		}
	}
	next := t.nextPhase(now)
	if retry := now.Add(t.resolution / 2); t.failing.scrapes == 1 && retry.Before(next) {
		next = retry
	}
	return next
}

// reasonOf names the cause of a failed scrape in one word, from a small set.
func reasonOf(err error) string {
	if fetch := (*kubelet.Error)(nil); errors.As(err, &fetch) {
		return string(fetch.Reason)
	}
	if decode := (*exposition.Error)(nil); errors.As(err, &decode) {
		return "decode_" + string(decode.Reason)
	}
	return "other"
}
