// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"github.com/KimMachineGun/automemlimit/memlimit"
	"k8s.io/klog/v2"
)

// limitMemory has the garbage collector keep to nine tenths of the container's
// memory, or to what the environment variable GOMEMLIMIT says.
func limitMemory() {
	limit, err := memlimit.Set()
	if err != nil {
		klog.InfoS("There is no memory limit for the garbage collector to keep to", "reason", err)
		return
	}
	klog.V(1).InfoS("The garbage collector keeps to a memory limit", "bytes", limit)
}
