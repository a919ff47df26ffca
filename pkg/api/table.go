// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/metrics/pkg/apis/metrics"
)

// row is one line of "kubectl get".
type row struct {
	object runtime.Object
	name   string
	usage  corev1.ResourceList
	window metav1.Duration
}

func nodeRow(n *metrics.NodeMetrics) row {
	return row{object: n, name: n.Name, usage: n.Usage, window: n.Window}
}

// podRow sums up the containers.
func podRow(p *metrics.PodMetrics) row {
	sum := corev1.ResourceList{}
	for _, c := range p.Containers {
		for name, quantity := range c.Usage {
			total := sum[name]
			total.Add(quantity)
			sum[name] = total
		}
	}
	return row{object: p, name: p.Name, usage: sum, window: p.Window}
}

// table has the same columns whatever the rows are, for a watch prints row by row
// under the first's columns.
func table(meta metav1.ListMeta, options runtime.Object, rows []row) *metav1.Table {
	t := &metav1.Table{ListMeta: meta, Rows: make([]metav1.TableRow, len(rows))}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		t.ColumnDefinitions = columns
	}
	for i, r := range rows {
		cells := []any{r.name}
		for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, resourceSwap} {
			cell := "<none>"
			if quantity, ok := r.usage[resource]; ok {
				cell = quantity.String()
			}
			cells = append(cells, cell)
		}
		cells = append(cells, r.window.Duration.String())
		t.Rows[i] = metav1.TableRow{Cells: cells, Object: runtime.RawExtension{Object: r.object}}
	}
	return t
}

// wide is the priority of columns that are shown with "-o wide" only.
const wide = 1

var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]},
	{Name: "CPU", Type: "string", Format: "quantity", Description: "Average CPU usage over the window, in cores."},
	{Name: "Memory", Type: "string", Format: "quantity", Description: "Working set at the end of the window, in bytes."},
	{Name: "Swap", Type: "string", Format: "quantity", Priority: wide,
		Description: "Swap in use at the end of the window, in bytes, where the kubelet reports it."},
	{Name: "Window", Type: "string", Format: "duration", Description: "Time over which CPU usage is averaged."},
}

func notATable(object runtime.Object) error {
	return fmt.Errorf("cannot print %T as a table", object)
}
