// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

// Rejection is why one sample of a sound answer was left out, or one pod of it:
// the first by decoders, the second by the store.
type Rejection uint8

const (
	// RejectedValue is a value that is missing, not a number, infinite,
	// negative, over MaxBytes, or too large for the integer that holds it; for a
	// start time, also zero.
	RejectedValue Rejection = iota
	// RejectedTimestamp is a time that is zero, negative or overflows. Of the node's
	// own usage, it is also one that is too far from now for the store.
	RejectedTimestamp
	// RejectedLabels is a container series without the label namespace, pod or
	// container, or with one of them empty, over MaxName, given twice, or not UTF-8.
	RejectedLabels
	// RejectedRate is a CPU counter that has risen faster than MaxCores could make
	// it. It is for the one to say who knows the counter's last value.
	RejectedRate
	// RejectedOtherNode is a pod of which the API server says that it runs on
	// another node than the one that reports it.
	RejectedOtherNode
	// RejectedNotListed is a pod that the API server does not list as running,
	// beyond those of which the points are kept because it may do so soon.
	RejectedNotListed
	NumRejections
)

// String names the rejection in one lower-case word, fit for the label of a
// metric.
func (r Rejection) String() string {
	switch r {
	case RejectedValue:
		return "value"
	case RejectedTimestamp:
		return "timestamp"
	case RejectedLabels:
		return "labels"
	case RejectedRate:
		return "rate"
	case RejectedOtherNode:
		return "other_node"
	case RejectedNotListed:
		return "not_listed"
	}
	return "unknown"
}
