// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import "fmt"

// warmPercent is how many of the nodes Warm waits for. Where nodes come and go, some
// are always new.
const warmPercent = 95

// Warm returns an error until 95 % of the nodes are warm, that is have been scraped as
// often as it takes to serve them, or will not be soon: their last two scrapes or more
// have failed. Where more than half of the nodes have failed so, which may be because
// our own network was not up yet, they have to have failed for two intervals.
//
// Once it has returned nil it always does, whatever comes or fails later.
func (p *Pool) Warm() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isWarm()
}

// isWarm is Warm with the lock held.
func (p *Pool) isWarm() error {
	if p.warm {
		return nil
	}
	all := len(p.targets)
	warm, failing, failingLong, failed := 0, 0, 0, 0
	for _, t := range p.targets {
		if t.warmUp.failed {
			failed++
		}
		switch {
		case !t.warmUp.over():
		case !t.warmUp.cold:
			warm++
		default:
			failing++
			if p.Clock.Since(t.failing.since) >= 2*p.Resolution {
				failingLong++
			}
		}
	}
	done := warm + failing
	if failed*2 > all {
		done = warm + failingLong
	}
	if done*100 < all*warmPercent {
		return fmt.Errorf("of %d nodes, %d have been scraped as often as it takes to serve them and %d fail: waiting for the others",
			all, warm, failing)
	}
	p.warm = all > 0 // before there are nodes, there is nothing to wait for
	return nil
}
