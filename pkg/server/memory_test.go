// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import "testing"

func TestGCPercent(t *testing.T) {
	for _, tt := range []struct {
		live uint64
		want int
	}{{0, 100}, {10 << 20, 100}, {64 << 20, 50}, {128 << 20, 25}, {1 << 30, 25}} {
		if got := gcPercent(tt.live); got != tt.want {
			t.Errorf("%d bytes: %d, want %d", tt.live, got, tt.want)
		}
	}
}
