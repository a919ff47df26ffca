// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// minWindow is the least distance of two samples whose rate is served.
const minWindow = 5 * time.Second

// startRounding is how exact a start time is: a kubelet tells it as a floating-point
// number of seconds.
const startRounding = time.Microsecond

// precise is the layout of times in errors.
const precise = "15:04:05.000"

// CheckPod returns an error unless what is served of a pod is what the node has said
// of it.
func (l *Ledger) CheckPod(node string, m *v1beta1.PodMetrics) error {
	l.mu.Lock()
	answers := slices.Clone(l.pods[podKey{node, m.Namespace, m.Name}])
	l.mu.Unlock()
	problem := fmt.Errorf("node %s has said nothing of that time", node)
	for i := range answers {
		if !slices.ContainsFunc(answers[i].containers, func(c containerPoint) bool { return c.time.Unix() == m.Timestamp.Unix() }) {
			continue
		}
		if problem = checkAnswer(answers[:i+1], m); problem == nil {
			return nil
		}
	}
	return fmt.Errorf("pod %s/%s at %s: %w", m.Namespace, m.Name, m.Timestamp.UTC().Format(time.TimeOnly), problem)
}

// checkAnswer holds what is served against the last of some answers.
func checkAnswer(answers []podAnswer, m *v1beta1.PodMetrics) error {
	windows := false
	served := 0
	for _, c := range answers[len(answers)-1].containers {
		if c.cpu == 0 && c.memory == 0 {
			continue // it does not run
		}
		i := slices.IndexFunc(m.Containers, func(s v1beta1.ContainerMetrics) bool { return s.Name == c.name })
		if i < 0 {
			return fmt.Errorf("container %s is missing: only a part of the pod is served", c.name)
		}
		served++
		var life []point
		for _, a := range answers {
			if at := slices.IndexFunc(a.containers, func(p containerPoint) bool { return p.name == c.name }); at >= 0 {
				life = append(life, a.containers[at].point)
			}
		}
		window, err := checkPoints(life, m.Containers[i].Usage, m.Window.Duration)
		if err != nil {
			return fmt.Errorf("container %s: %w", c.name, err)
		}
		windows = windows || window
	}
	if served != len(m.Containers) {
		return fmt.Errorf("%d containers are served, and the node has told of %d", len(m.Containers), served)
	}
	if !windows {
		return fmt.Errorf("no container has a window of %s", m.Window.Duration)
	}
	return nil
}

// CheckNode returns an error unless what is served of a node is what it has said of
// itself.
func (l *Ledger) CheckNode(m *v1beta1.NodeMetrics) error {
	l.mu.Lock()
	points := slices.Clone(l.nodes[m.Name])
	l.mu.Unlock()
	problem := fmt.Errorf("it has said nothing of that time")
	for i := range points {
		if points[i].time.Unix() != m.Timestamp.Unix() {
			continue
		}
		window, err := checkPoints(points[:i+1], m.Usage, m.Window.Duration)
		if err == nil && !window {
			err = fmt.Errorf("no two samples are %s apart", m.Window.Duration)
		}
		if problem = err; err == nil {
			return nil
		}
	}
	return fmt.Errorf("node %s at %s: %w", m.Name, m.Timestamp.UTC().Format(time.TimeOnly), problem)
}

// checkPoints looks for an earlier point with which the last one has the rate that is
// served, and tells whether one of them is a window before it.
func checkPoints(points []point, usage corev1.ResourceList, window time.Duration) (hasWindow bool, err error) {
	last := points[len(points)-1]
	if got := usage.Memory().Value(); got != int64(last.memory) {
		return false, fmt.Errorf("%d bytes are served, and %d were told", got, last.memory)
	}
	served := usage.Cpu().ScaledValue(resource.Nano)
	found := false
	matches := func(from time.Time, cpu uint64, exactly time.Duration) {
		d := last.time.Sub(from)
		rate := rateOf(cpu, last.cpu, d)
		off := 1 + int64(float64(rate)*float64(exactly)/float64(d)) // the last digit is rounded
		if d >= minWindow && max(served-rate, rate-served) <= off {
			found = true
			hasWindow = hasWindow || (d-window).Abs() <= exactly
		}
	}
	earlier := 0 // points that the server has got; one may have been lost on the way
	after := last
	starts := []time.Time{last.start} // all told of this life: a clock that is set moves them
	for i, p := range slices.Backward(points[:len(points)-1]) {
		if after.start.After(p.time) || after.cpu < p.cpu {
			if isOld(p, points[:i]) {
				continue // no news: what was told before it stands
			}
			break // another life
		}
		matches(p.time, p.cpu, 0)
		if !p.doubtful && last.time.Sub(p.time) >= minWindow {
			earlier++
		}
		after = p
		starts = append(starts, p.start)
	}
	if earlier <= 1 { // it may be served by its average since its start
		for _, start := range starts {
			if !start.IsZero() {
				matches(start, 0, startRounding)
			}
		}
	}
	if !found {
		return false, fmt.Errorf("%d nanocores over %s are served, and no two samples of one life have them; the last: %s", served, window, lastPoints(points))
	}
	return hasWindow, nil
}

// isOld tells whether a sample is older than one that was told before it.
func isOld(p point, before []point) bool {
	return slices.ContainsFunc(before, func(b point) bool { return b.time.After(p.time) })
}

// lastPoints describes the newest ones, and the rate from each to the last.
func lastPoints(points []point) string {
	const most = 6
	last := points[len(points)-1]
	var all []string
	for _, p := range points[max(0, len(points)-most):] {
		text := fmt.Sprintf("%s: %d ns since %s", p.time.UTC().Format(precise), p.cpu, p.start.UTC().Format(precise))
		if window := last.time.Sub(p.time); window > 0 {
			text += fmt.Sprintf(", %d nanocores over %s", rateOf(p.cpu, last.cpu, window), window)
		}
		if p.doubtful {
			text += ", doubtful"
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// rateOf is in nanocores.
func rateOf(from, to uint64, window time.Duration) int64 {
	return int64(math.Round((float64(to) - float64(from)) / float64(window) * 1e9))
}
