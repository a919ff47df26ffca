// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package switchover

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"
)

// hpaPeriod is the time between two reads of HPAs: 100 of them are read each second.
const hpaPeriod = 10 * time.Millisecond

// loss is what has become of the reads since the last time.
type loss struct {
	reads       int
	failures    []string // when, and why
	first, last time.Time
}

func (l loss) String() string {
	if len(l.failures) == 0 {
		return fmt.Sprintf("%d reads, none lost", l.reads)
	}
	return fmt.Sprintf("%d reads, %d lost, the last %.1f s after the first: %s", l.reads, len(l.failures),
		l.last.Sub(l.first).Seconds(), l.failures[0])
}

// readers read all the time, as an HPA does and as people do. A read is lost if it
// fails, and if something is missing in it.
type readers struct {
	mu   sync.Mutex
	loss loss
}

func startReaders(t *testing.T, s *site) *readers {
	t.Helper()
	client, err := metrics.NewForConfig(s.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	r := &readers{}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	every := func(period time.Duration, read func(context.Context) error) {
		running.Go(func() {
			tick := time.NewTicker(period)
			defer tick.Stop()
			for {
				err := read(ctx)
				if ctx.Err() != nil {
					return
				}
				r.count(err)
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	every(hpaPeriod, func(ctx context.Context) error {
		list, err := client.MetricsV1beta1().PodMetricses("search").List(ctx, metav1.ListOptions{LabelSelector: "app=index"})
		if err == nil && len(list.Items) != pods/6 {
			err = fmt.Errorf("%d pods", len(list.Items))
		}
		return err
	})
	every(time.Second, s.served)
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return r
}

// served is kubectl top nodes and pods.
func (s *site) served(ctx context.Context) error {
	for what, want := range map[string]int{"nodes": nodes, "pods": pods} {
		args := []string{"top", what, "--no-headers"}
		if what == "pods" {
			args = append(args, "--all-namespaces")
		}
		out, err := s.Kubectl(ctx, args...)
		if err != nil {
			return err
		}
		if got := strings.Count(out, "\n"); got != want || strings.Contains(out, "<unknown>") {
			return fmt.Errorf("kubectl top %s: %d of %d:\n%s", what, got, want, out)
		}
	}
	return nil
}

func (r *readers) count(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loss.reads++
	if err == nil {
		return
	}
	r.loss.last = time.Now()
	if len(r.loss.failures) == 0 {
		r.loss.first = r.loss.last
	}
	r.loss.failures = append(r.loss.failures, r.loss.last.Format(time.TimeOnly+".000 ")+err.Error())
}

// take returns what has been lost, and begins anew.
func (r *readers) take() loss {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.loss
	r.loss = loss{}
	return l
}
