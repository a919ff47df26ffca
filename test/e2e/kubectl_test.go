// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestKubectl(t *testing.T) {
	tests := []struct {
		args  string
		lines int
		has   []string
	}{
		{"top nodes", nodeCount + 1, []string{"CPU(cores)", "node-0"}},
		{"top pods -A", podCount + 1, []string{"ledger-0", "payments"}},
		{"top pods -n payments --containers", 0, []string{"audit"}},
		{"top pods -n checkout -l app=cart --sort-by=cpu", 0, []string{"cart-0"}},
		{"top node node-3", 2, []string{"node-3"}},
		{"top pod -n checkout cart-0", 2, []string{"cart-0"}},
		{"get nodes.metrics.k8s.io", nodeCount + 1, []string{"NAME", "CPU", "MEMORY", "WINDOW"}},
		{"get pods.v1.metrics.k8s.io -A", podCount + 1, []string{"NAMESPACE", "CPU", "MEMORY", "WINDOW"}},
		{"get podmetrics -A", podCount + 1, []string{"cart-0"}},
		{"get nodemetrics node-1 -o yaml", 0, []string{"kind: NodeMetrics", "usage:"}},
		{"explain podmetrics", 0, []string{"GROUP:      metrics.k8s.io", "KIND:       PodMetrics", "window", "timestamp", "containers"}},
		{"explain podmetrics.containers", 0, []string{"FIELD: containers", "name\t", "usage\t", "required"}},
		{"explain nodemetrics.usage --api-version=metrics.k8s.io/v1beta1", 0, []string{"VERSION:    v1beta1", "FIELD: usage"}},
		{"api-resources --api-group=metrics.k8s.io", 3, []string{"NodeMetrics", "PodMetrics"}},
	}
	for _, tt := range tests {
		out := kubectl(t, strings.Fields(tt.args)...)
		lines := strings.Count(out, "\n")
		if tt.lines != 0 && lines != tt.lines {
			t.Errorf("kubectl %s: %d lines, want %d:\n%s", tt.args, lines, tt.lines, out)
		}
		for _, has := range tt.has {
			if !strings.Contains(out, has) {
				t.Errorf("kubectl %s lacks %q:\n%s", tt.args, has, out)
			}
		}
	}
}

func TestKubectlAPIResources(t *testing.T) {
	got := rows(kubectl(t, "api-resources", "--api-group=metrics.k8s.io", "-o", "wide", "--no-headers"))
	want := [][]string{
		{"nodes", "metrics.k8s.io/v1", "false", "NodeMetrics", "get,list,watch"},
		{"pods", "metrics.k8s.io/v1", "true", "PodMetrics", "get,list,watch"},
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What kubectl prints while it watches continues the first table.
func TestKubectlWatches(t *testing.T) {
	tests := []struct {
		args    string
		objects int // at the beginning
		columns string
	}{
		{"get podmetrics -A -w", podCount, "NAMESPACE NAME CPU MEMORY WINDOW"},
		{"get pods.v1beta1.metrics.k8s.io -A -w", podCount, "NAMESPACE NAME CPU MEMORY WINDOW"},
		{"get podmetrics -n payments -w -o wide", podsIn("payments"), "NAME CPU MEMORY SWAP WINDOW"},
		{"get podmetrics -A -l app=cart -w --output-watch-events", podsOf("cart"), "EVENT NAMESPACE NAME CPU MEMORY WINDOW"},
		{"get nodes.metrics.k8s.io -w", nodeCount, "NAME CPU MEMORY WINDOW"},
		{"get nodemetrics node-1 -w -o wide", 1, "NAME CPU MEMORY SWAP WINDOW"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			columns := strings.Fields(tt.columns)
			name := slices.Index(columns, "NAME")
			// Some are told again, once there is a newer sample.
			got := rowsUntil(t, 1+tt.objects+min(tt.objects, 10), tt.args)
			if !slices.Equal(got[0], columns) {
				t.Errorf("the columns are %q, want %q", got[0], columns)
			}
			seen := map[string]int{}
			for i, row := range got[1:] {
				if len(row) != len(columns) {
					t.Errorf("row %d is %q, under %q", i, row, columns)
					continue
				}
				id := strings.Join(row[:name+1], "/")
				if columns[0] == "EVENT" {
					if want := [2]string{"ADDED", "MODIFIED"}[btoi(i >= tt.objects)]; row[0] != want {
						t.Errorf("row %d is %q, want an event %s", i, row, want)
					}
					id = strings.Join(row[1:name+1], "/")
				}
				if seen[id]++; i < tt.objects && seen[id] > 1 || i >= tt.objects && seen[id] < 2 {
					t.Errorf("row %d, %q, is the %d. of its object", i, row, seen[id])
				}
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func podsIn(namespace string) (n int) {
	for _, w := range local.Workload {
		n += btoi(w.Namespace == namespace)
	}
	return n
}

func podsOf(app string) (n int) {
	for _, w := range local.Workload {
		n += btoi(w.Labels["app"] == app)
	}
	return n
}

func rows(out string) (all [][]string) {
	for line := range strings.Lines(out) {
		all = append(all, strings.Fields(line))
	}
	return all
}

// rowsUntil runs a kubectl that does not end by itself until it has printed n
// lines.
func rowsUntil(t *testing.T, n int, args string) (all [][]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd, err := local.KubectlCommand(ctx, strings.Fields(args)...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for len(all) < n && scanner.Scan() {
		all = append(all, strings.Fields(scanner.Text()))
	}
	cancel()
	err = cmd.Wait() // it has been killed
	if len(all) < n {
		t.Fatalf("kubectl %s: %v after %d lines, want %d: %s\n%q", args, err, len(all), n, stderr.String(), all)
	}
	return all
}

func TestKubectlSelectsByField(t *testing.T) {
	var want []string
	for _, w := range local.Workload {
		if w.Node == node(t, 3) {
			want = append(want, w.Namespace+"/"+w.Name)
		}
	}
	slices.Sort(want)
	for _, args := range []string{
		// kubectl itself selects here, or asks the server, depending on its version.
		"top pods -A --no-headers --field-selector spec.nodeName=node-3",
		"get podmetrics -A --no-headers --field-selector spec.nodeName=node-3",
		"get pods.v1beta1.metrics.k8s.io -A --no-headers --field-selector=spec.nodeName=node-3,metadata.name!=none",
	} {
		var got []string
		for _, row := range rows(kubectl(t, strings.Fields(args)...)) {
			got = append(got, row[0]+"/"+row[1])
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("kubectl %s: %q, want %q", args, got, want)
		}
	}
	for resource, fields := range map[string]string{
		"podmetrics": "only by metadata.name, metadata.namespace, spec.nodeName", "nodemetrics": "only by metadata.name, metadata.namespace",
	} {
		out, err := local.Kubectl(t.Context(), "get", resource, "--field-selector=status.phase=Running")
		if err == nil || !strings.Contains(err.Error(), `"status.phase"`) || !strings.HasSuffix(err.Error(), fields) {
			t.Errorf("an unknown field of %s: %s%v", resource, out, err)
		}
	}
}

// The last column is the swap that the kubelets were told to produce.
func TestKubectlShowsSwap(t *testing.T) {
	pods, nodes := map[string]float64{}, map[string]float64{}
	for _, w := range local.Workload {
		for _, c := range w.Containers {
			pods[w.Namespace+"/"+w.Name] += c.Swap.Mean
			nodes[w.Node.Name()] += c.Swap.Mean
		}
	}
	mebibytes := func(bytes float64) string { return fmt.Sprintf("%.0fMi", bytes/(1<<20)) }
	table := rows(kubectl(t, "top", "pods", "-A", "--show-swap"))
	if header := strings.Join(table[0], " "); header != "NAMESPACE NAME CPU(cores) MEMORY(bytes) SWAP(bytes)" || len(table) != podCount+1 {
		t.Errorf("%d rows under %s", len(table)-1, header)
	}
	for _, row := range table[1:] {
		if want := mebibytes(pods[row[0]+"/"+row[1]]); row[len(row)-1] != want {
			t.Errorf("%q, want %s", row, want)
		}
	}
	table = rows(kubectl(t, "top", "nodes", "--show-swap"))
	if header := strings.Join(table[0], " "); header != "NAME CPU(cores) CPU(%) MEMORY(bytes) MEMORY(%) SWAP(bytes) SWAP(%)" || len(table) != nodeCount+1 {
		t.Errorf("%d rows under %s", len(table)-1, header)
	}
	for _, row := range table[1:] {
		if want := mebibytes(nodes[row[0]]); len(row) != 7 || row[5] != want || row[6] != "0%" {
			t.Errorf("%q, want %s and 0%%", row, want)
		}
	}
}

func TestKubectlListsInPages(t *testing.T) {
	const size = 7
	cmd, err := local.KubectlCommand(t.Context(), "get", "podmetrics", "-A", "--no-headers", fmt.Sprint("--chunk-size=", size), "-v=6")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var got, want [][]string
	for _, row := range rows(stdout.String()) {
		got = append(got, row[:2])
	}
	for _, w := range local.Workload {
		want = append(want, []string{w.Namespace, w.Name})
	}
	slices.SortFunc(want, slices.Compare)
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
	if pages := strings.Count(stderr.String(), fmt.Sprint("limit=", size)); pages != (podCount+size-1)/size {
		t.Errorf("%d pages:\n%s", pages, stderr.String())
	}
}
