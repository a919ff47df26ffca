// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Timeline is what a server has served of a node and its pod while scrapes of the
// node failed.
type Timeline struct {
	// Length is how many scrapes have failed in a row.
	Length int
	// Lasted is from the first failure to the last.
	Lasted   time.Duration
	Readings []Reading
}

// Reading is what three lists have had at a time.
type Reading struct {
	// At is since the first failure; it is negative before.
	At time.Duration
	// Node and Pod are whether they were there, and Age is that of the pod's sample.
	Node, Pod bool
	Age       time.Duration
	// HPAPods are those in the answer to an HPA's read, of podsPerApplication.
	HPAPods int
	// Wrong counts values that are not true.
	Wrong int
}

// timelines reads while each outage takes place. Of each three nodes the first
// fails, and the application of its pod has one on each.
func (r *reader) timelines(ctx context.Context, o *Options, c *cluster, outages *outages) ([]*Timeline, error) {
	all := make([]*Timeline, len(o.Outages))
	for i, length := range o.Outages {
		if err := outages.begin(c.nodes[i*podsPerApplication], length); err != nil {
			return nil, err
		}
		all[i] = &Timeline{Length: length}
	}
	began := time.Now()
	during, cancel := context.WithTimeout(ctx, time.Duration(slices.Max(o.Outages)+o.After)*o.Resolution)
	defer cancel()
	var failed error
	wait.NonSlidingUntilWithContext(during, func(context.Context) {
		failed = errors.Join(failed, r.readOutages(ctx, all, began))
	}, o.ReadEvery)
	took, err := outages.take()
	if err := errors.Join(failed, err, context.Cause(ctx)); err != nil {
		return nil, err
	}
	for i, out := range took {
		if out.left > 0 {
			return nil, fmt.Errorf("of %d scrapes that should fail, %d were not made", all[i].Length, out.left)
		}
		all[i].Lasted = out.last.Sub(out.first)
		for j := range all[i].Readings {
			all[i].Readings[j].At -= out.first.Sub(began)
		}
	}
	return all, nil
}

// readOutages adds a reading to each timeline.
func (r *reader) readOutages(ctx context.Context, all []*Timeline, began time.Time) error {
	nodes, err := r.nodes(ctx)
	if err != nil {
		return err
	}
	pods, err := r.pods(ctx)
	if err != nil {
		return err
	}
	for i, t := range all {
		number := i * podsPerApplication // of the node, and of its pod
		hpa, err := r.hpa(ctx, number)
		if err != nil {
			return err
		}
		reading := Reading{At: time.Since(began), HPAPods: len(hpa), Wrong: countWrong(hpa)}
		is := func(a answer) bool { return a.number == number }
		if at := slices.IndexFunc(nodes, is); at >= 0 {
			reading.Node = true
			reading.Wrong += countWrong(nodes[at : at+1])
		}
		if at := slices.IndexFunc(pods, is); at >= 0 {
			reading.Pod, reading.Age = true, pods[at].age
			reading.Wrong += countWrong(pods[at : at+1])
		}
		t.Readings = append(t.Readings, reading)
	}
	return nil
}

func countWrong(found []answer) (n int) {
	for _, a := range found {
		if a.wrong != nil {
			n++
		}
	}
	return n
}

// intervals groups readings by the scrape interval since the first failure. What
// was before is in the first group.
func (t *Timeline) intervals(resolution time.Duration, after int) [][]Reading {
	groups := make([][]Reading, 1+t.Length+after)
	for _, r := range t.Readings {
		i := 1 + int(math.Floor(float64(r.At)/float64(resolution)))
		if i = max(i, 0); i < len(groups) {
			groups[i] = append(groups[i], r)
		}
	}
	return groups
}

// Missing is for how long the node, the pod, and a pod in the HPA's reads was not
// served, where a reading stands for the time between two.
func (t *Timeline) Missing(every time.Duration) (node, pod, hpa time.Duration) {
	for _, r := range t.Readings {
		if !r.Node {
			node += every
		}
		if !r.Pod {
			pod += every
		}
		if r.HPAPods < podsPerApplication {
			hpa += every
		}
	}
	return node, pod, hpa
}

// oldest age of a sample that was served.
func (t *Timeline) oldest() (age time.Duration) {
	for _, r := range t.Readings {
		age = max(age, r.Age)
	}
	return age
}

func (t *Timeline) wrong() (n int) {
	for _, r := range t.Readings {
		n += r.Wrong
	}
	return n
}
