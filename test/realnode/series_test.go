// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"fmt"
	"math"
	"sort"
	"testing"
	"time"
)

// series is readings of one counter or gauge, in the order of their times.
type series []reading

type reading struct {
	time  time.Time
	value float64
}

// add leaves out what was read before.
func (s *series) add(r reading) {
	if n := len(*s); n == 0 || r.time.After((*s)[n-1].time) {
		*s = append(*s, r)
	}
}

// at is on the straight line between two readings.
func (s series) at(t time.Time) (float64, error) {
	i := sort.Search(len(s), func(i int) bool { return !s[i].time.Before(t) })
	switch {
	case i < len(s) && s[i].time.Equal(t):
		return s[i].value, nil
	case i == 0 || i == len(s):
		return 0, fmt.Errorf("%s is not within %d readings", t, len(s))
	}
	a, b := s[i-1], s[i]
	return a.value + (b.value-a.value)*t.Sub(a.time).Seconds()/b.time.Sub(a.time).Seconds(), nil
}

// rate is how much a counter rises in a second.
func (s series) rate(from, to time.Time) (float64, error) {
	a, err := s.at(from)
	if err != nil {
		return 0, err
	}
	b, err := s.at(to)
	return (b - a) / to.Sub(from).Seconds(), err
}

// shifted are the least and the most that f gives for a time that is known to the second
// only, as those of the API are. The error is that of all times of the second.
func shifted(t time.Time, f func(time.Time) (float64, error)) (least, most float64, err error) {
	least, most = math.Inf(1), math.Inf(-1)
	for i := range 11 {
		v, problem := f(t.Add(time.Duration(i) * 100 * time.Millisecond))
		if problem != nil {
			err = problem
			continue
		}
		least, most = min(least, v), max(most, v)
	}
	if least <= most {
		return least, most, nil
	}
	return 0, 0, err
}

func TestSeries(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	var s series
	for _, r := range []reading{{at(0), 0}, {at(1), 1}, {at(1), 7}, {at(2), 5}} {
		s.add(r)
	}
	if v, err := s.at(at(1.5)); err != nil || v != 3 {
		t.Errorf("between two readings: %v, %v", v, err)
	}
	if v, err := s.rate(at(0.5), at(2)); err != nil || v != 3 {
		t.Errorf("rate: %v, %v", v, err)
	}
	for _, seconds := range []float64{-1, 2.1} {
		if v, err := s.at(at(seconds)); err == nil {
			t.Errorf("outside of the readings: %v", v)
		}
	}
	least, most, err := shifted(at(0.5), func(t time.Time) (float64, error) { return s.at(t) })
	if err != nil || least != 0.5 || most != 3 {
		t.Errorf("shifted: %v to %v, %v", least, most, err)
	}
}
