// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/kubemeter/metrics-server/pkg/store"
)

func parse(t *testing.T, text string) query {
	t.Helper()
	values, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	q, err := parseQuery(values)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestSelectNodes(t *testing.T) {
	c := faulty(9)
	for text, want := range map[string]string{
		"":                      "2 1 5 6 3 4 0 7 8",
		"sort=-state":           "0 7 8 4 3 6 5 1 2",
		"sort=name":             "0 1 2 3 4 5 6 7 8",
		"sort=-name":            "8 7 6 5 4 3 2 1 0",
		"sort=-duration":        "8 7 6 5 4 3 2 1 0",
		"sort=age":              "0 1 2 3 4 5 6 7 8",
		"sort=success":          "8 7 6 5 4 3 2 1 0",
		"sort=certificate":      "7 0 1 2 3 4 5 6 8",
		"sort=-pods":            "1 2 8 0 3 4 5 6 7",
		"state=failing":         "2 1",
		"reason=no_window":      "4",
		"q=NODE-0003":           "3",
		"q=+10.0.0.5%3A":        "4",
		"q=unknown&sort=name":   "1",
		"state=ok&sort=-name":   "8 7 0",
		"q=nothing":             "",
		"state=ok&reason=value": "",
	} {
		var got []string
		for _, n := range c.status(parse(t, text)).Nodes {
			got = append(got, strings.TrimPrefix(n.Name, "node-000"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s", text, got, want)
		}
	}
}

func TestSelectPods(t *testing.T) {
	c := faulty(9)
	for text, want := range map[string]string{
		"": "cart-0 web-1 ledger-0", "q=shop/": "cart-0 web-1", "reason=stale": "cart-0", "q=node-0008": "ledger-0", "q=x": "",
	} {
		s := c.status(parse(t, text))
		var got []string
		for _, p := range s.WithheldPods.Pods {
			got = append(got, p.Name)
		}
		if strings.Join(got, " ") != want || s.WithheldPods.Selected != len(got) {
			t.Errorf("%q: %v of %d, want %s", text, got, s.WithheldPods.Selected, want)
		}
		if all := s.Totals.PodsWithheld; all["stale"] != 1 || all["incomplete"] != 1 || all["not_scraped"] != 1 {
			t.Errorf("%q: the totals are %v", text, all)
		}
	}
}

// However many pods are withheld, a thousand are listed.
func TestManyWithheld(t *testing.T) {
	c := newCluster(1)
	for i := range 2500 {
		c.withhold("ns", fmt.Sprint("pod-", i), 0, store.NotScraped, "")
	}
	s := c.status(parse(t, "view=pods"))
	if s.WithheldPods.Selected != 2500 || len(s.WithheldPods.Pods) != maxPods || s.Totals.PodsWithheld["not_scraped"] != 2500 {
		t.Errorf("%d of %d are listed, %v", len(s.WithheldPods.Pods), s.WithheldPods.Selected, s.Totals.PodsWithheld)
	}
}

func TestPages(t *testing.T) {
	rows := make([]int, 250)
	for i := range rows {
		rows[i] = i
	}
	for _, tt := range []struct {
		page, first, last int
		want              pager
	}{
		{1, 0, 99, pager{1, 100, 250, "", "?page=2"}},
		{2, 100, 199, pager{101, 200, 250, "?", "?page=3"}},
		{3, 200, 249, pager{201, 250, 250, "?page=2", ""}},
		{99, 200, 249, pager{201, 250, 250, "?page=2", ""}},
	} {
		got, p := paged(rows, 250, query{view: viewNodes, sort: defaultSort, page: tt.page})
		if got[0] != tt.first || got[len(got)-1] != tt.last || p != tt.want {
			t.Errorf("page %d: %d to %d, %+v", tt.page, got[0], got[len(got)-1], p)
		}
	}
	if got, p := paged([]int{}, 0, query{page: 3}); len(got) != 0 || p != (pager{}) {
		t.Errorf("no rows: %v %+v", got, p)
	}
}

// A link keeps what was asked for, and turns the order of the column that is sorted by.
func TestHeads(t *testing.T) {
	q := parse(t, "q=a&state=ok&sort=age&page=3")
	for _, h := range heads(q) {
		want := map[string]column{
			"Sample age": {"Sample age", "?q=a&sort=-age&state=ok", "ascending"},
			"State":      {"State", "?q=a&state=ok", "none"},
			"Pods":       {"Pods", "?q=a&sort=pods&state=ok", "none"},
		}[h.Title]
		if want != (column{}) && h != want {
			t.Errorf("got %+v, want %+v", h, want)
		}
	}
	if got := q.with(viewPods).values().Encode(); got != "q=a&sort=age&view=pods" {
		t.Errorf("the other view is %s", got)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for seconds, want := range map[float64]string{0.00312: "3.1ms", 0.0423: "42ms", 1.2345: "1.23s", 75: "75s", 22.5: "22.5s", 10000: "166m"} {
		if got := took(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
	if got := span(-3); got != "0s" {
		t.Errorf("a time in the future is %s", got)
	}
}
