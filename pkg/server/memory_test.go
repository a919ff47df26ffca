// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"math"
	"testing"
)

func TestGCPercent(t *testing.T) {
	for _, tt := range []struct {
		live uint64
		want int
	}{{0, 100}, {10 << 20, 100}, {64 << 20, 75}, {128 << 20, 37}, {1 << 30, 25}} {
		if got := gcPercent(tt.live); got != tt.want {
			t.Errorf("%d bytes: %d, want %d", tt.live, got, tt.want)
		}
	}
}

func TestListMemory(t *testing.T) {
	for limit, want := range map[int64]int64{512 << 20: 128 << 20, math.MaxInt64: 1 << 30} {
		if got := listMemory(limit); got != want {
			t.Errorf("limit %d: %d, want %d", limit, got, want)
		}
	}
}
