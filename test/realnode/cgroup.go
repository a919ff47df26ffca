// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const cgroups = "/sys/fs/cgroup"

// removerScript removes the groups named $1 once its input ends. The processes in them
// are on their way out then.
const removerScript = `trap '' HUP INT TERM
while read -r _; do :; done
n=0
while [ "$n" -lt 200 ]; do
	left=$(find /sys/fs/cgroup -maxdepth 2 -type d -name "$1")
	[ -n "$left" ] || exit 0
	find $left -depth -type d -exec rmdir {} + 2>/dev/null
	n=$((n + 1))
	sleep 0.1
done
echo "these control groups could not be removed: $left" >&2
exit 1`

// cgroupRemover removes a node's control groups, which no namespace takes along, when
// the calling process is gone, however it ended.
type cgroupRemover struct {
	pipe *os.File
	cmd  *exec.Cmd
	errs strings.Builder
}

func startCgroupRemover(name string) (*cgroupRemover, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	r := &cgroupRemover{pipe: writer, cmd: exec.Command("sh", "-c", removerScript, "kubemeter-cgroups", name)}
	r.cmd.Dir, r.cmd.Stdin, r.cmd.Stderr = "/", reader, &r.errs
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := r.cmd.Start(); err != nil {
		writer.Close()
		return nil, fmt.Errorf("start what removes the node's control groups: %w", err)
	}
	return r, nil
}

// close returns when they are gone.
func (r *cgroupRemover) close() error {
	r.pipe.Close()
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, r.errs.String())
	}
	return nil
}

// containerCgroup returns the file of a container's group, by the names that it has in
// versions 1 and 2 of control groups.
func (n *Node) containerCgroup(id, controller, v1, v2 string) (text string, err error) {
	hierarchy, file := filepath.Join(cgroups, controller), v1
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		hierarchy, file = cgroups, v2
	}
	// Pods that are guaranteed their resources are not in a group of their class.
	for _, pattern := range []string{"kubepods/pod*", "kubepods/*/pod*"} {
		found, err := filepath.Glob(filepath.Join(hierarchy, n.cgroup, pattern, id, file))
		if err != nil {
			return "", err
		}
		if len(found) == 1 {
			text, err := os.ReadFile(found[0])
			return string(text), err
		}
	}
	return "", fmt.Errorf("container %s has no control group: %w", id, errors.ErrUnsupported)
}
