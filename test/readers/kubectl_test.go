// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const (
	cpu    = corev1.ResourceCPU
	memory = corev1.ResourceMemory
	swap   = corev1.ResourceName("swap")
)

// rows are the words of a table's lines.
type rows [][]string

func rowsOf(text string) (all rows) {
	for line := range strings.Lines(text) {
		all = append(all, strings.Fields(line))
	}
	return all
}

// quantity is a usage as kubectl prints it.
func quantity(u corev1.ResourceList, name corev1.ResourceName) string {
	value := u[name]
	if name == cpu {
		return fmt.Sprintf("%dm", value.MilliValue())
	}
	return fmt.Sprintf("%dMi", value.Value()>>20)
}

func quantities(u corev1.ResourceList, names []corev1.ResourceName) (all []string) {
	for _, name := range names {
		all = append(all, quantity(u, name))
	}
	return all
}

// top is what kubectl has to show.
type top struct {
	nodes, allocatable map[string]corev1.ResourceList
	pods               map[string][]metricsv1beta1.ContainerMetrics
	labels             map[string]string // app of each pod
}

func newTop(t *testing.T) *top {
	t.Helper()
	e := &top{allocatable: map[string]corev1.ResourceList{}, labels: map[string]string{}}
	e.nodes, e.pods = servedUsage(t)
	list, err := local.Client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list.Items {
		n.Status.Allocatable[swap] = *resource.NewQuantity(*n.Status.NodeInfo.Swap.Capacity, resource.BinarySI)
		e.allocatable[n.Name] = n.Status.Allocatable
	}
	for _, w := range local.Workload {
		e.labels[w.Namespace+"/"+w.Name] = "app=" + w.Labels["app"]
	}
	return e
}

func (e *top) nodeTable(names ...corev1.ResourceName) (all rows) {
	for _, node := range slices.Sorted(maps.Keys(e.nodes)) {
		line := []string{node}
		for _, name := range names {
			used, of := e.nodes[node][name], e.allocatable[node][name]
			percent := int(float64(used.MilliValue()) / float64(of.MilliValue()) * 100)
			line = append(line, quantity(e.nodes[node], name), fmt.Sprintf("%d%%", percent))
		}
		all = append(all, line)
	}
	return all
}

// podTable has the pods whose namespace and label begin with what is given.
func (e *top) podTable(in, label string, names ...corev1.ResourceName) (all rows) {
	for _, pod := range slices.Sorted(maps.Keys(e.pods)) {
		where, name, _ := strings.Cut(pod, "/")
		if strings.HasPrefix(where, in) && strings.HasPrefix(e.labels[pod], label) {
			all = append(all, append([]string{where, name}, quantities(sum(e.pods[pod]), names)...))
		}
	}
	return all
}

func (e *top) containerTable(names ...corev1.ResourceName) (all rows) {
	for _, pod := range slices.Sorted(maps.Keys(e.pods)) {
		where, name, _ := strings.Cut(pod, "/")
		containers := slices.SortedFunc(slices.Values(e.pods[pod]), func(a, b metricsv1beta1.ContainerMetrics) int {
			return strings.Compare(a.Name, b.Name)
		})
		for _, c := range containers {
			all = append(all, append([]string{where, name, c.Name}, quantities(c.Usage, names)...))
		}
	}
	return all
}

// total is the last two lines of --sum.
func (e *top) total() rows {
	var all []metricsv1beta1.ContainerMetrics
	for _, containers := range e.pods {
		all = append(all, containers...)
	}
	return rows{{"________", "________"}, quantities(sum(all), []corev1.ResourceName{cpu, memory})}
}

// under puts names of columns above rows.
func (r rows) under(columns string) rows { return append(rows{strings.Fields(columns)}, r...) }

// withoutFirst is for tables without namespaces.
func (r rows) withoutFirst() (all rows) {
	for _, line := range r {
		all = append(all, line[1:])
	}
	return all
}

func TestKubectlTop(t *testing.T) {
	e := newTop(t)
	const (
		pods     = "NAMESPACE NAME CPU(cores) MEMORY(bytes)"
		nodes    = "NAME CPU(cores) CPU(%) MEMORY(bytes) MEMORY(%)"
		noColumn = -1
	)
	tests := []struct {
		args string
		want rows
		// sorted is the column by which the lines are sorted, equal ones in any order, or
		// noColumn.
		sorted int
	}{
		{"nodes", e.nodeTable(cpu, memory).under(nodes), noColumn},
		{"nodes --use-protocol-buffers=false", e.nodeTable(cpu, memory).under(nodes), noColumn},
		{"node node-1 --no-headers", e.nodeTable(cpu, memory)[1:2], noColumn},
		{"nodes -l kubernetes.io/hostname=node-2 --no-headers", e.nodeTable(cpu, memory)[2:], noColumn},
		{"nodes --sort-by=cpu", e.nodeTable(cpu, memory).under(nodes), 1},
		{"nodes --sort-by=memory", e.nodeTable(cpu, memory).under(nodes), 3},
		{"nodes --show-swap", e.nodeTable(cpu, memory, swap).under(nodes + " SWAP(bytes) SWAP(%)"), noColumn},
		{"pods -A", e.podTable("", "", cpu, memory).under(pods), noColumn},
		{"pods -A --use-protocol-buffers=false", e.podTable("", "", cpu, memory).under(pods), noColumn},
		{"pods -n payments", e.podTable("payments", "", cpu, memory).withoutFirst().under("NAME CPU(cores) MEMORY(bytes)"), noColumn},
		{"pod -n payments ledger-0 --no-headers", e.podTable("payments", "", cpu, memory).withoutFirst()[:1], noColumn},
		{"pods -A -l app=query", e.podTable("", "app=query", cpu, memory).under(pods), noColumn},
		{"pods -A --containers", e.containerTable(cpu, memory).under("NAMESPACE POD NAME CPU(cores) MEMORY(bytes)"), noColumn},
		{"pods -A --sort-by=cpu", e.podTable("", "", cpu, memory).under(pods), 2},
		{"pods -A --sort-by=memory", e.podTable("", "", cpu, memory).under(pods), 3},
		{"pods -A --sum", append(e.podTable("", "", cpu, memory), e.total()...).under(pods), noColumn},
		{"pods -A --show-swap", e.podTable("", "", cpu, memory, swap).under(pods + " SWAP(bytes)"), noColumn},
	}
	for _, minor := range []string{"v1.34", "v1.35", "v1.36", "v1.37"} {
		t.Run(minor, func(t *testing.T) {
			for _, tt := range tests {
				cmd, err := local.KubectlOfVersion(t.Context(), minor, append([]string{"top"}, strings.Fields(tt.args)...)...)
				if err != nil {
					t.Fatal(err)
				}
				got, want := rowsOf(output(t, cmd)), tt.want
				if tt.sorted != noColumn {
					if !slices.IsSortedFunc(got[1:], descending(t, tt.sorted)) {
						t.Errorf("kubectl top %s is not sorted: %q", tt.args, got)
					}
					slices.SortFunc(got[1:], slices.Compare)
					want = slices.Clone(want)
					slices.SortFunc(want[1:], slices.Compare)
				}
				if !slices.EqualFunc(got, want, slices.Equal) {
					t.Errorf("kubectl top %s shows\n%q\nserved is\n%q", tt.args, got, want)
				}
			}
		})
	}
}

// descending compares lines by the number in a column.
func descending(t *testing.T, column int) func(a, b []string) int {
	number := func(line []string) int {
		n, err := strconv.Atoi(strings.TrimRight(line[column], "mMi"))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return n
	}
	return func(a, b []string) int { return number(b) - number(a) }
}
