// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Command workload uses a known amount of CPU or memory, as the one program of the
// containers of a test.
//
//	workload idle
//	workload spin               as much CPU as the container's limit allows
//	workload burn MILLICORES    on average, since the start
//	workload hold MIB           of anonymous memory, touched
//	workload end MILLICORES FOR ends well after that time
//	workload crash MILLICORES FOR
//	workload follow FILE        what the file says at each time
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to do: idle, spin, burn, hold, end, crash or follow")
	}
	// Without it, memory is returned to the kernel at times of the runtime's choice.
	debug.SetGCPercent(-1)
	switch what, numbers := args[0], args[1:]; {
	case what == "idle":
		idle()
	case what == "spin":
		for { //nolint:staticcheck // The CPU is what it is for.
		}
	case what == "burn" && len(numbers) == 1:
		return burn(numbers[0], "")
	case what == "hold" && len(numbers) == 1:
		return hold(numbers[0])
	case what == "end" && len(numbers) == 2:
		return burn(numbers[0], numbers[1])
	case what == "crash" && len(numbers) == 2:
		if err := burn(numbers[0], numbers[1]); err != nil {
			return err
		}
		os.Exit(1)
	case what == "follow" && len(numbers) == 1:
		return follow(numbers[0])
	default:
		return fmt.Errorf("%q is not what this program can do", args)
	}
	return nil
}

// idle ends on SIGTERM: the first process of a container is not killed by it unless it
// asks for it.
func idle() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
}

// burn ends after a length that is not empty.
func burn(millicores, length string) error {
	share, err := strconv.ParseFloat(millicores, 64)
	if err != nil {
		return err
	}
	var end time.Duration
	if length != "" {
		if end, err = time.ParseDuration(length); err != nil {
			return err
		}
	}
	p := pace{start: time.Now(), millicores: share}
	for end == 0 || time.Since(p.start) <= end {
		if err := p.keep(); err != nil {
			return err
		}
	}
	return nil
}

// pace is a use of CPU from a time on.
type pace struct {
	start      time.Time
	before     time.Duration // what had been used by then
	millicores float64
}

// keep returns soon. It makes up later for what it did not get in time, so that the
// average holds on a busy machine, too.
func (p pace) keep() error {
	used, err := used()
	if err != nil {
		return err
	}
	if used-p.before > time.Duration(p.millicores/1000*float64(time.Since(p.start))) {
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

func used() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func hold(mebibytes string) error {
	n, err := strconv.Atoi(mebibytes)
	if err != nil {
		return err
	}
	held := touched(n)
	idle()
	held[0] = 0 // It is in use until here.
	return nil
}

func touched(mebibytes int) []byte {
	held := make([]byte, mebibytes<<20)
	for i := 0; i < len(held); i += os.Getpagesize() {
		held[i] = 1
	}
	return held
}

// follow creates the file. Others write millicores and MiB to it, each of eight digits,
// with a space between them.
func follow(file string) error {
	f, err := os.OpenFile(file, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var held []byte
	var last, record [17]byte
	p := pace{start: time.Now()}
	for {
		// It is written at once, so that it is read whole.
		if _, err := f.ReadAt(record[:], 0); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if record != last {
			last = record
			var millicores, mebibytes int
			if _, err := fmt.Sscanf(string(record[:]), "%08d %08d", &millicores, &mebibytes); err != nil {
				return fmt.Errorf("%s has %q: %w", file, record, err)
			}
			before, err := used()
			if err != nil {
				return err
			}
			p = pace{start: time.Now(), before: before, millicores: float64(millicores)}
			held = touched(mebibytes)
			debug.FreeOSMemory() // what was held until now
		}
		if err := p.keep(); err != nil {
			return err
		}
		runtime.KeepAlive(held)
	}
}
