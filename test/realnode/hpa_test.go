// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"cmp"
	"slices"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const sidecar = "sidecar"

// heavy is two and a half times what a pod is to use on average: three pods are right
// for it, and by far neither two nor four.
var heavy = load{millicores: 5 * requestedMillicores / 2}

// TestHPA has the controller of kube-controller-manager, with its default settings, scale
// Deployments up and down on what their containers use.
func TestHPA(t *testing.T) {
	s := startServer(t)
	ensureNamespace(t, scaledNamespace)
	for _, tc := range []struct {
		name       string
		containers []string
		metric     autoscalingv2.MetricSpec
		load       load
		// right is above what the HPA finds once all replicas count.
		right resource.Quantity
	}{
		{"cpu", []string{worker}, cpuUtilization(), heavy, resource.MustParse("110m")},
		{
			"memory",
			[]string{worker},
			autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceMemory, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(60<<20, resource.BinarySI)},
			}},
			load{mebibytes: 140},
			resource.MustParse("66Mi"),
		},
		{
			"container",
			[]string{worker, sidecar},
			autoscalingv2.MetricSpec{Type: autoscalingv2.ContainerResourceMetricSourceType, ContainerResource: &autoscalingv2.ContainerResourceMetricSource{
				Name: corev1.ResourceCPU, Container: worker,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewMilliQuantity(requestedMillicores, resource.DecimalSI)},
			}},
			heavy,
			resource.MustParse("110m"),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := startTarget(t, tc.name, tc.containers...)
			if slices.Contains(tc.containers, sidecar) {
				// It does as much all the time, and must not matter.
				d.setLoad(t, sidecar, heavy)
				waitUsage(t, s.client, d.pods(t)[0].Name, sidecar, 2*requestedMillicores)
			}
			a := autoscale(t, d, tc.metric)
			start := time.Now()
			a.wait(t, start, "finding a metric", scale.isActive)

			up := time.Now()
			d.setLoad(t, worker, tc.load)
			a.waitReplicas(t, up, 3)
			a.waitAverage(t, time.Now(), tc.right)
			t.Logf("with load:\n%s", a.describe(t))
			if n := a.replicas(start); !slices.IsSorted(n) || n[len(n)-1] != 3 {
				t.Errorf("with load, the Deployment went through %d replicas, want up to 3", n)
			}

			down := time.Now()
			d.setLoad(t, worker, load{})
			a.waitReplicas(t, down, 1)
			t.Logf("without load:\n%s", a.describe(t))
			if n := a.replicas(down); !isFalling(n) || n[0] != 3 {
				t.Errorf("without load, the Deployment went through %d replicas, want from 3 down", n)
			}
		})
	}
}

func isFalling(n []int32) bool {
	return slices.IsSortedFunc(n, func(a, b int32) int { return cmp.Compare(b, a) })
}
