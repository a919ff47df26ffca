// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/kubemeter/metrics-server/pkg/check"
)

// findingsPage has every code of a finding.
func findingsPage() string {
	codes, why := check.Codes()
	t := newTable("code", "severity", "why it matters")
	for _, c := range codes {
		t.row(code(string(c)), string(check.SeverityOf(c)), escape(why[c]))
	}
	var page strings.Builder
	page.WriteString("# Findings\n\nWhat [`metrics-server check`](troubleshooting.md#check) can find. " +
		"A finding also tells what was seen and, mostly, the command that mends it. The codes do not change: scripts find them as `code` in `-o json`.\n\n")
	page.WriteString(t.String())
	return page.String()
}
