// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// ProcessGroup is a folder and child processes. All end, and the folder is
// removed, on Stop, when the context of its start ends, and when the calling
// process exits for any reason. Its methods are safe for concurrent use.
type ProcessGroup struct {
	dir      string
	log      *progress
	watchdog *watchdog
	stop     func()

	mu        sync.Mutex
	stopped   bool
	processes []*Process // all
	guests    []*Process // those of StartProcess
}

// StartProcessGroup makes a group without processes, for servers that need no
// control plane. Log gets a line about what goes wrong while it is stopped; nil
// keeps it silent.
func StartProcessGroup(ctx context.Context, log io.Writer) (*ProcessGroup, error) {
	return startProcessGroup(ctx, newProgress(log))
}

func startProcessGroup(ctx context.Context, log *progress) (*ProcessGroup, error) {
	dir, err := os.MkdirTemp("", "kubemeter-cluster-")
	if err != nil {
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	watchdog, err := startWatchdog(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	g := &ProcessGroup{dir: dir, log: log, watchdog: watchdog}
	g.stop = sync.OnceFunc(g.tearDown)
	context.AfterFunc(ctx, g.stop)
	return g, nil
}

// Stop stops everything that the group started and removes its folder: first the
// processes of StartProcess, the latest first, with SIGTERM; then the control
// plane, which has nothing to save, at once. Repeated and concurrent calls return
// when all is done.
func (g *ProcessGroup) Stop() {
	g.stop()
}

func (g *ProcessGroup) tearDown() {
	g.mu.Lock()
	g.stopped = true
	guests, processes := slices.Clone(g.guests), slices.Clone(g.processes)
	g.mu.Unlock()

	for _, p := range slices.Backward(guests) {
		if err := p.Stop(); err != nil {
			g.log.printf("%v", err)
		}
	}
	if err := g.watchdog.close(); err != nil {
		g.log.printf("stop the cluster: %v", err)
	}
	for _, p := range processes {
		<-p.exited
	}
}

// errStopped is what a stopped group answers: the number of its process group
// may be another's.
var errStopped = errors.New("the cluster has been stopped")

func (g *ProcessGroup) checkRunning() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return errStopped
	}
	return nil
}

// Dir returns the group's folder, which is removed with it. Logs are in its
// folder logs.
func (g *ProcessGroup) Dir() string {
	return g.dir
}

// StartProcess starts an executable that ends with the group at the latest, even
// if the calling process crashes: a server under test, for example. Its standard
// output and error go to a file in the group's folder and, unless log is nil, to
// log as well. On Stop of the group it gets SIGTERM while the control plane is
// still up.
func (g *ProcessGroup) StartProcess(name, path string, args []string, log io.Writer) (*Process, error) {
	p, err := g.startProcess(name, path, args, log)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.guests = append(g.guests, p)
	g.mu.Unlock()
	return p, nil
}

func (g *ProcessGroup) startProcess(name, path string, args []string, log io.Writer) (*Process, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return nil, fmt.Errorf("start %s: %w", name, errStopped)
	}
	// Appending keeps what a process wrote before it was restarted.
	logFile := filepath.Join(g.dir, "logs", name+".log")
	file, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: open its log: %w", name, err)
	}
	var out io.Writer = file
	if log != nil {
		out = io.MultiWriter(file, log)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = g.dir
	cmd.Stdout, cmd.Stderr = out, out
	// A child of the child that kept the output open would block Wait.
	cmd.WaitDelay = time.Second
	g.watchdog.adopt(cmd)
	if err := cmd.Start(); err != nil {
		file.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{name: name, cmd: cmd, logFile: logFile, exited: make(chan struct{})}
	g.processes = append(g.processes, p)
	go func() {
		p.err = cmd.Wait()
		file.Close()
		close(p.exited)
	}()
	return p, nil
}
