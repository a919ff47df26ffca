// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"syscall"
)

// spareFiles are for all that is no connection of a kubelet.
const spareFiles = 1000

// RaiseFileLimit lets this process, and so the servers that it starts, have a
// connection for each node.
func RaiseFileLimit(nodes int) error {
	need := uint64(nodes + spareFiles)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= need && limit.Max >= need {
		// Setting it all the same hands it on to children, which Go else starts
		// with the limit that this process was started with.
		return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	raised := syscall.Rlimit{Cur: max(limit.Cur, need), Max: max(limit.Max, need)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
		return fmt.Errorf("%d nodes need %d open files, and the limit is %d: raise it with ulimit -Hn %d as root (%w)",
			nodes, need, limit.Max, need, err)
	}
	return nil
}
