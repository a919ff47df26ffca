// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// answer is what a read has found of one node or pod.
type answer struct {
	number int // -1 if there is no such
	age    time.Duration
	wrong  error
}

// reader reads what a server serves, and has each value checked.
type reader struct {
	*workload
	*server
}

func (r *reader) nodes(ctx context.Context) ([]answer, error) {
	list, err := r.client.NodeMetricses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return answers(list.Items, r.checkNode, func(m *metrics.NodeMetrics) time.Time { return m.Timestamp.Time }), nil
}

func (r *reader) pods(ctx context.Context) ([]answer, error) {
	return r.listPods(ctx, metav1.NamespaceAll, metav1.ListOptions{})
}

// hpa reads what the HorizontalPodAutoscaler of a pod's application does.
func (r *reader) hpa(ctx context.Context, pod int) ([]answer, error) {
	return r.listPods(ctx, namespace(pod), metav1.ListOptions{LabelSelector: selector(pod)})
}

func (r *reader) listPods(ctx context.Context, namespace string, o metav1.ListOptions) ([]answer, error) {
	list, err := r.client.PodMetricses(namespace).List(ctx, o)
	if err != nil {
		return nil, err
	}
	return answers(list.Items, r.checkPod, func(m *metrics.PodMetrics) time.Time { return m.Timestamp.Time }), nil
}

func answers[M any](items []M, check func(*M, time.Time) (int, error), timestamp func(*M) time.Time) []answer {
	now := time.Now()
	all := make([]answer, len(items))
	for i := range items {
		a := &all[i]
		a.number, a.wrong = check(&items[i], now)
		a.age = now.Sub(timestamp(&items[i]))
	}
	return all
}

// measure reads for some time, and adds up what is served.
func (r *reader) measure(ctx context.Context, o *Options, d time.Duration, classes []class, told map[int]*lie) *tally {
	t := newTally(r.workload, classes, told)
	// A read that has begun is finished.
	during, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	random := rand.New(rand.NewPCG(o.Seed, 1)) // all servers are asked for the same
	var readers sync.WaitGroup
	readers.Go(func() {
		wait.NonSlidingUntilWithContext(during, func(context.Context) {
			t.addNodes(r.nodes(ctx))
			for range o.HPAReads {
				pod := random.IntN(r.workload.pods())
				found, err := r.hpa(ctx, pod)
				t.addHPA(r.podsOfApplication(pod), found, err)
			}
		}, o.ReadEvery)
	})
	readers.Go(func() {
		wait.NonSlidingUntilWithContext(during, func(context.Context) { t.addPods(r.pods(ctx)) }, o.ListPodsEvery)
	})
	readers.Wait()
	return t
}
