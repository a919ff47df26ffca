// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package leaktest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const processDir = "/proc"

// addChildren adds the processes that this one has started and not waited for, among
// them those that have ended.
func (r resources) addChildren() {
	self := strconv.Itoa(os.Getpid())
	for _, pid := range names(processDir) {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(processDir, pid, "stat"))
		if err != nil {
			continue // it has ended
		}
		if name, state, parent := parseStat(string(stat)); parent == self {
			r["child "+pid] = fmt.Sprintf("child process %s in state %s: %s", pid, state, command(pid, name))
		}
	}
}

// parseStat reads "pid (name) state parent ...", where the name may have spaces and
// parentheses.
func parseStat(stat string) (name, state, parent string) {
	begin, end := strings.Index(stat, "("), strings.LastIndex(stat, ")")
	if begin < 0 || end < begin {
		return "", "", ""
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 2 {
		return "", "", ""
	}
	return stat[begin+1 : end], fields[0], fields[1]
}

// command is how a process was started, or its name once it has ended.
func command(pid, name string) string {
	line, err := os.ReadFile(filepath.Join(processDir, pid, "cmdline"))
	if err != nil || len(line) == 0 {
		return name
	}
	return strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
}
