// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"math"
	"slices"
	"time"
)

// Distribution of times, in seconds. It is all zero if there are none.
type Distribution struct {
	Count              int
	Min, P50, P99, Max float64
}

// newDistribution sorts the times.
func newDistribution(times []time.Duration) Distribution {
	if len(times) == 0 {
		return Distribution{}
	}
	slices.Sort(times)
	return Distribution{
		Count: len(times),
		Min:   times[0].Seconds(),
		P50:   quantile(times, 0.5), P99: quantile(times, 0.99),
		Max: times[len(times)-1].Seconds(),
	}
}

// quantile is the smallest of the sorted times that at least a part q of them
// does not exceed, in seconds.
func quantile(sorted []time.Duration, q float64) float64 {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)].Seconds()
}
