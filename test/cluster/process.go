// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long Stop waits after SIGTERM. Generic API servers finish
// running requests first.
const stopGrace = 20 * time.Second

// Process is a child process that lives no longer than its cluster. Its methods
// are safe for concurrent use.
type Process struct {
	name    string
	cmd     *exec.Cmd
	logFile string
	exited  chan struct{}
	err     error // of the exit; written before exited is closed
}

// StartProcess starts an executable that ends with the cluster at the latest,
// even if the calling process crashes: a server under test, for example. Its
// standard output and error go to a file in the cluster's folder and, unless
// log is nil, to log as well. On Stop of the cluster it gets SIGTERM while the
// control plane is still up.
func (c *Cluster) StartProcess(name, path string, args []string, log io.Writer) (*Process, error) {
	p, err := c.startProcess(name, path, args, log)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.guests = append(c.guests, p)
	c.mu.Unlock()
	return p, nil
}

func (c *Cluster) startProcess(name, path string, args []string, log io.Writer) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, fmt.Errorf("start %s: %w", name, errStopped)
	}
	// Appending keeps what a process wrote before it was restarted.
	logFile := filepath.Join(c.dir, "logs", name+".log")
	file, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: open its log: %w", name, err)
	}
	var out io.Writer = file
	if log != nil {
		out = io.MultiWriter(file, log)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = c.dir
	cmd.Stdout, cmd.Stderr = out, out
	// A child of the child that kept the output open would block Wait.
	cmd.WaitDelay = time.Second
	c.watchdog.adopt(cmd)
	if err := cmd.Start(); err != nil {
		file.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{name: name, cmd: cmd, logFile: logFile, exited: make(chan struct{})}
	c.processes = append(c.processes, p)
	go func() {
		p.err = cmd.Wait()
		file.Close()
		close(p.exited)
	}()
	return p, nil
}

// PID returns the process id.
func (p *Process) PID() int {
	return p.cmd.Process.Pid
}

// LogFile returns the path of the file that holds the process' output. It is
// removed with the cluster.
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
