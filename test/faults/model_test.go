// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func list(u usage) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(u.cores*1e9+0.5), resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(u.bytes, resource.BinarySI),
	}
}

// pod is what has to be served.
func pod(number int) *v1beta1.PodMetrics {
	m := &v1beta1.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace(number), Name: podName(number)}, Timestamp: metav1.NewTime(now),
	}
	for i, name := range containers {
		m.Containers = append(m.Containers, v1beta1.ContainerMetrics{Name: name, Usage: list(usageOf(number, i))})
	}
	return m
}

func TestCheckPod(t *testing.T) {
	w := &workload{nodes: 10, podsPerNode: 200}
	for _, c := range []struct {
		name  string
		spoil func(*v1beta1.PodMetrics)
		want  int
		wrong bool
	}{
		{"sound", func(*v1beta1.PodMetrics) {}, 1234, false},
		{"the next pod's usage", func(m *v1beta1.PodMetrics) { m.Containers = pod(1235).Containers }, 1234, true},
		{"memory", func(m *v1beta1.PodMetrics) { m.Containers[1].Usage[corev1.ResourceMemory] = resource.MustParse("1") }, 1234, true},
		{"no CPU", func(m *v1beta1.PodMetrics) { delete(m.Containers[0].Usage, corev1.ResourceCPU) }, 1234, true},
		{"a part", func(m *v1beta1.PodMetrics) { m.Containers = m.Containers[:1] }, 1234, true},
		{"another container", func(m *v1beta1.PodMetrics) { m.Containers[0].Name = "x" }, 1234, true},
		{"old", func(m *v1beta1.PodMetrics) { m.Timestamp.Time = now.Add(-time.Hour) }, 1234, true},
		{"of the future", func(m *v1beta1.PodMetrics) { m.Timestamp.Time = now.Add(time.Hour) }, 1234, true},
		{"another namespace", func(m *v1beta1.PodMetrics) { m.Namespace = "x" }, -1, true},
		{"another name", func(m *v1beta1.PodMetrics) { m.Name = "pod-01234" }, -1, true},
		{"beyond the last", func(m *v1beta1.PodMetrics) { m.Name = "pod-2000" }, -1, true},
	} {
		m := pod(1234)
		c.spoil(m)
		if got, err := w.checkPod(m, now); got != c.want || (err != nil) != c.wrong {
			t.Errorf("%s: %d %v", c.name, got, err)
		}
	}
}

func TestCheckNode(t *testing.T) {
	w := &workload{nodes: 10, podsPerNode: 2}
	m := &v1beta1.NodeMetrics{ObjectMeta: metav1.ObjectMeta{Name: "node-3"}, Timestamp: metav1.NewTime(now), Usage: list(w.usageOfNode(3))}
	if got, err := w.checkNode(m, now); got != 3 || err != nil {
		t.Errorf("%d %v", got, err)
	}
	m.Usage = list(w.usageOfNode(4))
	if got, err := w.checkNode(m, now); got != 3 || err == nil {
		t.Errorf("another node's usage: %d %v", got, err)
	}
	m.Name = "node-10"
	if got, err := w.checkNode(m, now); got != -1 || err == nil {
		t.Errorf("no such node: %d %v", got, err)
	}
}
