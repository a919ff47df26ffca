// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// ReportFile is the name of the report in the folder of Options.Out.
const ReportFile = "soak.json"

// Report is what a run has shown.
type Report struct {
	Began           time.Time
	Nodes, Pods     int
	Churn, Failing  float64
	Resolution, For string
	Seed            uint64
	// NodesReplaced and PodsReplaced are how many have been, PodsReplaced with those
	// of replaced nodes, and KubeletsFailed is how often one has begun to fail.
	NodesReplaced, PodsReplaced, KubeletsFailed int
	Findings                                    *Findings
	Rows                                        []Row
	Samples                                     []Sample
	ServerLog                                   string
}

// Row is a measure at some points of the run: after the warm-up, after each quarter,
// and at the end. Each is the median of the samples of a twentieth of the run.
type Row struct {
	Name   string
	Points [5]float64
	// Slope is how much it grows in an hour, by least squares of all samples.
	Slope float64
	// Bound is what the last point may be at most, 0 for any.
	Bound float64 `json:",omitempty"`
	unit  float64
}

// measure is a row to be. At the end it may be a part more than after the warm-up, and
// a little: what comes and goes is not the same at two times.
type measure struct {
	name         string
	of           func(*Sample) float64
	unit         float64
	part, little float64 // both are 0 where it is not bounded
}

const mebi = 1 << 20

var measures = [...]measure{
	{"resident memory, MiB", func(s *Sample) float64 { return s.Resident }, mebi, 0.15, 16 * mebi},
	{"… anonymous, MiB", func(s *Sample) float64 { return s.Anonymous }, mebi, 0.15, 16 * mebi},
	{"heap in use, MiB", func(s *Sample) float64 { return s.HeapInUse }, mebi, 0.2, 16 * mebi},
	{"goroutines", func(s *Sample) float64 { return s.Goroutines }, 1, 0.1, 50},
	{"threads", func(s *Sample) float64 { return s.Threads }, 1, 0.5, 10},
	{"open descriptors", func(s *Sample) float64 { return s.Files }, 1, 0.1, 50},
	{"series of /metrics", func(s *Sample) float64 { return s.Series }, 1, 0.02, 100},
	{"nodes served", func(s *Sample) float64 { return s.NodesServed }, 1, 0, 0},
	{"pods served", func(s *Sample) float64 { return s.PodsServed }, 1, 0, 0},
	{"containers held", func(s *Sample) float64 { return s.Containers }, 1, 0.05, 50},
	{"CPU, cores", func(s *Sample) float64 { return s.CPU }, 1, 0, 0},
}

// rows sums up the samples.
func rows(samples []Sample) (all []Row) {
	for _, m := range measures {
		r := Row{Name: m.name, unit: m.unit}
		values := make([]float64, len(samples))
		for i := range samples {
			values[i] = m.of(&samples[i])
		}
		size := max(1, len(values)/20)
		for i := range r.Points {
			from := i * (len(values) - size) / (len(r.Points) - 1)
			r.Points[i] = median(values[from : from+size])
		}
		r.Slope = slope(samples, values)
		if m.part > 0 {
			r.Bound = r.Points[0]*(1+m.part) + m.little
		}
		all = append(all, r)
	}
	return all
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// slope is by least squares, in an hour.
func slope(samples []Sample, values []float64) float64 {
	var x, y, xx, xy float64
	for i, v := range values {
		h := samples[i].At.Hours()
		x, y, xx, xy = x+h, y+v, xx+h*h, xy+h*v
	}
	n := float64(len(values))
	if d := n*xx - x*x; d > 0 {
		return (n*xy - x*y) / d
	}
	return 0
}

// problem is nil if nothing has grown and all that was served was true and whole.
func (r *Report) problem() error {
	all := []error{r.Findings.problem()}
	for _, row := range r.Rows {
		if end := row.Points[len(row.Points)-1]; row.Bound > 0 && end > row.Bound {
			all = append(all, fmt.Errorf("%s: %.1f at the end, and %.1f after the warm-up: at most %.1f may be", row.Name, end/row.unit, row.Points[0]/row.unit, row.Bound/row.unit))
		}
	}
	return errors.Join(all...)
}

func (r *Report) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// Print prints the table.
func (r *Report) Print(out io.Writer) {
	fmt.Fprintf(out, "\n%d nodes, %d pods; %.0f %% of each replaced a minute, %.0f %% of the nodes fail at any time; resolution %s, %s after the warm-up, seed %d\n",
		r.Nodes, r.Pods, 100*r.Churn, 100*r.Failing, r.Resolution, r.For, r.Seed)
	fmt.Fprintf(out, "replaced: %d nodes, %d pods with those of replaced nodes; %d failures of kubelets\n", r.NodesReplaced, r.PodsReplaced, r.KubeletsFailed)
	f := r.Findings
	fmt.Fprintf(out, "checked: %d values in %d lists, %d events of %d watches, of which the server ended %d\n", f.Objects, f.Lists, f.Events, f.Watches, f.Ended)
	fmt.Fprintf(out, "wrong values: %d, missing: %d, stale: %d, failed requests: %d\n", f.Wrong, f.Missing, f.Stale, f.Failed)
	for _, first := range f.First {
		fmt.Fprintln(out, "  the first:", first)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.Join([]string{"", "start", "1/4", "1/2", "3/4", "end", "an hour", "bound", ""}, "\t"))
	for _, row := range r.Rows {
		cells := []string{row.Name}
		for _, p := range row.Points {
			cells = append(cells, number(p/row.unit))
		}
		bound := ""
		if row.Bound > 0 {
			bound = number(row.Bound / row.unit)
		}
		fmt.Fprintln(w, strings.Join(append(cells, fmt.Sprintf("%+.2f", row.Slope/row.unit), bound, ""), "\t"))
	}
	_ = w.Flush() // what the output says is the caller's affair
}

func number(v float64) string {
	if v == math.Trunc(v) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
