// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import "time"

// expiresSoon is when a certificate should have been renewed: those of kubelets are,
// after four fifths of their life, which is mostly a year.
const expiresSoon = 14 * 24 * time.Hour

// ageBuckets is in how many parts the maximum age is divided.
const ageBuckets = 8

// ageBounds divide the time for which a sample is served.
func ageBounds(maxAge time.Duration) []time.Duration {
	var bounds []time.Duration
	for i := range ageBuckets {
		bounds = append(bounds, maxAge*time.Duration(i+1)/ageBuckets)
	}
	return bounds
}

// durationBounds are of scrapes, most of which take milliseconds.
var durationBounds = []time.Duration{
	2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second,
}

// histogram of counts, of which there is one more than bounds.
func histogram(bounds []time.Duration, counts []int, greatest time.Duration) Histogram {
	h := Histogram{Greatest: greatest.Seconds()}
	for i, count := range counts {
		b := Bucket{Count: count}
		if i < len(bounds) {
			b.UpTo = bounds[i].Seconds()
		}
		h.Buckets = append(h.Buckets, b)
	}
	return h
}
