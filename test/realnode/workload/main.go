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
package main

import (
	"fmt"
	"os"
	"os/signal"
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
		return fmt.Errorf("say what to do: idle, spin, burn, hold, end or crash")
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

// burn makes up later for what it did not get in time, so that the average holds on a
// busy machine, too.
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
	for start := time.Now(); ; {
		elapsed := time.Since(start)
		if end > 0 && elapsed > end {
			return nil
		}
		used, err := used()
		if err != nil {
			return err
		}
		if used > time.Duration(share/1000*float64(elapsed)) {
			time.Sleep(10 * time.Millisecond)
		}
	}
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
	held := make([]byte, n<<20)
	for i := 0; i < len(held); i += os.Getpagesize() {
		held[i] = 1
	}
	idle()
	held[0] = 0 // It is in use until here.
	return nil
}
