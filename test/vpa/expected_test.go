// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package vpa

import "testing"

func TestExpected(t *testing.T) {
	for _, test := range []struct{ millicores, want float64 }{{0, 11}, {9, 11}, {10, 23}, {20, 23}, {21, 35}, {100, 126}} {
		if got := ExpectedCPU(test.millicores); got != test.want {
			t.Errorf("%v millicores make %v, want %v", test.millicores, got, test.want)
		}
	}
}
