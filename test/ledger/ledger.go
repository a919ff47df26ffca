// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps what simulated kubelets have said, and tells from it whether
// what a metrics server serves is true: each rate has to be that of two samples that
// the server was given, of one life of the container, and the memory that of the later
// one. It knows no more than that: what has to be there, and since when, is the
// affair of a test.
package ledger

import (
	"slices"
	"sync"
	"time"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// Ledger is safe for concurrent use. Record is for kubeletsim.Options.
type Ledger struct {
	keep time.Duration

	mu       sync.Mutex
	nodes    map[string][]point
	pods     map[podKey][]podAnswer
	recorded int
}

type podKey struct{ node, namespace, name string }

// point is one sample.
type point struct {
	said        time.Time // when the kubelet said so
	time, start time.Time
	cpu, memory uint64
	// doubtful is for what the server may not have got.
	doubtful bool
}

// podAnswer is what one answer says of the containers of a pod.
type podAnswer struct {
	said       time.Time
	containers []containerPoint
}

type containerPoint struct {
	name string
	point
}

// New returns a ledger that forgets what was said longer ago than keep: more than the
// age up to which a server serves a sample, and the window before it.
func New(keep time.Duration) *Ledger {
	return &Ledger{keep: keep, nodes: map[string][]point{}, pods: map[podKey][]podAnswer{}}
}

// sweepEvery is how many answers are recorded between two looks for nodes and pods
// that are gone.
const sweepEvery = 1000

// Record notes what a node has said.
func (l *Ledger) Record(n *kubeletsim.Node, a *kubeletsim.Answer) { l.record(n.Name(), a, time.Now()) }

func (l *Ledger) record(node string, a *kubeletsim.Answer, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !a.Node.Time.IsZero() {
		p := newPoint(&a.Node, a.Slow, now)
		p.start = time.Time{} // a kubelet does not tell when its node started
		l.nodes[node] = append(slices.DeleteFunc(l.nodes[node], func(p point) bool { return now.Sub(p.said) > l.keep }), p)
	}
	answers := map[podKey][]containerPoint{}
	for i := range a.Containers {
		s := &a.Containers[i]
		key := podKey{node, s.Namespace, s.Pod}
		answers[key] = append(answers[key], containerPoint{s.Container, newPoint(s, a.Slow, now)})
	}
	for key, containers := range answers {
		l.pods[key] = append(l.fresh(key, now), podAnswer{now, containers})
	}
	if l.recorded++; l.recorded%sweepEvery == 0 {
		l.sweep(now)
	}
}

func newPoint(s *kubeletsim.Sample, doubtful bool, now time.Time) point {
	return point{now, s.Time, s.Start, s.CPU, s.Memory, doubtful}
}

// fresh is what is still kept of a pod.
func (l *Ledger) fresh(key podKey, now time.Time) []podAnswer {
	return slices.DeleteFunc(l.pods[key], func(a podAnswer) bool { return now.Sub(a.said) > l.keep })
}

func (l *Ledger) sweep(now time.Time) {
	for key := range l.pods {
		if l.pods[key] = l.fresh(key, now); len(l.pods[key]) == 0 {
			delete(l.pods, key)
		}
	}
	for node, points := range l.nodes {
		if len(points) == 0 || now.Sub(points[len(points)-1].said) > l.keep {
			delete(l.nodes, node)
		}
	}
}

// Forget drops all: a server that has just started was told nothing of it.
func (l *Ledger) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.nodes)
	clear(l.pods)
}

// ForgetPod drops what all nodes have said of the pods of a name: the next pod of
// that name is another one.
func (l *Ledger) ForgetPod(namespace, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.pods {
		if key.namespace == namespace && key.name == name {
			delete(l.pods, key)
		}
	}
}

// Last is the time of the newest sample that the node has told of a pod and the server
// has got, and the time of the one before, each zero if there is none.
func (l *Ledger) Last(node, namespace, name string) (newest, before time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.pods[podKey{node, namespace, name}] {
		var told time.Time
		for _, c := range a.containers {
			if !c.doubtful {
				told = latest(told, c.time)
			}
		}
		newest, before = follow(newest, before, told)
	}
	return newest, before
}

// LastOfNode is as Last, of what a node has told of itself.
func (l *Ledger) LastOfNode(node string) (newest, before time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.nodes[node] {
		if !p.doubtful {
			newest, before = follow(newest, before, p.time)
		}
	}
	return newest, before
}

// follow takes in the next time, which may be that of the newest.
func follow(newest, before, next time.Time) (time.Time, time.Time) {
	if next.After(newest) {
		return next, newest
	}
	return newest, before
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
