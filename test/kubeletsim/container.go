// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Container is what one container uses, as a function of time.
type Container struct {
	Name string
	// Start is when the container started; its CPU counter counts from there.
	// It is not reported before that time. Zero stands for the time at which its
	// pod is added to a node.
	Start time.Time
	// CPU is the usage in cores, at most 256. It never quite reaches zero where
	// it is a wave: its amplitude may be 99 % of its mean.
	CPU Wave
	// Memory is the working set and Swap the swap in use, both in bytes.
	Memory, Swap Wave
	// SwapLimit is in bytes; 0 where the node has no swap.
	SwapLimit uint64
}

// ContainerRef names a container on a node.
type ContainerRef struct {
	Namespace, Pod, Container string
}

func (r ContainerRef) String() string {
	return r.Namespace + "/" + r.Pod + "/" + r.Container
}

// CPUSeconds is the CPU time consumed from the start until t, in core-seconds,
// with the rounding that a kubelet applies: a whole number of nanoseconds
// divided by 10⁹. It never falls.
func (c *Container) CPUSeconds(t time.Time) float64 {
	return seconds(c.cpuNanoseconds(t.UnixNano()))
}

// WorkingSet is the memory in use at t, in bytes; 0 before the start.
func (c *Container) WorkingSet(t time.Time) uint64 {
	return c.workingSet(t.UnixNano())
}

// ExpectedCPU is the usage in nanocores that a server must report for a window
// from t0 to t1 (both sample times, so whole milliseconds): the difference of
// the two counters as they were sent, over the length of the window.
func (c *Container) ExpectedCPU(t0, t1 time.Time) float64 {
	return expectedCPU(c.CPUSeconds(t0), c.CPUSeconds(t1), t1.Sub(t0))
}

func (c *Container) elapsed(ns int64) time.Duration {
	return time.Duration(ns - c.Start.UnixNano())
}

func (c *Container) cpuNanoseconds(ns int64) uint64 {
	return c.CPU.integral(c.elapsed(ns))
}

func (c *Container) workingSet(ns int64) uint64 { return c.bytes(c.Memory, ns) }
func (c *Container) swapUsage(ns int64) uint64  { return c.bytes(c.Swap, ns) }

func (c *Container) bytes(w Wave, ns int64) uint64 {
	elapsed := c.elapsed(ns)
	if elapsed < 0 {
		return 0
	}
	return uint64(math.Round(w.at(elapsed)))
}

func (c *Container) validate() error {
	if c.Name == "" {
		return errors.New("a container needs a name")
	}
	err := errors.Join(c.CPU.validateCPU(), c.Memory.validateBytes("memory"), c.Swap.validateBytes("swap"))
	if err != nil {
		return fmt.Errorf("container %q: %w", c.Name, err)
	}
	return nil
}

// seconds converts a counter as the kubelet does before it encodes it.
func seconds(ns uint64) float64 {
	return float64(ns) / float64(time.Second)
}

// expectedCPU takes the counters in core-seconds and gives nanocores.
func expectedCPU(first, last float64, window time.Duration) float64 {
	return (math.Round(last*1e9) - math.Round(first*1e9)) / window.Seconds()
}
