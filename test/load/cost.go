// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/kubemeter/metrics-server/test/process"
)

// Cost is what a phase has taken of the machine. CPU is in cores: seconds of CPU
// time per second.
type Cost struct {
	Seconds float64
	// Server is the server's own, Harness that of the kubelets and clients, and
	// Machine that of all processes.
	Server, Harness, Machine float64
	// Waiting is how long the server's threads were ready and had no CPU, in seconds
	// per second. Where it comes near Server, times are those of a machine that is
	// too small.
	Waiting float64
	// HarnessResident is the harness's memory, and Available what the machine had
	// left, in bytes, at the end.
	HarnessResident, Available uint64
}

// busy is the part of the machine's CPU time that was used.
func (c Cost) busy() float64 { return c.Machine / float64(runtime.NumCPU()) }

// Memory of a server in bytes.
type Memory struct {
	// Resident is all that is in memory, Anonymous the part that is no file's.
	Resident, Anonymous uint64
}

// meter measures a phase.
type meter struct {
	pid   int
	began time.Time
	first reading
}

type reading struct {
	server, harness process.Usage
	waiting         time.Duration
}

func startMeter(pid int) (*meter, error) {
	m := &meter{pid: pid}
	var err error
	m.first, err = m.read()
	m.began = time.Now()
	return m, err
}

func (m *meter) read() (r reading, err error) {
	if r.harness, err = process.Read(os.Getpid()); err != nil {
		return r, fmt.Errorf("the usage of the harness: %w", err)
	}
	if r.server, err = process.Read(m.pid); err != nil {
		return r, fmt.Errorf("the usage of the server: %w", err)
	}
	r.waiting, err = process.Waiting(m.pid)
	return r, err
}

// cost since the start, and what the server uses now.
func (m *meter) cost() (Cost, process.Usage, error) {
	last, err := m.read()
	if err != nil {
		return Cost{}, last.server, err
	}
	available, err := process.Available()
	seconds := time.Since(m.began).Seconds()
	perSecond := func(from, to time.Duration) float64 { return (to - from).Seconds() / seconds }
	return Cost{
		Seconds:         seconds,
		Server:          perSecond(m.first.server.CPU, last.server.CPU),
		Harness:         perSecond(m.first.harness.CPU, last.harness.CPU),
		Machine:         perSecond(m.first.server.Machine, last.server.Machine),
		Waiting:         perSecond(m.first.waiting, last.waiting),
		HarnessResident: last.harness.Resident,
		Available:       available,
	}, last.server, err
}
