// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// Scrapes is what kubelets have seen for a while.
type Scrapes struct {
	// Answered are requests that got an answer, Failed all others.
	Answered, Failed int
	// PerNode is how many answers each node has given, on average, in an interval
	// of the resolution: 1 where no scrape is left out.
	PerNode float64
	// Silent is the number of nodes that were not asked at all.
	Silent int
	// Late is the number of answers more than 1.5 resolutions after the one before.
	Late int
	// Gap is the time between two answers of a node.
	Gap Distribution
}

// scrapeLog notes what is asked of kubelets.
type scrapeLog struct {
	clock clock.PassiveClock

	mu               sync.Mutex
	last             []time.Time // answer of each node
	asked            []bool
	answered, failed int
	gaps             []time.Duration
}

func newScrapeLog(nodes int, clk clock.PassiveClock) *scrapeLog {
	return &scrapeLog{clock: clk, last: make([]time.Time, nodes), asked: make([]bool, nodes)}
}

// observe is for kubeletsim.
func (l *scrapeLog) observe(n *kubeletsim.Node, r kubeletsim.Request) {
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Status != http.StatusOK {
		l.failed++
		return
	}
	i := n.Index()
	if !l.last[i].IsZero() {
		l.gaps = append(l.gaps, now.Sub(l.last[i]))
	}
	l.last[i], l.asked[i] = now, true
	l.answered++
}

// forget is for the time between two servers.
func (l *scrapeLog) forget() {
	l.begin()
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.last)
}

// begin counts from 0 again. A gap that spans it is counted where it ends.
func (l *scrapeLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.asked)
	l.answered, l.failed, l.gaps = 0, 0, nil
}

// since begin, which was this long ago.
func (l *scrapeLog) since(elapsed, resolution time.Duration) Scrapes {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Scrapes{Answered: l.answered, Failed: l.failed, Gap: newDistribution(l.gaps)}
	s.PerNode = float64(l.answered) / float64(len(l.last)) / (elapsed.Seconds() / resolution.Seconds())
	for _, asked := range l.asked {
		if !asked {
			s.Silent++
		}
	}
	for _, gap := range l.gaps {
		if gap > resolution*3/2 {
			s.Late++
		}
	}
	return s
}
