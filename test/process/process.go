// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package process reads in /proc what processes use. It needs Linux, and works
// for any program.
package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what a process has used so far, and has now.
type Usage struct {
	CPU time.Duration // in user and kernel mode
	// Resident memory, the most that was since the start or ResetPeak, and the part
	// of Resident that is no file's: heap and stacks. All are in bytes.
	Resident, Peak, Anonymous uint64
	// Machine is the CPU time of all processes together, which tells whether
	// others have disturbed a measurement.
	Machine time.Duration
}

// tick is the unit of CPU time in /proc, on all machines that Go runs on.
const tick = time.Second / 100

// Read reads the usage of a process. It fails if the process has ended.
func Read(pid int) (Usage, error) {
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
	return parse(string(process), string(status), string(machine))
}

// ResetPeak has the kernel take the present resident memory of a process for its
// peak. It fails if the process has ended, or belongs to another user.
func ResetPeak(pid int) error {
	const peakOnly = "5" // see proc_pid_clear_refs(5)
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte(peakOnly), 0)
}

// Waiting is how long the threads of a process that are there now have been ready
// to run and had no CPU, all added up. It grows where a machine has too few.
func Waiting(pid int) (total time.Duration, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread has ended
		}
		if err != nil {
			return 0, err
		}
		waiting, err := parseWaiting(string(text))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += waiting
	}
	return total, nil
}

// parseWaiting reads the second of three numbers, in nanoseconds.
func parseWaiting(schedstat string) (time.Duration, error) {
	fields := strings.Fields(schedstat)
	if len(fields) < 2 {
		return 0, fmt.Errorf("not the schedstat of a thread: %q", schedstat)
	}
	n, err := strconv.ParseInt(fields[1], 10, 64)
	return time.Duration(n), err
}

// Available is the memory in bytes that the machine can give to processes without
// swapping.
func Available() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return statusBytes(string(text), "MemAvailable:")
}

func parse(process, status, machine string) (u Usage, err error) {
	var errs [5]error
	u.CPU, errs[0] = processTime(process)
	u.Resident, errs[1] = statusBytes(status, "VmRSS:")
	u.Peak, errs[2] = statusBytes(status, "VmHWM:")
	u.Anonymous, errs[3] = statusBytes(status, "RssAnon:")
	u.Machine, errs[4] = machineTime(machine)
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

// statusBytes reads a size in /proc/<pid>/status, or in /proc/meminfo.
func statusBytes(status, field string) (uint64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, field); ok {
			kibibytes, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 54)
			return kibibytes << 10, err
		}
	}
	return 0, fmt.Errorf("there is no %s in it: the process has ended", strings.TrimSuffix(field, ":"))
}
