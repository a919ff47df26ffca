// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Scraping makes next to no garbage, so that with Go's default the heap would be
// twice what is needed, and stay so. Between these percentages of what is in use,
// there may be as much garbage as some hundred reads make before it is collected.
const (
	minGCPercent, maxGCPercent = 25, 100
	garbage                    = 48 << 20 // bytes
)

// trimPeriod is the time between two collections of what is garbage by then, beside
// those that Go's collector makes on its own.
const trimPeriod = time.Minute

// gcPercent is how much garbage there may be beside live bytes.
func gcPercent(live uint64) int {
	return int(min(max(100*garbage/max(live, 1), minGCPercent), maxGCPercent))
}

// unlimitedListMemory is what lists may hold where there is no memory limit.
const unlimitedListMemory = 1 << 30 // bytes

// listMemory is how much of the memory limit lists may hold: it leaves the rest to
// what is stored, to scraping and to garbage.
func listMemory(limit int64) int64 {
	if limit == math.MaxInt64 { // there is none
		return unlimitedListMemory
	}
	return limit / 4
}

// trim gives back memory, first when all has been scraped after a start: the lists of
// nodes and pods, and a handshake with each kubelet, leave much garbage. It would be
// minutes until Go collects it. The environment variable GOGC has precedence over
// what it sets.
func (s *server) trim(ctx context.Context) {
	_, fixed := os.LookupEnv("GOGC")
	if !fixed {
		debug.SetGCPercent(minGCPercent)
	}
	synced := func(context.Context) (bool, error) { return s.inventory.NodesSynced() && s.inventory.PodsSynced(), nil }
	if wait.PollUntilContextCancel(ctx, time.Second, true, synced) != nil {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.pool.Resolution):
		}
		debug.FreeOSMemory()
		if metrics.Read(live); !fixed {
			debug.SetGCPercent(gcPercent(live[0].Value.Uint64()))
		}
	}, trimPeriod)
}
