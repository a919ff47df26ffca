// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used so far, and has now.
type Usage struct {
	CPU      time.Duration // in user and kernel mode
	Resident uint64        // bytes
	// Machine is the CPU time of all processes together, which tells whether
	// others have disturbed a measurement.
	Machine time.Duration
}

// tick is the unit of CPU time in /proc, on all machines that Go runs on.
const tick = time.Second / 100

// ProcessUsage reads the usage of a process. It needs Linux.
func ProcessUsage(pid int) (Usage, error) {
	process, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, err
	}
	machine, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Usage{}, err
	}
	return parseUsage(string(process), string(status), string(machine))
}

func parseUsage(process, status, machine string) (u Usage, err error) {
	var errs [3]error
	u.CPU, errs[0] = processTime(process)
	u.Resident, errs[1] = residentBytes(status)
	u.Machine, errs[2] = machineTime(machine)
	return u, errors.Join(errs[:]...)
}

// processTime reads utime and stime in /proc/<pid>/stat. The process's name,
// which comes second, may have spaces and parentheses.
func processTime(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("not the stat of a process: %q", stat)
	}
	return sumTicks(fields[11:13])
}

// machineTime reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq and softirq.
func machineTime(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("not the stat of a machine: %q", line)
	}
	return sumTicks(append(fields[1:4:4], fields[6:8]...))
}

func sumTicks(numbers []string) (total time.Duration, err error) {
	for _, s := range numbers {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(n) * tick
	}
	return total, nil
}

// residentBytes reads VmRSS in /proc/<pid>/status.
func residentBytes(status string) (uint64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kibibytes, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 54)
			return kibibytes << 10, err
		}
	}
	return 0, errors.New("the process's status has no VmRSS: it has ended")
}
