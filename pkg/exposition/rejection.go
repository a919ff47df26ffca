// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

// Rejection is why one sample of a sound answer was left out.
type Rejection uint8

const (
	// RejectedValue is a value that is missing, not a number, infinite,
	// negative, over MaxBytes, or too large for the integer that holds it; for a
	// start time, also zero.
	RejectedValue Rejection = iota
	// RejectedTimestamp is a time that is zero, negative or overflows.
	RejectedTimestamp
	// RejectedLabels is a container series without the label namespace, pod or
	// container, or with one of them empty, over MaxName, given twice, or not UTF-8.
	RejectedLabels
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
	}
	return "unknown"
}
