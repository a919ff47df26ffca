// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package eventually waits, in tests, for what real processes take their time over.
package eventually

import (
	"testing"
	"time"
)

// Succeeds calls check until it has no error, and ends the test if it still has one
// when so much time has passed.
func Succeeds(t testing.TB, within time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", within, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
