// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

var (
	peer  = flag.String("peer", "", "path of the binary of another metrics server, which load steps are measured with as well")
	steps = flag.Int("steps", 1, "number of load steps for each server")
	// stepResolution is the same for both.
	stepResolution = flag.Duration("step-resolution", 15*time.Second, "the servers' --metric-resolution while load steps are measured")
	seed           = flag.Uint64("seed", 1, "of the moments of load steps")
)

// syncPeriod is the default of --horizontal-pod-autoscaler-sync-period.
const syncPeriod = 15 * time.Second

// step is a load for which two pods are right, and by far neither one nor three.
var step = load{millicores: 19 * requestedMillicores / 10}

// reaction is how long it took, from the moment at which a container began to use more.
type reaction struct {
	// served is until a list tells of a usage that is worth another pod.
	served time.Duration
	// desired and replicas are until the new count is in the HPA's status and in the
	// Deployment's spec.
	desired, replicas time.Duration
}

// TestLoadStep measures how long it takes from a load step in a container to the HPA's
// new count of replicas. With a flag, another server takes turns with this one on the
// same cluster.
//
// What counts is where the step, the scrapes and the looks of the HPA lie to each other.
// Each server, and each HPA, is started anew for a step, and the HPA and the step come at
// moments drawn at random, the same for both servers of a round.
func TestLoadStep(t *testing.T) {
	plain := must[string](t)(localcluster.BuildPlainServer(t.Context()))
	binaries := []struct{ name, path string }{{"server", plain}, {"peer", *peer}}
	if *peer == "" {
		t.Log("this server alone is measured, because -peer is not given")
		binaries = binaries[:1]
	}
	ensureNamespace(t, scaledNamespace)
	config := grantRights(t)
	port := must[int](t)(cluster.FreePort())
	routeTo(t, port)
	// While one server is measured, the pods of the other's come to rest.
	targets := make([]target, len(binaries))
	for i, b := range binaries {
		targets[i] = startTarget(t, "step-"+b.name, worker)
	}
	t.Logf("the seed is %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	results := make([][]reaction, len(binaries))
	for range *steps {
		created, stepped := draw(random, syncPeriod), draw(random, max(syncPeriod, *stepResolution))
		for i, b := range binaries {
			if !t.Run(b.name, func(t *testing.T) {
				startBinary(t, b.path, config, port, "--metric-resolution="+stepResolution.String())
				results[i] = append(results[i], measureStep(t, targets[i], created, stepped))
			}) {
				t.FailNow()
			}
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "load step to\tserver\teach\tmedian, s\t")
	for _, row := range []struct {
		name string
		of   func(reaction) time.Duration
	}{
		{"served", func(r reaction) time.Duration { return r.served }},
		{"status.desiredReplicas", func(r reaction) time.Duration { return r.desired }},
		{"spec.replicas", func(r reaction) time.Duration { return r.replicas }},
	} {
		for i, b := range binaries {
			var all []float64
			for _, r := range results[i] {
				all = append(all, row.of(r).Seconds())
			}
			fmt.Fprintf(table, "%s\t%s\t%.1f\t%.1f\t\n", row.name, b.name, all, median(all))
		}
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
}

func draw(random *rand.Rand, within time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(within)))
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func measureStep(t *testing.T, d target, created, stepped time.Duration) (r reaction) {
	t.Helper()
	client := newMetricsClient(t)
	pod := d.pods(t)[0]
	eventually.Succeeds(t, patience, func() error { return checkRest(t.Context(), client, pod) })
	pass(t, created)
	start := time.Now()
	a := autoscale(t, d, cpuUtilization())
	a.wait(t, start, "finding a metric", scale.isActive)
	pass(t, stepped)
	if n := a.replicas(start); !slices.Equal(n, []int32{1}) {
		t.Fatalf("before the step, the Deployment went through %d replicas", n)
	}

	d.setLoad(t, worker, step)
	moment := time.Now()
	waitUsage(t, client, pod.Name, worker, requestedMillicores*11/10) // the HPA tolerates a tenth
	r.served = time.Since(moment)
	r.desired = a.wait(t, moment, "2 desired replicas", func(s scale) bool { return s.desired == 2 }).time.Sub(moment)
	r.replicas = a.wait(t, moment, "2 replicas", func(s scale) bool { return s.replicas == 2 }).time.Sub(moment)
	t.Logf("HPA %.1f s after the server, step %.1f s after a look of the HPA: served after %.1f s, desired after %.1f s, replicas after %.1f s\n%s",
		created.Seconds(), stepped.Seconds(), r.served.Seconds(), r.desired.Seconds(), r.replicas.Seconds(), a.describe(t))
	d.reset(t)
	return r
}

// reset takes the HPA, the load and the second pod away.
func (d target) reset(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"delete", "horizontalpodautoscaler", d.name},
		{"scale", "deployment", d.name, "--replicas=1"},
	} {
		must[string](t)(node.Kubectl(t.Context(), append(args, "--namespace="+scaledNamespace)...))
	}
	d.setLoad(t, worker, load{})
	eventually.Succeeds(t, patience, func() error {
		if n := len(d.pods(t)); n != 1 {
			return fmt.Errorf("%d pods run", n)
		}
		return nil
	})
}

// checkRest has an error unless a pod is served from when it was ready, which an HPA looks
// at, and does not do what it was told for the step before.
func checkRest(ctx context.Context, client metricsclient.Interface, pod corev1.Pod) error {
	m, err := client.MetricsV1beta1().PodMetricses(scaledNamespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	since := m.Timestamp.Add(-m.Window.Duration)
	millicores := m.Containers[0].Usage.Cpu().MilliValue()
	if since.Sub(pod.Status.StartTime.Time) < 5*time.Second || millicores > requestedMillicores/2 {
		return fmt.Errorf("pod %s of %s is served with %d millicores since %s", pod.Name, pod.Status.StartTime, millicores, since)
	}
	return nil
}

// pass lets a drawn part of an interval pass.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// waitUsage returns when a container is served with more than that.
func waitUsage(t *testing.T, client metricsclient.Interface, pod, container string, millicores int64) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		m, err := client.MetricsV1beta1().PodMetricses(scaledNamespace).Get(t.Context(), pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range m.Containers {
			if c.Name == container && c.Usage.Cpu().MilliValue() > millicores {
				return nil
			}
		}
		return fmt.Errorf("pod %s is served with %+v, want more than %d millicores of %s", pod, m.Containers, millicores, container)
	})
}
