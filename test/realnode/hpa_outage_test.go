// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/kubemeter/metrics-server/test/eventually"
)

// TestHPAOutage has a kubelet that cannot be read, first for less and then for more than
// points are served. The replicas have to stay.
func TestHPAOutage(t *testing.T) {
	const maxAge, short = 90 * time.Second, 30 * time.Second
	s := startServer(t, "--metric-max-age="+maxAge.String())
	ensureNamespace(t, scaledNamespace)
	d := startTarget(t, "outage", worker)
	a := autoscale(t, d, cpuUtilization())
	a.wait(t, time.Now(), "finding a metric", scale.isActive)

	// The HPA has the old pod's usage, and waits for that of the new ones.
	loaded := time.Now()
	d.setLoad(t, worker, heavy)
	a.waitReplicas(t, loaded, 3)
	restore := cutKubelet(t, "drop")
	cut := time.Now()
	t.Log("the kubelet does not answer any more, and the HPA has just scaled to 3")
	eventually.Succeeds(t, patience, func() error {
		if since := time.Since(cut); since < short {
			return fmt.Errorf("it has not answered for %s only", since)
		}
		return nil
	})
	if n := len(must[[]metricsv1beta1.PodMetrics](t)(s.podsOf(t.Context(), d))); n < 1 || n > 2 {
		t.Errorf("after %s, %d of 3 pods are served, want those that were before", short, n)
	}
	restore()
	s.waitServed(t, d, time.Now())
	t.Logf("it answers again, and 3 pods are served from newer samples:\n%s", a.describe(t))
	for _, c := range a.since(cut) {
		if !c.isActive() || c.replicas != 3 || c.desired != 3 {
			t.Errorf("after an outage of %s, the HPA went to %+v", short, c.scale)
		}
	}

	restore = cutKubelet(t, "reject with tcp reset")
	cut = time.Now()
	t.Log("the kubelet refuses connections")
	unknown := a.wait(t, cut, "finding no metric", func(s scale) bool { return !s.isActive() })
	t.Logf("%.0f s later, the HPA gets no metrics:\n%s", unknown.time.Sub(cut).Seconds(), a.describe(t))
	if want := "False FailedGetResourceMetric"; unknown.active != want {
		t.Errorf("ScalingActive is %q, want %q", unknown.active, want)
	}
	// It looks again, and does not see that there is nothing to do any more.
	d.setLoad(t, worker, load{})
	s.waitFailures(t, a)
	if n := a.replicas(cut); !slices.Equal(n, []int32{3}) {
		t.Errorf("while there were no metrics, the Deployment went through %d replicas, want 3 only", n)
	}
	restore()
	restored := time.Now()
	a.wait(t, restored, "finding a metric again", scale.isActive)
	a.waitReplicas(t, restored, 1)
	t.Logf("%.0f s after it answers again:\n%s", time.Since(restored).Seconds(), a.describe(t))
	if n := a.replicas(restored); !isFalling(n) {
		t.Errorf("without load, the Deployment went through %d replicas, want from 3 down", n)
	}
	for line := range strings.Lines(logOf(t, s.Process)) {
		if strings.Contains(line, "Scraping a node") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// cutKubelet takes the kubelet's port away in the node's network, until restore is
// called or the test ends.
func cutKubelet(t *testing.T, verdict string) (restore func()) {
	t.Helper()
	const table = "inet outage"
	run := func(rules string) error {
		nft := exec.Command("nsenter", "--target", fmt.Sprint(node.process.PID()), "--net", "nft", "--file", "-")
		nft.Stdin = strings.NewReader(rules)
		if out, err := nft.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := run("table " + table + " { chain input { type filter hook input priority 0; tcp dport 10250 " + verdict + "; }; }"); err != nil {
		t.Fatal(err)
	}
	restore = sync.OnceFunc(func() {
		if err := run("delete table " + table); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(restore)
	return restore
}

// podsOf is what is served of the pods of a target, as an HPA reads it.
func (s *server) podsOf(ctx context.Context, d target) ([]metricsv1beta1.PodMetrics, error) {
	list, err := s.client.MetricsV1beta1().PodMetricses(scaledNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + d.name})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// waitServed waits until all pods of a target are served from newer samples.
func (s *server) waitServed(t *testing.T, d target, since time.Time) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		all, err := s.podsOf(t.Context(), d)
		if err != nil {
			return err
		}
		newer := slices.DeleteFunc(all, func(m metricsv1beta1.PodMetrics) bool { return !m.Timestamp.After(since) })
		if len(newer) != len(d.pods(t)) {
			return fmt.Errorf("%d pods are served from newer samples", len(newer))
		}
		return nil
	})
}

// waitFailures waits until the HPA has looked in vain once more than it has so far.
func (s *server) waitFailures(t *testing.T, a *autoscaler) {
	t.Helper()
	before := failures(t, a)
	eventually.Succeeds(t, patience, func() error {
		if n := failures(t, a); n <= before {
			return fmt.Errorf("HPA %s has looked in vain %d times", a.name, n)
		}
		return nil
	})
}

func failures(t *testing.T, a *autoscaler) (n int32) {
	t.Helper()
	events := must[*corev1.EventList](t)(node.Client().CoreV1().Events(scaledNamespace).List(t.Context(), metav1.ListOptions{
		FieldSelector: "involvedObject.name=" + a.name + ",reason=FailedGetResourceMetric",
	}))
	for _, e := range events.Items {
		n += e.Count
	}
	return n
}
