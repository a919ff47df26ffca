// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"runtime/debug"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// gatekeeper admits lists of up to most objects, and writes down what it was asked.
type gatekeeper struct {
	most  int
	asked []int
}

func (g *gatekeeper) Admit(objects, _ int) bool {
	g.asked = append(g.asked, objects)
	return objects <= g.most
}

// A list asks before it has more objects: one of all at once, another step by step,
// and none that has few.
func TestListsAsk(t *testing.T) {
	f := newFixture(t)
	all := f.many(320)
	f.scrapeMany("n1", 0, all)
	f.scrapeMany("n1", 15, all)
	everything, err := labels.Parse("!none")
	if err != nil {
		t.Fatal(err)
	}
	onNode := fields.OneTermEqualSelector(FieldNodeName, "n1")
	for name, tt := range map[string]struct {
		query Query
		most  int
		asked []int
		found int // -1 if it is refused
	}{
		"all":                         {Query{}, 340, []int{340}, 320},
		"all, too many":               {Query{}, 339, []int{340}, -1},
		"a page":                      {Query{Limit: 100}, 100, []int{100}, 100},
		"a short page":                {Query{Limit: 64}, 0, nil, 64},
		"a namespace":                 {Query{Namespace: "ns"}, 512, []int{128, 256, 512}, 320},
		"a namespace, too many":       {Query{Namespace: "ns"}, 256, []int{128, 256, 512}, -1},
		"a page of a namespace":       {Query{Namespace: "ns", Limit: 200}, 200, []int{128, 200}, 200},
		"a short page of a namespace": {Query{Namespace: "ns", Limit: 64}, 0, nil, 64},
		"by label":                    {Query{Labels: everything}, 100, []int{128}, -1},
		"by node":                     {Query{Fields: onNode}, 512, []int{128, 256, 512}, 320},
		"one pod":                     {Query{Fields: fields.OneTermEqualSelector(FieldName, "p000007")}, 0, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gatekeeper{most: tt.most}
			tt.query.Admission = g
			l := f.Pods(tt.query)
			defer l.Release()
			found := len(l.Items)
			if l.Refused && found == 0 {
				found = -1
			}
			if !slices.Equal(g.asked, tt.asked) || found != tt.found {
				t.Errorf("asked for %v, found %d, want %v, %d", g.asked, found, tt.asked, tt.found)
			}
		})
	}
}

// A page does not keep the memory of a list that is many times as long.
func TestPageDoesNotTakeTheMemoryOfALongList(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which takes what was released
	f := newFixture(t)
	all := f.many(320)
	f.scrapeMany("n1", 0, all)
	f.scrapeMany("n1", 15, all)
	long := f.Pods(Query{})
	long.Release()
	page := f.Pods(Query{Limit: 100})
	if cap(page.Items) > 200 {
		t.Errorf("a page of 100 objects holds memory for %d", cap(page.Items))
	}
	if want := fmt.Sprint(f.Pods(Query{}).Items[:100]); fmt.Sprint(page.Items) != want {
		t.Error("the page is not what the list begins with")
	}
}
