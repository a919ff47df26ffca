// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"math"
	"slices"
	"time"
)

// Result is what was found in one phase.
type Result struct {
	Phase           string
	Watchers, Alive int
	Terminated      int // by the server, as it says
	Took            time.Duration
	CPU, Machine    float64 // cores
	Scrapes         float64
	Events, Bytes   float64
	ResidentMax     uint64
	ResidentEnd     uint64
	HeapInUse       float64 // bytes, with garbage
	HeapLive        float64 // bytes, after the phase
	Goroutines      float64
	// Tick is what the server says of how late the latest scrape of an interval
	// was, in seconds.
	TickMean, TickMax float64
	// Fetch99 is the duration of a request to a kubelet, and Age99 the age of
	// what was served, in seconds: 99 of 100 are shorter.
	Fetch99, Age99 float64
	Lists          []time.Duration
}

// fill works out what happened between two states.
func (r *Result) fill(begin, end state) {
	r.Took = end.time.Sub(begin.time)
	seconds := r.Took.Seconds()
	r.CPU = (end.usage.CPU - begin.usage.CPU).Seconds() / seconds
	r.Machine = (end.usage.Machine - begin.usage.Machine).Seconds() / seconds
	r.ResidentEnd = end.usage.Resident
	r.Events = float64(end.events-begin.events) / seconds
	r.Bytes = float64(end.bytes-begin.bytes) / seconds
	const scrapes = "metrics_server_scrape_total"
	r.Scrapes = (end.own.value(scrapes) - begin.own.value(scrapes)) / seconds
	r.HeapInUse = end.own.value("go_memstats_heap_inuse_bytes")
	r.Goroutines = end.own.value("go_goroutines")
	between := func(name string) distribution { return end.own.histogram(name).since(begin.own.histogram(name)) }
	tick := between("metrics_server_manager_tick_duration_seconds")
	r.TickMean, r.TickMax = tick.mean(), tick.quantile(1)
	r.Fetch99 = between("metrics_server_kubelet_request_duration_seconds").quantile(0.99)
	r.Age99 = between("metrics_server_api_metric_freshness_seconds").quantile(0.99)
}

// listQuantile is the time that a part of the lists did not exceed.
func (r *Result) listQuantile(q float64) float64 {
	if len(r.Lists) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(r.Lists))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Seconds()
}
