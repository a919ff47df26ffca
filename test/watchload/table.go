// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// column of a table.
type column struct {
	header string
	cell   func(r, first *Result) string
}

// costs are what the server uses. Memory is in MB.
var costs = []column{
	{"CPU s/s", func(r, _ *Result) string { return fmt.Sprintf("%.3f", r.CPU) }},
	{"ratio", func(r, first *Result) string { return ratio(r.CPU, first.CPU) }},
	{"CPU ms/scrape", func(r, _ *Result) string { return milliseconds(r.CPU / r.Scrapes) }},
	{"ratio", func(r, first *Result) string { return ratio(r.CPU/r.Scrapes, first.CPU/first.Scrapes) }},
	{"scrapes/s", func(r, _ *Result) string { return fmt.Sprintf("%.1f", r.Scrapes) }},
	{"RSS max", func(r, _ *Result) string { return megabytes(float64(r.ResidentMax)) }},
	{"RSS end", func(r, _ *Result) string { return megabytes(float64(r.ResidentEnd)) }},
	{"ratio", func(r, first *Result) string { return ratio(float64(r.ResidentEnd), float64(first.ResidentEnd)) }},
	{"heap in use", func(r, _ *Result) string { return megabytes(r.HeapInUse) }},
	{"after GC", func(r, _ *Result) string { return megabytes(r.HeapLive) }},
	{"ratio", func(r, first *Result) string { return ratio(r.HeapLive, first.HeapLive) }},
	{"goroutines", func(r, _ *Result) string { return fmt.Sprint(r.Goroutines) }},
	{"machine's CPU s/s", func(r, _ *Result) string { return fmt.Sprintf("%.2f", r.Machine) }},
}

// services are what the server does. Times are in ms.
var services = []column{
	{"events/s", func(r, _ *Result) string { return fmt.Sprintf("%.1f", r.Events) }},
	{"kB/s", func(r, _ *Result) string { return fmt.Sprintf("%.1f", r.Bytes/1000) }},
	{"alive/ended", func(r, _ *Result) string { return fmt.Sprintf("%d/%d", r.Alive, r.Watchers-r.Alive) }},
	{"terminated", func(r, _ *Result) string { return fmt.Sprint(r.Terminated) }},
	{"latest of a round", func(r, _ *Result) string { return milliseconds(r.TickMean) }},
	{"of all rounds", func(r, _ *Result) string { return "≤" + milliseconds(r.TickMax) }},
	{"fetch p99", func(r, _ *Result) string { return milliseconds(r.Fetch99) }},
	{"age p99", func(r, _ *Result) string { return milliseconds(r.Age99) }},
	{"list one p50", func(r, _ *Result) string { return milliseconds(r.listQuantile(0.5)) }},
	{"p99", func(r, _ *Result) string { return milliseconds(r.listQuantile(0.99)) }},
	{"lists", func(r, _ *Result) string { return fmt.Sprint(len(r.Lists)) }},
}

// printTables prints a row for each result, with ratios to the first.
func printTables(out io.Writer, first *Result, results []Result) {
	for _, columns := range [][]column{costs, services} {
		widths := make([]int, len(columns))
		for i, c := range columns {
			widths[i] = utf8.RuneCountInString(c.header)
			for j := range results {
				widths[i] = max(widths[i], utf8.RuneCountInString(c.cell(&results[j], first)))
			}
		}
		fmt.Fprintf(out, "%-20s", "phase")
		for i, c := range columns {
			fmt.Fprintf(out, "  %*s", widths[i], c.header)
		}
		fmt.Fprintln(out)
		for j := range results {
			fmt.Fprintf(out, "%-20s", results[j].Phase)
			for i, c := range columns {
				fmt.Fprintf(out, "  %*s", widths[i], c.cell(&results[j], first))
			}
			fmt.Fprintln(out)
		}
	}
}

func ratio(a, b float64) string           { return fmt.Sprintf("%.2f", a/b) }
func megabytes(bytes float64) string      { return fmt.Sprintf("%.1f", bytes/1e6) }
func milliseconds(seconds float64) string { return fmt.Sprintf("%.2f", 1000*seconds) }
