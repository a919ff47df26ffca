// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/vpa"
)

// recommendedUsage is what the containers use that are recommended something. The memory
// is well within one of the recommender's buckets.
var recommendedUsage = []usage{
	{container: "burn", millicores: 100},
	{container: "hold", mebibyte: 72},
}

// recommended is a recommender, and what is served while it runs.
type recommended struct {
	*vpa.Recommender
	metrics metricsclient.Interface
	served  map[string]*servedRange // by container
}

// servedRange is the least and the most that was served of a container: millicores,
// rounded up as the recommender does, and bytes.
type servedRange struct {
	leastCPU, mostCPU, leastMemory, mostMemory float64
}

// startRecommended starts one that runs until the test ends.
func startRecommended(t *testing.T, s *server) *recommended {
	t.Helper()
	r := &recommended{must[*vpa.Recommender](t)(vpa.Start(t.Context(), node.Cluster)), s.client, map[string]*servedRange{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the recommender's log:\n%s", logOf(t, r.Process))
		}
		if err := r.Remove(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *recommended) create(t *testing.T, deployment string) {
	t.Helper()
	if err := r.Create(t.Context(), namespace, deployment); err != nil {
		t.Fatal(err)
	}
}

func (r *recommended) get(t *testing.T, name string) *vpa.Object {
	t.Helper()
	return must[*vpa.Object](t)(r.Get(t.Context(), namespace, name))
}

func (r *recommended) errors(t *testing.T) []string {
	t.Helper()
	return must[[]string](t)(r.Errors())
}

// samples is how many the recommender has of each container.
func (r *recommended) samples(t *testing.T) []int {
	t.Helper()
	return must[[]int](t)(r.countSamples(t.Context()))
}

func (r *recommended) countSamples(ctx context.Context) ([]int, error) {
	return r.Samples(ctx, namespace, recommendedName, recommendedUsage[0].container, recommendedUsage[1].container)
}

func (r *recommended) waitSamples(t *testing.T, enough int) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		if err := r.addServed(t.Context()); err != nil {
			return err
		}
		counts, err := r.countSamples(t.Context())
		if err == nil && slices.Min(counts) < enough {
			err = fmt.Errorf("the recommender has %d samples of the containers, want %d", counts, enough)
		}
		return err
	})
}

// waitFailures waits until so many reads have failed, and nothing else.
func (r *recommended) waitFailures(t *testing.T, count int) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		all := r.errors(t)
		for _, line := range all {
			if !strings.Contains(line, "Cannot get ContainerMetricsSnapshot") {
				t.Fatalf("the recommender says: %s", line)
			}
		}
		if len(all) < count {
			return fmt.Errorf("%d reads have failed, want %d", len(all), count)
		}
		return nil
	})
}

// addServed adds what is served now.
func (r *recommended) addServed(ctx context.Context) error {
	list, err := r.metrics.MetricsV1beta1().PodMetricses(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + recommendedName})
	if err != nil {
		return err
	}
	for _, p := range list.Items {
		for _, c := range p.Containers {
			s := r.served[c.Name]
			if s == nil {
				s = &servedRange{leastCPU: math.Inf(1), leastMemory: math.Inf(1)}
				r.served[c.Name] = s
			}
			cpu, memory := float64(c.Usage.Cpu().MilliValue()), float64(c.Usage.Memory().Value())
			s.leastCPU, s.mostCPU = min(s.leastCPU, cpu), max(s.mostCPU, cpu)
			s.leastMemory, s.mostMemory = min(s.leastMemory, memory), max(s.mostMemory, memory)
		}
	}
	return nil
}

// check holds what is recommended against what was served, and that against what the
// containers use. The recommender leaves init containers out, and with them the sidecar.
func (r *recommended) check(t *testing.T) {
	t.Helper()
	o := r.get(t, recommendedName)
	t.Logf("of %d samples of the containers, the recommender makes:\n%s", r.samples(t), o)
	if err := o.Provided(); err != nil {
		t.Fatal(err)
	}
	if r.served["sidecar"] == nil {
		t.Errorf("the sidecar is not served: %v", r.served)
	}
	all := o.Status.Recommendation.Containers
	if len(all) != len(recommendedUsage) {
		t.Fatalf("%d containers are recommended something, want %d", len(all), len(recommendedUsage))
	}
	for i, u := range recommendedUsage {
		s := r.served[u.container]
		if all[i].Name != u.container || s == nil {
			t.Fatalf("container %q is recommended something, and served are %v: want %q", all[i].Name, r.served, u.container)
		}
		s.checkUsage(t, u)
		s.checkRecommendation(t, &all[i])
	}
}

func (s *servedRange) checkUsage(t *testing.T, u usage) {
	t.Helper()
	t.Logf("%s uses %v millicores and %v MiB, and served were %v to %v millicores and %.1f to %.1f MiB",
		u.container, u.millicores, u.mebibyte, s.leastCPU, s.mostCPU, s.leastMemory/(1<<20), s.mostMemory/(1<<20))
	tolerance := cpuTolerance + cpuShare*u.millicores
	if s.leastCPU < u.millicores-tolerance || s.mostCPU > u.millicores+tolerance {
		t.Errorf("%s: want %v millicores, give or take %v", u.container, u.millicores, tolerance)
	}
	if s.leastMemory < u.mebibyte*(1<<20) || s.mostMemory > (u.mebibyte+programMebibytes)*(1<<20) {
		t.Errorf("%s: want some more than %v MiB", u.container, u.mebibyte)
	}
}

func (s *servedRange) checkRecommendation(t *testing.T, c *vpa.Recommendation) {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	cpu, memory := float64(c.Target.Cpu().MilliValue()), float64(c.Target.Memory().Value())
	if least, most := vpa.ExpectedCPU(s.leastCPU), vpa.ExpectedCPU(s.mostCPU); cpu < least || cpu > most {
		t.Errorf("%s: %v millicores are recommended, and what was served makes %v to %v", c.Name, cpu, least, most)
	}
	if least, most := vpa.ExpectedMemory(s.leastMemory), vpa.ExpectedMemory(s.mostMemory); memory < least || memory > most {
		t.Errorf("%s: %v bytes are recommended, and what was served makes %v to %v", c.Name, memory, least, most)
	}
}
