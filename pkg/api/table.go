// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// row is one line of "kubectl get".
type row struct {
	name              string
	cpu, memory, swap sum
	window            time.Duration
}

// sum is that of a pod's containers, nil of none.
type sum struct{ *resource.Quantity }

func (s *sum) add(q resource.Quantity) {
	if s.Quantity == nil {
		s.Quantity = &q
	} else {
		s.Add(q)
	}
}

func (s sum) cell() string {
	if s.Quantity == nil {
		return "<none>"
	}
	return s.String()
}

// add adds the usage of a node, or of one of a pod's containers.
func (r *row) add(u *store.Usage) {
	r.cpu.add(cpuQuantity(u.CPU))
	r.memory.add(bytesQuantity(u.Memory))
	if u.HasSwap {
		r.swap.add(bytesQuantity(u.Swap))
	}
}

// convertToTable makes a table of an object, a list, or a watch's bookmark.
func convertToTable(from, options runtime.Object) (*metav1.Table, error) {
	opts, _ := options.(*metav1.TableOptions)
	if opts == nil {
		opts = &metav1.TableOptions{}
	}
	// The columns are the same whatever the rows are, for a watch prints row by row
	// under the first's columns.
	t := &metav1.Table{}
	if !opts.NoHeaders {
		t.ColumnDefinitions = columns
	}
	switch o := from.(type) {
	case *objectList:
		t.ListMeta = o.ListMeta
		t.Rows = make([]metav1.TableRow, len(o.Items))
		for i, item := range o.Items {
			t.Rows[i] = tableRow(item, opts)
		}
	case object:
		t.ResourceVersion = o.GetObjectMeta().GetResourceVersion()
		t.Rows = []metav1.TableRow{tableRow(o, opts)}
	case metav1.ObjectMetaAccessor: // a bookmark: it has nothing to print
		meta := o.GetObjectMeta()
		if meta.GetName() != "" {
			return nil, fmt.Errorf("cannot print %T %q as a table", o, meta.GetName())
		}
		t.ResourceVersion = meta.GetResourceVersion()
		t.Rows = []metav1.TableRow{{Cells: row{}.cells(), Object: runtime.RawExtension{Object: from}}}
	default:
		return nil, fmt.Errorf("cannot print %T as a table", o)
	}
	return t, nil
}

func tableRow(o object, options *metav1.TableOptions) metav1.TableRow {
	r := metav1.TableRow{Cells: o.row().cells(), Object: runtime.RawExtension{Object: o}}
	if options.IncludeObject == metav1.IncludeObject {
		r.Object.Object = o.GetObject() // which can be converted to a version
	}
	return r
}

func (r row) cells() []any {
	return []any{r.name, r.cpu.cell(), r.memory.cell(), r.swap.cell(), r.window.String()}
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
