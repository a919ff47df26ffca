// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

// Bounds of one answer. A kubelet is not trusted: an answer over a bound gives
// an *Error with ReasonTooLarge.
const (
	// MaxContainers is how many containers one answer may name. Kubernetes
	// recommends at most 110 pods per node.
	MaxContainers = 16_384
	// MaxLines is how many lines a Text answer may have, comments and blank
	// lines included.
	MaxLines = 1 << 19
	// MaxLineLength is how long a line of a Text answer may be, in bytes without
	// its newline.
	MaxLineLength = 64 << 10
	// MaxFamilies is how many messages a Delimited answer may have.
	MaxFamilies = 4_096
	// MaxSeries is how many series a Delimited answer may have, those of other
	// families included.
	MaxSeries = 1 << 18
	// MaxCommas is how many commas a Summary may have. Every member of an object
	// and every element of an array but the first is after one, so this bounds
	// the memory that the JSON takes once decoded, to some 100 bytes each. The
	// kubelet writes about 50 for each container.
	MaxCommas = 1 << 18
)

// Bounds of one sample. One over them is rejected, and the others stand.
const (
	// MaxName is how long the names of a container, a pod and a namespace are in
	// Kubernetes at most, in bytes.
	MaxName = 253
	// MaxBytes is how much memory or swap a sample may tell of, in bytes: 1 PiB,
	// beyond any machine. What an autoscaler adds up, in thousandths of a byte,
	// must not overflow.
	MaxBytes = 1 << 50
	// MaxCores is how many CPUs a node may have: as many as Linux can be built for
	// (NR_CPUS, arch/x86/Kconfig).
	MaxCores = 8192
)

// Bounds of what a Decoder keeps from one answer to the next, so that one that is
// unusually large does not stay in memory.
const (
	maxKeptContainers = 2_048
	maxKeptUnescaped  = 64 << 10
)
