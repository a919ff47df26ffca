// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"runtime/debug"
	"testing"
)

// A list of all is made in the memory of one that was released, and in no other's.
func TestListsAreMadeInReleasedMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which takes what was released
	b := newBusy(3, 40, maxAge)
	scrape := func() {
		for n := range 3 {
			b.scrape(n, func(int, int) bool { return false })
		}
	}
	for range 10 {
		scrape()
	}
	contents := func(l List[PodUsage]) string { return fmt.Sprint(l.Items) }
	first := b.Pods(Query{})
	if len(first.Items) < 40 {
		t.Fatalf("%d pods are listed", len(first.Items))
	}
	before := contents(first)
	scrape()
	second := b.Pods(Query{})
	if &first.Items[0] == &second.Items[0] || &first.Items[0].Containers[0] == &second.Items[0].Containers[0] {
		t.Error("a list is made in the memory of one that is in use")
	}
	if contents(first) != before {
		t.Error("a list has changed while it was in use")
	}
	at, container := &first.Items[0], &first.Items[0].Containers[0]
	first.Release()
	third, fourth := b.Pods(Query{}), b.Pods(Query{Limit: 7})
	if &third.Items[0] != at || &third.Items[0].Containers[0] != container {
		t.Error("a list is not made in the memory that was released")
	}
	if contents(third) != contents(second) {
		t.Errorf("got\n%s\nwant\n%s", contents(third), contents(second))
	}
	if &fourth.Items[0] == at || contents(fourth) != fmt.Sprint(second.Items[:7]) {
		t.Errorf("a page is %s", contents(fourth))
	}
}
