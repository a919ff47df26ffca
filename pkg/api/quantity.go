// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import "strconv"

var (
	nanoSuffixes    = []string{"n", "u", "m", "", "k", "M", "G"}
	decimalSuffixes = nanoSuffixes[3:]
	binarySuffixes  = []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
)

// appendNanocores appends nanocores in the canonical form of a
// resource.Quantity with format DecimalSI: 250m for 250,000,000.
func appendNanocores(b []byte, v uint64) []byte { return appendScaled(b, clamp(v), 1000, nanoSuffixes) }

// appendBytes appends bytes in the canonical form of a resource.Quantity with
// format BinarySI: 64Mi for 67,108,864. Below 1024, that is the decimal one.
func appendBytes(b []byte, v uint64) []byte {
	if v < 1024 {
		return appendScaled(b, int64(v), 1000, decimalSuffixes)
	}
	return appendScaled(b, clamp(v), 1024, binarySuffixes)
}

// appendScaled appends the shortest integer that is exact with one of the suffixes,
// each of which stands for base times the one before.
func appendScaled(b []byte, v, base int64, suffixes []string) []byte {
	if v == 0 {
		return append(b, '0')
	}
	for v%base == 0 {
		v /= base
		suffixes = suffixes[1:]
	}
	b = strconv.AppendInt(b, v, 10)
	return append(b, suffixes[0]...)
}
