// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long Stop waits after SIGTERM. Generic API servers finish
// running requests first.
const stopGrace = 20 * time.Second

// Process is a child process that lives no longer than its group. Its methods
// are safe for concurrent use.
type Process struct {
	name    string
	cmd     *exec.Cmd
	logFile string
	exited  chan struct{}
	err     error // of the exit; written before exited is closed
}

// PID returns the process id.
func (p *Process) PID() int {
	return p.cmd.Process.Pid
}

// LogFile returns the path of the file that holds the process' output. It is
// removed with its group.
func (p *Process) LogFile() string {
	return p.logFile
}

// Exited returns a channel that is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} {
	return p.exited
}

// Wait blocks until the process has ended. The error is nil for exit status 0
// and else an *exec.ExitError, also for an end by a signal.
func (p *Process) Wait() error {
	<-p.exited
	return p.err
}

// Stop sends SIGTERM and waits for the end. A process that is still there after
// 20 seconds is killed, which is reported as an error. How a process that ends
// in time exits is told by Wait. A process that has ended before is no error.
func (p *Process) Stop() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopGrace):
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("%s did not end within %s of SIGTERM and was killed; the last lines of its log are:\n%s", p.name, stopGrace, p.tail(20))
}

// Kill sends SIGKILL and waits for the end.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return nil
}

func (p *Process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to %s (pid %d): %w", s, p.name, p.PID(), err)
	}
	return nil
}

// tail returns the last n lines of the log.
func (p *Process) tail(n int) string {
	data, err := os.ReadFile(p.logFile)
	if err != nil {
		return fmt.Sprintf("(the log cannot be read: %v)", err)
	}
	return lastLines(data, n)
}

func lastLines(text []byte, n int) string {
	lines := slices.Collect(bytes.Lines(text))
	last := bytes.Join(lines[max(0, len(lines)-n):], nil)
	return strings.TrimRight(string(last), "\n")
}
