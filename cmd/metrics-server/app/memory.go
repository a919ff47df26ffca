// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"k8s.io/klog/v2"
)

// gcPercent is how much garbage there may be, as a percentage of what is in use,
// before it is collected. Scraping makes next to none, so that Go's default of 100
// would let the heap grow to twice what is needed and stay there; collecting more
// often costs less than a tenth of the CPU time for reads.
const gcPercent = 25

// manageMemory sets the garbage collector, but for what the environment variables
// GOGC and GOMEMLIMIT say. The limit is nine tenths of the container's.
func manageMemory() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	limit, err := memlimit.Set()
	if err != nil {
		klog.InfoS("There is no memory limit for the garbage collector to keep to", "reason", err)
		return
	}
	klog.V(1).InfoS("The garbage collector keeps to a memory limit", "bytes", limit)
}
