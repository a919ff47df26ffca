// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"time"

	"github.com/spf13/pflag"
)

const (
	// minResolution is how often a kubelet takes a sample of its own at most.
	minResolution = 10 * time.Second
	// maxAgeFactor is how many resolutions a point is served for by default.
	maxAgeFactor = 4
	// minMaxAgeFactor lets a window form although samples are late by up to one
	// resolution.
	minMaxAgeFactor = 2
	// maxWorkers is far above what a control plane's machine has a use for.
	maxWorkers = 10000
)

// metricsOptions says how often metrics are taken and how long they count.
type metricsOptions struct {
	resolution time.Duration
	maxAge     time.Duration
	workers    int
	watch      bool
}

func newMetricsOptions() *metricsOptions {
	return &metricsOptions{resolution: time.Minute, watch: true}
}

func (o *metricsOptions) addFlags(fs *pflag.FlagSet) {
	fs.DurationVar(&o.resolution, "metric-resolution", o.resolution,
		"Interval between two scrapes of one kubelet, at least 10s.")
	fs.DurationVar(&o.maxAge, "metric-max-age", o.maxAge,
		"How long after its sample time a metric is served when no newer one arrives, at least twice --metric-resolution. "+
			"0 means 4 times --metric-resolution.")
	fs.IntVar(&o.workers, "scrape-workers", o.workers,
		"How many healthy kubelets are scraped at the same time, at most 10000. 0 chooses it from the number of nodes. "+
			"Those that hang or failed last time do not count.")
	fs.BoolVar(&o.watch, "enable-watch", o.watch,
		"Support the verb watch. If false, discovery does not list it and watches are answered with 405, so that agents that watch every resource leave metrics alone.")
}

func (o *metricsOptions) validate() []error {
	var problems []error
	if o.resolution < minResolution {
		problems = append(problems, badValue("metric-resolution", o.resolution, "must be at least %s", minResolution))
	}
	// With less, a point may be gone before the next one makes a window with it.
	if o.maxAge != 0 && o.maxAge < minMaxAgeFactor*o.resolution {
		problems = append(problems, badValue("metric-max-age", o.maxAge,
			"must be at least %d times --metric-resolution=%s, or 0 for %d times that", minMaxAgeFactor, o.resolution, maxAgeFactor))
	}
	if o.workers < 0 || o.workers > maxWorkers {
		problems = append(problems, badValue("scrape-workers", o.workers, "must be from 0 to %d", maxWorkers))
	}
	return problems
}

// age is how long a point is served for.
func (o *metricsOptions) age() time.Duration {
	if o.maxAge == 0 {
		return maxAgeFactor * o.resolution
	}
	return o.maxAge
}
