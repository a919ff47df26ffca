// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"
)

// Wave is a quantity that is constant, or swings around a constant as a sine:
//
//	Mean + Amplitude × sin(2π × (elapsed + Phase) / Period)
//
// where elapsed counts from the start of the container or node.
type Wave struct {
	// Mean and Amplitude are in cores for CPU and in bytes for memory and swap.
	Mean, Amplitude float64
	// Period is needed only where Amplitude is not 0.
	Period, Phase time.Duration
}

// Constant is a quantity that does not change.
func Constant(v float64) Wave { return Wave{Mean: v} }

const (
	// maxCores keeps a CPU counter within 64 bits for two years.
	maxCores = 256
	// maxBytes keeps a size exact in a float64.
	maxBytes = 1 << 50
	// maxCPUSwing keeps the usage far enough above zero for rounding never to
	// make a counter fall.
	maxCPUSwing = 0.99
)

// at is the value after the given time since the start.
func (w Wave) at(elapsed time.Duration) float64 {
	if w.Amplitude == 0 {
		return w.Mean
	}
	return w.Mean + w.Amplitude*math.Sin(w.angle(elapsed))
}

// integral is the sum of the value from the start on, in units × nanoseconds:
// nanoseconds of CPU time where the value is in cores. The constant part is
// exact; the wave adds less than one nanosecond of rounding.
func (w Wave) integral(elapsed time.Duration) uint64 {
	if elapsed <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(math.Round(w.Mean*1e9)), uint64(elapsed))
	whole, rest := bits.Div64(hi, lo, 1e9)
	if w.Amplitude == 0 {
		return whole
	}
	swing := w.Amplitude * float64(w.Period) / (2 * math.Pi) * (math.Cos(w.angle(0)) - math.Cos(w.angle(elapsed)))
	return uint64(max(0, int64(whole)+int64(math.Floor(float64(rest)/1e9+swing))))
}

// angle reduces the time to one period first, in integers, so that it is as
// precise after months as after seconds.
func (w Wave) angle(elapsed time.Duration) float64 {
	return 2 * math.Pi * float64((elapsed+w.Phase)%w.Period) / float64(w.Period)
}

func (w Wave) validateCPU() error {
	if err := w.validate(maxCores); err != nil {
		return fmt.Errorf("CPU: %w", err)
	}
	if w.Amplitude > maxCPUSwing*w.Mean {
		return fmt.Errorf("CPU: an amplitude of %v around a mean of %v could make the counter fall; use at most %v of the mean", w.Amplitude, w.Mean, maxCPUSwing)
	}
	return nil
}

func (w Wave) validateBytes(what string) error {
	if err := w.validate(maxBytes); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// validate is written so that NaN fails as well.
func (w Wave) validate(limit float64) error {
	if !(w.Mean >= 0 && w.Mean <= limit) {
		return fmt.Errorf("mean %v is out of range; use 0 to %v", w.Mean, limit)
	}
	if !(w.Amplitude >= 0 && w.Amplitude <= w.Mean) {
		return fmt.Errorf("amplitude %v is out of range; use 0 to the mean, %v", w.Amplitude, w.Mean)
	}
	if w.Amplitude > 0 && w.Period <= 0 {
		return errors.New("a wave needs a period above 0")
	}
	return nil
}
