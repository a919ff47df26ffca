// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// column is a phase of a server.
type column struct {
	name string
	*tally
}

// row of a table. What is not known is empty, and a row without anything is left
// out.
type row struct {
	name string
	cell func(*tally) string
}

func (r *ScenarioReport) print(out io.Writer, o *Options) {
	s := r.Scenario
	fmt.Fprintf(out, "\n%s: %d nodes, %d pods; %s of the nodes hang, %s lie, and %s fail %s of their scrapes\n",
		s.Name, s.Nodes, s.Nodes*o.PodsPerNode, percent(s.Hanging), percent(s.Lying), percent(s.Flaky), percent(s.Failing))
	fmt.Fprintf(out, "resolution %s, timeout %s, seed %d; measured %s without faults, and %s from %s after they began\n",
		o.Resolution, o.Timeout, o.Seed, o.Calm, o.Measure, o.Settle)
	var columns []column
	for _, result := range r.Results {
		for _, c := range []column{{result.Name + ", no faults", result.calm}, {result.Name + ", faults", result.faults}} {
			if c.tally != nil {
				columns = append(columns, c)
			}
		}
	}
	table := newTable(out)
	table.row("", names(columns)...)
	for _, row := range rows() {
		var cells []string
		for _, c := range columns {
			cells = append(cells, row.cell(c.tally))
		}
		if strings.Join(cells, "") != "" {
			table.row(row.name, cells...)
		}
	}
	table.flush()
	for _, result := range r.Results {
		fmt.Fprintf(out, "%s: all was served %s after the start\n", result.Name, seconds(result.Ready))
	}
	for _, c := range columns {
		c.printDetails(out)
	}
	fmt.Fprintln(out, note)
}

// note says what the numbers do not.
const note = "Ages are up to 1 s too high, because timestamps are in whole seconds. A node's samples are\n" +
	"taken every 10 s, which adds as much to their ages; a pod's are taken when it is scraped."

func names(columns []column) (all []string) {
	for _, c := range columns {
		all = append(all, c.name)
	}
	return all
}

func (c column) printDetails(out io.Writer) {
	if c.firstWrong != nil {
		fmt.Fprintf(out, "%s: wrong values: %s; the first: %v\n", c.name, counts(c.wrong), c.firstWrong)
	}
	if len(c.passed) > 0 {
		fmt.Fprintf(out, "%s: untrue values of lying nodes: %s\n", c.name, counts(c.passed))
	}
	if c.firstFailure != nil {
		fmt.Fprintf(out, "%s: %d reads failed, the first: %v\n", c.name, c.failed, c.firstFailure)
	}
}

// counts are in the order of their names.
func counts(of map[string]int) string {
	var all []string
	for name, n := range of {
		all = append(all, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func rows() []row {
	all := []row{
		{"nodes served, mean", func(t *tally) string { return t.nodeTally.share() }},
		{"nodes served, least", func(t *tally) string { return percent(t.nodeTally.least) }},
		{"pods served, mean", func(t *tally) string { return t.podTally.share() }},
		{"pods served, least", func(t *tally) string { return percent(t.podTally.least) }},
		{"pods in HPA reads", func(t *tally) string { return part(t.hpaPods, t.hpaWanted) }},
		{"HPA reads with all pods", func(t *tally) string { return part(t.hpaWhole, t.hpaReads) }},
	}
	for c := range numClasses {
		all = append(all, classRows(c, c.String()+" nodes served", func(t *tally) *objects { return &t.nodeTally })...)
		all = append(all, classRows(c, "pods of "+c.String()+" nodes served", func(t *tally) *objects { return &t.podTally })...)
	}
	return append(all,
		row{"lists of nodes and of pods", func(t *tally) string { return fmt.Sprint(t.nodeTally.lists, " ", t.podTally.lists) }},
		row{"failed reads", func(t *tally) string { return fmt.Sprint(t.failed) }},
		row{"wrong values served", func(t *tally) string { return fmt.Sprint(total(t.wrong)) }},
		row{"untrue values of lying nodes", func(t *tally) string { return fmt.Sprint(total(t.passed)) }},
	)
}

func classRows(c class, name string, of func(*tally) *objects) []row {
	age := func(q float64) func(*tally) string {
		return func(t *tally) string {
			ages := of(t).ages[c]
			if len(ages) == 0 {
				return ""
			}
			return seconds(quantile(ages, q))
		}
	}
	all := []row{{name, func(t *tally) string { return part(of(t).served[c], of(t).lists*of(t).there[c]) }}}
	if c == healthy || c == flaky { // the others' samples are none, or not true
		all = append(all, row{"… age of samples, p50", age(0.5)}, row{"… p99", age(0.99)}, row{"… max", age(1)})
	}
	return all
}

func percent(v float64) string { return fmt.Sprintf("%.4g %%", 100*v) }

func part(n, of int) string {
	if of == 0 {
		return ""
	}
	return percent(float64(n) / float64(of))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// printTimelines prints a table for each outage, and one of all.
func printTimelines(out io.Writer, o *Options, servers [][]*Timeline) {
	binaryNames := []string{"server", "peer"}[:len(servers)]
	for i, length := range o.Outages {
		fmt.Fprintf(out, "\nfailed scrapes in a row: %d; intervals of %s since the first; part of the reads that had the node,\n"+
			"the pod, and all %d pods of its application, and the age of the pod's oldest sample\n", length, o.Resolution, podsPerApplication)
		table := newTable(out)
		var header []string
		for _, name := range binaryNames {
			header = append(header, name+": node", "pod", "HPA", "age")
		}
		table.row("interval", header...)
		for interval := range 1 + length + o.After {
			name := "before"
			if interval > 0 {
				name = fmt.Sprint(interval)
			}
			var cells []string
			for _, timelines := range servers {
				cells = append(cells, intervalCells(timelines[i].intervals(o.Resolution, o.After)[interval])...)
			}
			table.row(name, cells...)
		}
		table.flush()
	}
	fmt.Fprintf(out, "\nfailed scrapes in a row, and for how long the node, the pod and all pods of an HPA's read were not served\n")
	table := newTable(out)
	var header []string
	for _, name := range binaryNames {
		header = append(header, name+": node", "pod", "HPA", "oldest", "failing for", "wrong")
	}
	table.row("", header...)
	for i, length := range o.Outages {
		var cells []string
		for _, timelines := range servers {
			t := timelines[i]
			node, pod, hpa := t.Missing(o.ReadEvery)
			cells = append(cells, seconds(node), seconds(pod), seconds(hpa), seconds(t.oldest()), seconds(t.Lasted), fmt.Sprint(t.wrong()))
		}
		table.row(fmt.Sprint(length), cells...)
	}
	table.flush()
}

func intervalCells(readings []Reading) []string {
	if len(readings) == 0 {
		return []string{"", "", "", ""}
	}
	var node, pod, hpa int
	var age time.Duration
	for _, r := range readings {
		if r.Node {
			node++
		}
		if r.Pod {
			pod++
		}
		if r.HPAPods == podsPerApplication {
			hpa++
		}
		age = max(age, r.Age)
	}
	n := len(readings)
	cells := []string{part(node, n), part(pod, n), part(hpa, n), ""}
	if pod > 0 {
		cells[3] = seconds(age)
	}
	return cells
}

// table has its first column on the left, and numbers on the right.
type table struct {
	w *tabwriter.Writer
	// first is as wide as the widest name, which a writer that aligns on the right
	// cannot do by itself.
	rows  [][]string
	first int
}

func newTable(out io.Writer) *table {
	return &table{w: tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)}
}

func (t *table) row(name string, cells ...string) {
	t.rows = append(t.rows, append([]string{name}, cells...))
	t.first = max(t.first, len([]rune(name)))
}

func (t *table) flush() {
	for _, r := range t.rows {
		r[0] = fmt.Sprintf("%-*s", t.first, r[0])
		fmt.Fprintln(t.w, strings.Join(r, "\t")+"\t")
	}
	_ = t.w.Flush() // what the output says is the caller's affair
}
