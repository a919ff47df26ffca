// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// readyTimeout is generous: machines of continuous integration are slow.
const readyTimeout = 3 * time.Minute

// errPortTaken is in the error of a component that found its port in use.
var errPortTaken = errors.New("its port is in use")

// startComponent starts a part of the control plane and returns when ready
// reports no error.
func (c *Cluster) startComponent(ctx context.Context, name string, args []string, ready func(context.Context) error) (*Process, error) {
	begin := time.Now()
	c.log.printf("starting %s …", name)
	p, err := c.startProcess(name, c.binaries.path(name), args, nil)
	if err != nil {
		return nil, err
	}
	stop := c.log.heartbeat(func() string { return "waiting for " + name })
	defer stop()
	if err := awaitReady(ctx, p, ready); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	c.log.printf("%s ok (%s)", name, elapsed(begin))
	return p, nil
}

func awaitReady(ctx context.Context, p *Process, ready func(context.Context) error) error {
	deadline := time.After(readyTimeout)
	for {
		problem := tryReady(ctx, p, ready)
		if problem == nil {
			return nil
		}
		select {
		case <-p.exited:
			return earlyExit(p)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline:
			return fmt.Errorf("%s is not ready after %s (%w); %s", p.name, readyTimeout, problem, keepLog(p))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tryReady bounds one attempt, so that an answer that never comes, as from
// another process on the same port, does not hide that p has ended.
func tryReady(ctx context.Context, p *Process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	go func() {
		select {
		case <-p.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ready(ctx)
}

func earlyExit(p *Process) error {
	if strings.Contains(p.tail(100), "address already in use") {
		return fmt.Errorf("%s ended while it started (%w): %w", p.name, p.err, errPortTaken)
	}
	return fmt.Errorf("%s ended while it started (%w); %s", p.name, p.err, keepLog(p))
}

// keepLog says what is at the end of a log and copies it to where it survives
// the cluster.
func keepLog(p *Process) string {
	text := "the last lines of its log are:\n" + p.tail(20)
	data, err := os.ReadFile(p.logFile)
	if err != nil {
		return text
	}
	file, err := os.CreateTemp("", "kubemeter-"+p.name+"-*.log")
	if err != nil {
		return text
	}
	defer file.Close()
	if _, err := file.Write(data); err != nil {
		return text
	}
	return text + "\nthe whole log is " + file.Name()
}
