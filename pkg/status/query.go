// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// Parameters of a request.
const (
	paramView   = "view"   // viewNodes or viewPods, of the page
	paramSearch = "q"      // part of a name, an address or a reason
	paramState  = "state"  // of nodes
	paramReason = "reason" // of nodes and pods
	paramSort   = "sort"   // of nodes: a column, with "-" before it for the reverse
	paramPage   = "page"   // of the page's table, from 1 on
	paramFormat = "format" // formatJSON or formatHTML, whatever is accepted
)

const (
	viewNodes = "nodes"
	viewPods  = "pods"
)

// maxSearch is longer than any name is.
const maxSearch = 256

// query is what a request asks for.
type query struct {
	view   string
	search string // in lower case
	state  State
	reason string
	sort   string
	page   int
}

// columns are what nodes can be sorted by. Equal ones are in the order of their names.
var columns = map[string]func(a, b *Node) int{
	"name": func(_, _ *Node) int { return 0 },
	"state": func(a, b *Node) int {
		return cmp.Or(a.State.rank()-b.State.rank(), strings.Compare(a.Reason, b.Reason))
	},
	"success":     func(a, b *Node) int { return a.LastSuccess.Compare(b.LastSuccess) },
	"age":         func(a, b *Node) int { return cmp.Compare(a.SampleAge, b.SampleAge) },
	"duration":    func(a, b *Node) int { return cmp.Compare(a.Duration, b.Duration) },
	"pods":        func(a, b *Node) int { return cmp.Or(a.PodsWithheld-b.PodsWithheld, a.PodsServed-b.PodsServed) },
	"certificate": func(a, b *Node) int { return a.CertificateExpires.Compare(b.CertificateExpires) },
}

const defaultSort = "state"

// parseQuery returns an error that names the parameter, and what it may be.
func parseQuery(v url.Values) (query, error) {
	q := query{
		view:   cmp.Or(v.Get(paramView), viewNodes),
		search: strings.ToLower(strings.TrimSpace(v.Get(paramSearch))),
		state:  State(v.Get(paramState)),
		reason: v.Get(paramReason),
		sort:   cmp.Or(v.Get(paramSort), defaultSort),
		page:   1,
	}
	if q.view != viewNodes && q.view != viewPods {
		return q, fmt.Errorf("%s=%q: must be %s or %s", paramView, q.view, viewNodes, viewPods)
	}
	if max(len(q.search), len(q.reason)) > maxSearch {
		return q, fmt.Errorf("%s and %s: must have at most %d bytes", paramSearch, paramReason, maxSearch)
	}
	if q.state != "" && q.state.rank() < 0 {
		return q, fmt.Errorf("%s=%q: must be one of %v", paramState, q.state, States())
	}
	if columns[strings.TrimPrefix(q.sort, "-")] == nil {
		return q, fmt.Errorf("%s=%q: must be one of name, state, success, age, duration, pods and certificate, or that with a \"-\" before it", paramSort, q.sort)
	}
	if page := v.Get(paramPage); page != "" {
		n, err := strconv.Atoi(page)
		if err != nil || n < 1 {
			return q, fmt.Errorf("%s=%q: must be a number from 1 on", paramPage, page)
		}
		q.page = n
	}
	return q, nil
}

// values are the parameters that make the query, without those that are defaults.
func (q query) values() url.Values {
	v := url.Values{}
	set := func(name, value, usual string) {
		if value != usual {
			v.Set(name, value)
		}
	}
	set(paramView, q.view, viewNodes)
	set(paramSearch, q.search, "")
	set(paramState, string(q.state), "")
	set(paramReason, q.reason, "")
	set(paramSort, q.sort, defaultSort)
	set(paramPage, strconv.Itoa(q.page), "1")
	return v
}

// selectNodes returns the nodes that are asked for, in order.
func (q query) selectNodes(nodes []Node) []Node {
	selected := make([]Node, 0, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		if q.state != "" && n.State != q.state || q.reason != "" && n.Reason != q.reason {
			continue
		}
		if q.search == "" || contains(q.search, n.Name, n.Address, n.Reason) {
			selected = append(selected, *n)
		}
	}
	column, reverse := strings.CutPrefix(q.sort, "-")
	less := columns[q.sort]
	if reverse {
		less = func(a, b *Node) int { return columns[column](b, a) }
	}
	order := make([]*Node, len(selected))
	for i := range selected {
		order[i] = &selected[i]
	}
	slices.SortFunc(order, func(a, b *Node) int {
		byName := strings.Compare(a.Name, b.Name)
		if q.sort == "-name" {
			byName = -byName
		}
		return cmp.Or(less(a, b), byName)
	})
	sorted := make([]Node, len(order))
	for i, n := range order {
		sorted[i] = *n
	}
	return sorted
}

// pods returns which withheld pods are asked for. A state is one of nodes.
func (q query) pods() func(k store.Key, node string, r store.Reason) bool {
	return func(k store.Key, node string, r store.Reason) bool {
		return (q.reason == "" || q.reason == string(r)) &&
			(q.search == "" || contains(q.search, k.Namespace+"/"+k.Name, node, string(r)))
	}
}

// contains tells whether one of the texts has a part, in whatever case.
func contains(part string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), part) })
}
