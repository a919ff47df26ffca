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
	// the memory that the JSON takes once decoded. The kubelet writes about 50
	// for each container.
	MaxCommas = 1 << 20
	// MaxLabels is how many labels a series that is read may have.
	MaxLabels = 64
	// MaxLabelValue is how long a label value of a series that is read, or a
	// name in a Summary, may be, in bytes after unescaping. Names in Kubernetes
	// have at most 253.
	MaxLabelValue = 1_024
)
