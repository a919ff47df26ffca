// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// anchorScript is the first member of the cluster's process group, whose id it
// keeps valid while all others come and go.
const anchorScript = `trap '' HUP INT TERM
while read -r _; do :; done`

// watchdogScript kills group $1 and removes folder $2 once its input ends. It
// waits until the group is empty, or a process on its way out could still write
// to the folder; not for ever, because a killed process stays a member where
// the machine's first process does not collect orphans.
const watchdogScript = `trap '' HUP INT TERM
while read -r _; do :; done
n=0
while kill -s KILL -- "-$1" 2>/dev/null && [ "$n" -lt 100 ]; do
	n=$((n + 1))
	sleep 0.1
done
rm -rf -- "$2"`

// watchdog ends a cluster's processes and removes its folder when the calling
// process is gone, however it ended. It and the group's anchor read from a pipe
// that only the calling process can write to, and the kernel closes that pipe
// in any case. (A parent-death signal would not do: it is sent when the thread
// that started the child ends, and it does not remove the folder.)
//
// All children share one process group, so that none has to be reported to the
// watchdog: it is right about those that start later, too. That group is not
// the terminal's, so that Ctrl-C reaches the calling process only and teardown
// is in its hands.
type watchdog struct {
	dir    string
	pipe   *os.File
	anchor *exec.Cmd
	killer *exec.Cmd
}

// startWatchdog guards folder dir.
func startWatchdog(dir string) (*watchdog, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open the watchdog's pipe: %w", err)
	}
	defer reader.Close()

	anchor := exec.Command("sh", "-c", anchorScript)
	anchor.Dir = "/"
	anchor.Stdin = reader
	anchor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := anchor.Start(); err != nil {
		writer.Close()
		return nil, fmt.Errorf("start the first process of the cluster's group: %w", err)
	}

	killer := exec.Command("sh", "-c", watchdogScript, "kubemeter-watchdog", strconv.Itoa(anchor.Process.Pid), dir)
	killer.Dir = "/"
	killer.Stdin = reader
	killer.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := killer.Start(); err != nil {
		writer.Close()
		return nil, errors.Join(fmt.Errorf("start the watchdog: %w", err), anchor.Wait())
	}
	return &watchdog{dir: dir, pipe: writer, anchor: anchor, killer: killer}, nil
}

// adopt makes a command that has not started yet a member of the group.
func (w *watchdog) adopt(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: w.anchor.Process.Pid}
}

// close kills the group, removes the folder and returns when both is done. It
// kills before it tells the watchdog, in case that was killed itself.
func (w *watchdog) close() error {
	// ESRCH means that the group is empty already.
	if err := syscall.Kill(-w.anchor.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill the cluster's process group: %w", err)
	}
	w.pipe.Close()
	// The anchor was killed and the watchdog has done its work or was killed:
	// how they ended tells nothing.
	_ = w.anchor.Wait()
	_ = w.killer.Wait()
	return os.RemoveAll(w.dir)
}
