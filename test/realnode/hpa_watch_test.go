// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"github.com/kubemeter/metrics-server/test/eventually"
)

const maxReplicas = 5

// scale is what an HPA and its Deployment say.
type scale struct {
	// replicas are of the Deployment's spec, desired of the HPA's status.
	replicas, desired int32
	// average is what a pod uses according to the HPA, "" before it knows.
	average string
	// active is the condition ScalingActive and its reason.
	active string
}

func (s scale) isActive() bool { return s.active == "True ValidMetricFound" }

type change struct {
	time time.Time
	scale
}

// autoscaler follows an HPA and its Deployment, both of one name.
type autoscaler struct {
	name string

	mu      sync.Mutex
	changes []change
}

// autoscale makes an HPA, which scales down at once, and follows it until the test ends.
func autoscale(t *testing.T, d target, metric autoscalingv2.MetricSpec) *autoscaler {
	t.Helper()
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: scaledNamespace, Name: d.name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: d.name},
			MinReplicas:    new(int32(1)), MaxReplicas: maxReplicas,
			Metrics: []autoscalingv2.MetricSpec{metric},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{
				ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: new(int32(0))},
			},
		},
	}
	client := node.Client()
	must[*autoscalingv2.HorizontalPodAutoscaler](t)(client.AutoscalingV2().HorizontalPodAutoscalers(scaledNamespace).Create(t.Context(), hpa, metav1.CreateOptions{}))
	deleteAtEnd(t, "--namespace="+scaledNamespace, "horizontalpodautoscaler", d.name)

	a := &autoscaler{name: d.name}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	named := metav1.ListOptions{FieldSelector: "metadata.name=" + d.name}
	deployments := must[apiwatch.Interface](t)(client.AppsV1().Deployments(scaledNamespace).Watch(ctx, named))
	autoscalers := must[apiwatch.Interface](t)(client.AutoscalingV2().HorizontalPodAutoscalers(scaledNamespace).Watch(ctx, named))
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.follow(t, ctx, deployments, autoscalers)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		deployments.Stop()
		autoscalers.Stop()
	})
	return a
}

func (a *autoscaler) follow(t *testing.T, ctx context.Context, deployments, autoscalers apiwatch.Interface) {
	start := time.Now()
	var now scale
	for {
		var event apiwatch.Event
		select {
		case <-ctx.Done():
			return
		case event = <-deployments.ResultChan():
		case event = <-autoscalers.ResultChan():
		}
		switch o := event.Object.(type) {
		case *appsv1.Deployment:
			now.replicas = *o.Spec.Replicas
		case *autoscalingv2.HorizontalPodAutoscaler:
			now.add(o.Status)
		default:
			if ctx.Err() == nil {
				t.Errorf("a watch of %s has ended: %s %v", a.name, event.Type, event.Object)
			}
			return
		}
		if now.replicas == 0 {
			continue // the Deployment's watch has not begun
		}
		if a.add(change{time.Now(), now}) {
			t.Logf("%4.0f s, %s: replicas %d, desired %d, average %s, ScalingActive %s", time.Since(start).Seconds(), a.name, now.replicas, now.desired, now.average, now.active)
		}
	}
}

func (s *scale) add(status autoscalingv2.HorizontalPodAutoscalerStatus) {
	s.desired = status.DesiredReplicas
	for _, m := range status.CurrentMetrics {
		if m.Resource != nil {
			s.average = m.Resource.Current.AverageValue.String()
		}
		if m.ContainerResource != nil {
			s.average = m.ContainerResource.Current.AverageValue.String()
		}
	}
	for _, c := range status.Conditions {
		if c.Type == autoscalingv2.ScalingActive {
			s.active = fmt.Sprint(c.Status, " ", c.Reason)
		}
	}
}

// add tells whether it is news.
func (a *autoscaler) add(c change) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.changes); n > 0 && a.changes[n-1].scale == c.scale {
		return false
	}
	a.changes = append(a.changes, c)
	return true
}

// since is what was so then, and all that has changed later.
func (a *autoscaler) since(t time.Time) []change {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.changes, func(c change) bool { return c.time.After(t) })
	if i < 0 {
		i = len(a.changes)
	}
	return slices.Clone(a.changes[max(0, i-1):])
}

// wait returns when that is or was so, at that time or later.
func (a *autoscaler) wait(t *testing.T, since time.Time, what string, is func(scale) bool) change {
	t.Helper()
	var found change
	eventually.Succeeds(t, patience, func() error {
		all := a.since(since)
		i := slices.IndexFunc(all, func(c change) bool { return is(c.scale) })
		if i < 0 {
			return fmt.Errorf("HPA %s has not come to %s: %+v", a.name, what, all)
		}
		found = all[i]
		return nil
	})
	return found
}

// waitReplicas returns when both the HPA and the Deployment say so.
func (a *autoscaler) waitReplicas(t *testing.T, since time.Time, n int32) {
	t.Helper()
	a.wait(t, since, fmt.Sprintf("%d replicas", n), func(s scale) bool { return s.replicas == n && s.desired == n })
}

// waitAverage returns when the HPA finds that pods use less.
func (a *autoscaler) waitAverage(t *testing.T, since time.Time, below resource.Quantity) {
	t.Helper()
	a.wait(t, since, "an average below "+below.String(), func(s scale) bool {
		q, err := resource.ParseQuantity(s.average)
		return err == nil && q.Cmp(below) < 0
	})
}

// replicas are the counts that the Deployment has had since then, in their order.
func (a *autoscaler) replicas(since time.Time) (all []int32) {
	for _, c := range a.since(since) {
		all = append(all, c.replicas)
	}
	return slices.Compact(all)
}

// describe is what people see of it, with its events.
func (a *autoscaler) describe(t *testing.T) string {
	t.Helper()
	return must[string](t)(node.Kubectl(t.Context(), "describe", "--namespace="+scaledNamespace, "horizontalpodautoscaler", a.name))
}

// cpuUtilization is 100 % of what is requested.
func cpuUtilization() autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(100))},
	}}
}
