// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import "math"

// quantity converts a value as reported (seconds of CPU, seconds since the Unix
// epoch, bytes) to the integer that a Usage holds.
func quantity(field Fields, value float64) (uint64, bool) {
	// Written so that NaN fails too. -0 passes, and converts to 0.
	if !(value >= 0) {
		return 0, false
	}
	if field == HasCPU || field == HasStart {
		value *= 1e9
	}
	value = math.Round(value)
	if value >= 1<<64 {
		return 0, false
	}
	if !isPlausible(field, uint64(value)) {
		return 0, false
	}
	if field == HasStart && !(value >= 1 && value < 1<<63) {
		return 0, false
	}
	return uint64(value), true
}

// isPlausible tells whether a quantity can be true of any machine.
func isPlausible(field Fields, quantity uint64) bool {
	return field != HasMemory && field != HasSwap || quantity <= MaxBytes
}

// nanoseconds converts a timestamp in milliseconds.
func nanoseconds(milliseconds int64) (int64, bool) {
	const perMillisecond = 1_000_000
	if milliseconds <= 0 || milliseconds > math.MaxInt64/perMillisecond {
		return 0, false
	}
	return milliseconds * perMillisecond, true
}

// set takes in a sample. The time is that of the CPU sample wherever there is
// one.
func (u *Usage) set(field Fields, quantity uint64, time int64) {
	switch field {
	case HasCPU:
		u.CPU = quantity
		u.Time = time
	case HasMemory:
		u.Memory = quantity
		if u.Has&HasCPU == 0 {
			u.Time = time
		}
	case HasSwap:
		u.Swap = quantity
	case HasStart:
		u.Start = int64(quantity)
	}
	u.Has |= field
}
