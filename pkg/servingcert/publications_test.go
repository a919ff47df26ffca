// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"testing"
	"time"
)

func TestPublications(t *testing.T) {
	a, b := testAuthority(t, start, day), testAuthority(t, start.Add(time.Second), day)
	all := []authority{a, b}
	var p publications
	expect := func(after time.Duration, wantA, wantB publication) {
		t.Helper()
		now := start.Add(after)
		if gotA, gotB := p.of(a.cert, now, time.Minute), p.of(b.cert, now, time.Minute); gotA != wantA || gotB != wantB {
			t.Errorf("got %d and %d, want %d and %d", gotA, gotB, wantA, wantB)
		}
	}
	service := func(authorities ...authority) *apiService {
		s := &apiService{}
		s.setBundle(content{authorities: authorities}.bundle())
		return s
	}
	observe := func(after time.Duration, readable bool, services ...*apiService) {
		p = p.observe(start.Add(after), all, services, readable)
	}
	expect(0, unpublished, unpublished)
	observe(0, true, service(a, b), service(a))
	expect(0, published, unpublished)
	observe(30*time.Second, true, service(a, b), service(a, b))
	expect(59*time.Second, published, published)
	expect(60*time.Second, settled, published)
	// Where nothing is verified, everything is good.
	observe(90*time.Second, true, service(a, b), &apiService{insecure: true})
	expect(90*time.Second, settled, settled)
	observe(2*time.Minute, true)
	expect(2*time.Minute, settled, settled)
	// What is not known counts for nothing, and settling begins anew.
	observe(3*time.Minute, false, service(a, b))
	expect(3*time.Minute, unpublished, unpublished)
	observe(4*time.Minute, true, service(b))
	expect(4*time.Minute, unpublished, published)
}
