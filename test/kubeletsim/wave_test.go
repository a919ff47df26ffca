// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestConstantCPUIsExact(t *testing.T) {
	c := Container{Start: epoch, CPU: Constant(0.25)}
	for elapsed, want := range map[time.Duration]float64{
		-time.Second:             0,
		0:                        0,
		4 * time.Nanosecond:      1e-9,
		time.Minute:              15,
		365 * 24 * time.Hour:     7884000,
		15*time.Second + 4e6:     3.751,
		15*time.Second + 4e6 + 2: 3.751,
	} {
		if got := c.CPUSeconds(epoch.Add(elapsed)); got != want {
			t.Errorf("CPU seconds after %s = %v, want %v", elapsed, got, want)
		}
	}
	if got := c.ExpectedCPU(epoch.Add(7*time.Second), epoch.Add(22*time.Second)); got != 250e6 {
		t.Errorf("usage = %v nanocores, want 250 million", got)
	}
}

func TestWaveIsIntegratedAnalytically(t *testing.T) {
	c := Container{Start: epoch, CPU: Wave{Mean: 0.5, Amplitude: 0.4, Period: time.Minute, Phase: 7 * time.Second}}
	const step = time.Millisecond
	sum := 0.0
	for elapsed := time.Duration(0); elapsed < 100*time.Second; elapsed += step {
		// The midpoint rule, whose error is of the order of step².
		sum += c.CPU.at(elapsed+step/2) * step.Seconds()
		if got := c.CPUSeconds(epoch.Add(elapsed + step)); math.Abs(got-sum) > 1e-7 {
			t.Fatalf("CPU seconds after %s = %v, want %v", elapsed+step, got, sum)
		}
	}
	t0 := epoch.Add(13 * time.Second)
	if got := c.ExpectedCPU(t0, t0.Add(10*time.Minute)); math.Abs(got-500e6) > 1 {
		t.Errorf("usage over whole periods = %v nanocores, want the mean", got)
	}
}

// A wave must not lose precision with the age of the container.
func TestWaveRepeatsExactly(t *testing.T) {
	c := Container{Start: epoch, CPU: Wave{Mean: 0.5, Amplitude: 0.4, Period: 7 * time.Second, Phase: time.Second}}
	const periods = 5_000_000
	for elapsed := time.Duration(0); elapsed < 7*time.Second; elapsed += 100 * time.Millisecond {
		young := c.cpuNanoseconds(epoch.Add(elapsed).UnixNano())
		old := c.cpuNanoseconds(epoch.Add(elapsed + periods*7*time.Second).UnixNano())
		if grown := old - young; grown != periods*3_500_000_000 {
			t.Errorf("the counter has grown by %d ns from %s on", grown, elapsed)
		}
	}
}

func TestCounterNeverFalls(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := Container{Name: "c", Start: epoch}
		c.CPU.Mean = math.Pow(10, source.Float64()*8-6)
		c.CPU.Amplitude = c.CPU.Mean * maxCPUSwing
		c.CPU.Period = time.Second + time.Duration(source.Int64N(int64(24*time.Hour)))
		c.CPU.Phase = time.Duration(source.Int64N(int64(24 * time.Hour)))
		if err := c.validate(); err != nil {
			t.Fatal(err)
		}
		at, last := epoch.Add(time.Duration(source.Int64N(int64(300*24*time.Hour)))), uint64(0)
		for range 1000 {
			at = at.Add(time.Duration(1+source.Int64N(1000)) * time.Millisecond)
			counter := c.cpuNanoseconds(at.UnixNano())
			if counter < last {
				t.Fatalf("%+v: counter fell from %d to %d at %s", c, last, counter, at)
			}
			last = counter
		}
	}
}

func TestMemoryWave(t *testing.T) {
	c := Container{Start: epoch, Memory: Wave{Mean: 1000, Amplitude: 100, Period: time.Minute}}
	for elapsed, want := range map[time.Duration]uint64{
		-1: 0, 0: 1000, 15 * time.Second: 1100, 45 * time.Second: 900, time.Hour: 1000,
	} {
		if got := c.WorkingSet(epoch.Add(elapsed)); got != want {
			t.Errorf("working set after %s = %d, want %d", elapsed, got, want)
		}
	}
}

func TestPodRefusals(t *testing.T) {
	f := newFixture(t)
	container := func(set func(*Container)) Pod {
		c := Container{Name: "c", CPU: Constant(1)}
		set(&c)
		return Pod{Namespace: "ns", Name: "pod", Containers: []Container{c}}
	}
	cases := map[string]Pod{
		"needs a namespace": {Name: "pod"},
		"needs a name":      container(func(c *Container) { c.Name = "" }),
		"are named":         {Namespace: "ns", Name: "pod", Containers: []Container{{Name: "c"}, {Name: "c"}}},
		"use 0 to 256":      container(func(c *Container) { c.CPU.Mean = 300 }),
		"mean NaN":          container(func(c *Container) { c.CPU.Mean = math.NaN() }),
		"memory: mean -1":   container(func(c *Container) { c.Memory.Mean = -1 }),
		"swap: mean -1":     container(func(c *Container) { c.Swap.Mean = -1 }),
		"amplitude 2":       container(func(c *Container) { c.CPU.Amplitude = 2 }),
		"counter fall":      container(func(c *Container) { c.CPU.Amplitude, c.CPU.Period = 1, time.Second }),
		"period above 0":    container(func(c *Container) { c.Memory = Wave{Mean: 2, Amplitude: 1} }),
	}
	for want, pod := range cases {
		for name, err := range map[string]error{"SetPods": f.node.SetPods([]Pod{pod}), "AddPod": f.node.AddPod(pod)} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s = %v, want an error with %q", name, err, want)
			}
		}
	}
	good := container(func(*Container) {})
	if err := f.node.SetPods([]Pod{good, good}); err == nil {
		t.Error("SetPods takes a pod twice")
	}
	f.setPods(good)
	if err := f.node.AddPod(good); err == nil {
		t.Error("AddPod takes a pod that is there")
	}
	if err := f.node.SetOverhead(Constant(-1), Wave{}); err == nil {
		t.Error("SetOverhead takes a negative CPU usage")
	}
	if err := f.node.SetOverhead(Wave{}, Constant(-1)); err == nil {
		t.Error("SetOverhead takes a negative memory usage")
	}
}
