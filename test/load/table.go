// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Print prints a table for each number of nodes, and what has failed.
func (r *Report) Print(out io.Writer) {
	resolution, _ := time.ParseDuration(r.Resolution) // 0 where it is not known
	for _, run := range r.Runs {
		run.print(out, resolution)
	}
	r.printFailures(out)
}

func (r *Report) printFailures(out io.Writer) {
	if failures := r.failures(); len(failures) > 0 {
		fmt.Fprintln(out, "\nfailed:")
		for _, f := range failures {
			fmt.Fprintln(out, "  "+f)
		}
	}
}

func (r *Run) print(out io.Writer, resolution time.Duration) {
	fmt.Fprintf(out, "\n%d nodes, %d pods, %d containers; %s\n", r.Nodes, r.Pods, r.Containers, r.Plane)
	for _, result := range r.Results {
		fmt.Fprintf(out, "%s: %s\n", result.Name, cmp.Or(result.Version, "version not known"))
	}
	server, peer := r.result("server"), r.result("peer")
	rows := [][]string{{"", "server", "peer", "ratio", "goal", ""}}
	for _, m := range measures(resolution) {
		s, p := m.value(server), m.value(peer)
		if !s.known && !p.known {
			continue
		}
		rows = append(rows, []string{m.name, m.cell(s), m.cell(p), ratio(s, p), m.goal.text(m.unit), m.goal.verdict(s, p)})
	}
	printRows(out, rows)
	fmt.Fprintln(out, note)
}

// note says what the numbers do not.
const note = `Servers, kubelets, clients and control plane share the machine's CPUs: compare the columns.
Samples seem up to 1 s older than they are, because their timestamps are in whole seconds.`

func (m *measure) value(r *Result) value {
	if r == nil {
		return value{}
	}
	return m.of(r)
}

func (m *measure) cell(v value) string {
	if !v.known {
		return "–"
	}
	return m.unit.format(v.v)
}

func ratio(server, peer value) string {
	if !server.known || !peer.known || server.v < 0 || peer.v <= 0 {
		return ""
	}
	return fmt.Sprintf("%.3f", server.v/peer.v)
}

// printRows aligns the first column and the last on the left, and numbers on the
// right.
func printRows(out io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i == 0 || i == len(row)-1 {
				fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
			} else {
				fmt.Fprintf(&line, "%*s  ", widths[i], cell)
			}
		}
		fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
	}
}
