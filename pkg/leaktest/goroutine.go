// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package leaktest

import (
	"runtime"
	"strings"
)

// endless are functions of goroutines that are started once, at first use, and that
// nobody can end.
var endless = []string{
	"os/signal.loop",     // at the first call of signal.Notify
	"runtime.ensureSigM", // the same
}

// addGoroutines adds all goroutines but the caller's.
func (r resources) addGoroutines() {
	stacks := strings.Split(strings.TrimSpace(string(allStacks())), "\n\n")
	for _, stack := range stacks[1:] { // the caller's comes first
		if isEndless(stack) {
			continue
		}
		id, _, _ := strings.Cut(stack, " [") // of "goroutine 7 [running]:"
		r[id] = stack
	}
}

func allStacks() []byte {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return buf[:n]
		}
	}
}

func isEndless(stack string) bool {
	for _, function := range endless {
		if strings.Contains(stack, "\n"+function) {
			return true
		}
	}
	return false
}
