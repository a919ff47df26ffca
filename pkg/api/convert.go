// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"math"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// resourceSwap is the usage key that kubectl top --show-swap reads.
const resourceSwap corev1.ResourceName = "swap"

// objectMeta has as creation time that of the sample: before, these metrics did
// not exist.
func objectMeta(k store.Key, labels map[string]string, revision uint64, timestamp time.Time) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: k.Namespace, Name: k.Name, Labels: labels,
		ResourceVersion: resourceVersion(revision), CreationTimestamp: metav1.NewTime(timestamp),
	}
}

func resourceVersion(revision uint64) string { return strconv.FormatUint(revision, 10) }

func nodeMetrics(n *store.NodeUsage) metrics.NodeMetrics {
	return metrics.NodeMetrics{
		ObjectMeta: objectMeta(n.Key(), n.Labels().Map(), n.Revision(), n.Timestamp),
		Timestamp:  metav1.NewTime(n.Timestamp),
		Window:     metav1.Duration{Duration: n.Window},
		Usage:      resourceList(&n.Usage),
	}
}

func podMetrics(p *store.PodUsage) metrics.PodMetrics {
	containers := make([]metrics.ContainerMetrics, len(p.Containers))
	for i := range p.Containers {
		c := &p.Containers[i]
		containers[i] = metrics.ContainerMetrics{Name: c.Name, Usage: resourceList(&c.Usage)}
	}
	return metrics.PodMetrics{
		ObjectMeta: objectMeta(p.Key(), p.Labels().Map(), p.Revision(), p.Timestamp),
		Timestamp:  metav1.NewTime(p.Timestamp),
		Window:     metav1.Duration{Duration: p.Window},
		Containers: containers,
	}
}

func resourceList(u *store.Usage) corev1.ResourceList {
	list := corev1.ResourceList{corev1.ResourceCPU: cpuQuantity(u.CPU), corev1.ResourceMemory: bytesQuantity(u.Memory)}
	if u.HasSwap {
		list[resourceSwap] = bytesQuantity(u.Swap)
	}
	return list
}

func cpuQuantity(nanocores uint64) resource.Quantity {
	return *resource.NewScaledQuantity(clamp(nanocores), resource.Nano)
}

func bytesQuantity(bytes uint64) resource.Quantity {
	return *resource.NewQuantity(clamp(bytes), resource.BinarySI)
}

// clamp makes a quantity of what a kubelet may report beyond any real machine.
func clamp(v uint64) int64 { return int64(min(v, math.MaxInt64)) }
