// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// Report is everything that was measured.
type Report struct {
	Began   time.Time
	Machine Machine
	// Options of the run, but for where it wrote.
	PodsPerNode, ContainersPerPod int
	Resolution, Measure           string
	Runs                          []*Run
}

// Machine is where a report comes from.
type Machine struct {
	Cores  int
	Kernel string
}

// Run is what was measured with one number of nodes.
type Run struct {
	Nodes, Pods, Containers int
	// Plane is what served the core API.
	Plane   string
	Results []*Result
	// Failures are those that no server is to blame for.
	Failures []string
}

// Result is what was measured of one server. Parts are missing where they could
// not be measured.
type Result struct {
	Name        string // server or peer
	Version     string // as the binary prints it, empty if it does not
	BinaryBytes int64
	// Idle is the memory with no nodes.
	Idle *Memory
	// NodesReady and Ready are the seconds from the start until all nodes, and then
	// all pods, were served. 0 stands for never.
	NodesReady, Ready float64
	Rest              *Rest
	Reads             []*Read
	HPA               *HPA
	Failures          []string
}

func (r *Result) fail(phase string, err error) {
	r.Failures = append(r.Failures, fmt.Sprintf("%s: %v", phase, err))
}

// read finds a kind of read; it is nil if that was not measured.
func (r *Result) read(name string) *Read {
	i := slices.IndexFunc(r.Reads, func(r *Read) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return r.Reads[i]
}

// result of a server, nil if there is none.
func (r *Run) result(name string) *Result {
	i := slices.IndexFunc(r.Results, func(r *Result) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return r.Results[i]
}

// failures of all servers and phases.
func (r *Report) failures() (all []string) {
	for _, run := range r.Runs {
		for _, f := range run.Failures {
			all = append(all, fmt.Sprintf("%d nodes: %s", run.Nodes, f))
		}
		for _, result := range run.Results {
			for _, f := range result.Failures {
				all = append(all, fmt.Sprintf("%d nodes, %s: %s", run.Nodes, result.Name, f))
			}
		}
	}
	return all
}

// Write saves the report as JSON.
func (r *Report) Write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// ReadReports reads what Write has saved, and merges the runs of all files, by
// their number of nodes. The last one of a number counts.
func ReadReports(files ...string) (*Report, error) {
	merged := &Report{}
	byNodes := map[int]*Run{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var r Report
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s is no report of a load run: %w", file, err)
		}
		for _, run := range r.Runs {
			byNodes[run.Nodes] = run
		}
		r.Runs = nil
		*merged = r
	}
	for _, run := range byNodes {
		merged.Runs = append(merged.Runs, run)
	}
	slices.SortFunc(merged.Runs, func(a, b *Run) int { return a.Nodes - b.Nodes })
	return merged, nil
}
