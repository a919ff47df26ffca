// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const (
	// exactly is how far a rate of counters in nanoseconds may be off, in cores. It
	// is less than the distance of any two containers.
	exactly = 1e-6
	// maxOff is how far from now a sample time may be. It is no bound of age, which
	// is measured.
	maxOff = 5 * time.Minute
)

// checkNode returns the number of the node, -1 if there is none, and what is wrong
// with what is served of it.
func (w *workload) checkNode(m *v1beta1.NodeMetrics, now time.Time) (int, error) {
	node := number(m.Name, "node-", w.nodes)
	if node < 0 {
		return node, fmt.Errorf("there is no node %q", m.Name)
	}
	if err := checkUsage(m.Usage, w.usageOfNode(node)); err != nil {
		return node, fmt.Errorf("node %s: %w", m.Name, err)
	}
	if err := checkTime(m.Timestamp.Time, now); err != nil {
		return node, fmt.Errorf("node %s: %w", m.Name, err)
	}
	return node, nil
}

// checkPod is like checkNode.
func (w *workload) checkPod(m *v1beta1.PodMetrics, now time.Time) (int, error) {
	pod := number(m.Name, "pod-", w.pods())
	if pod < 0 || m.Namespace != namespace(pod) {
		return -1, fmt.Errorf("there is no pod %s/%s", m.Namespace, m.Name)
	}
	if len(m.Containers) != len(containers) {
		return pod, fmt.Errorf("pod %s: %d of %d containers", m.Name, len(m.Containers), len(containers))
	}
	for i, name := range containers {
		if err := checkContainer(m, name, usageOf(pod, i)); err != nil {
			return pod, fmt.Errorf("pod %s: %w", m.Name, err)
		}
	}
	if err := checkTime(m.Timestamp.Time, now); err != nil {
		return pod, fmt.Errorf("pod %s: %w", m.Name, err)
	}
	return pod, nil
}

func checkContainer(m *v1beta1.PodMetrics, name string, want usage) error {
	for i := range m.Containers {
		if m.Containers[i].Name == name {
			return checkUsage(m.Containers[i].Usage, want)
		}
	}
	return fmt.Errorf("container %s is not there", name)
}

func checkUsage(got corev1.ResourceList, want usage) error {
	if cores := got.Cpu().AsApproximateFloat64(); math.Abs(cores-want.cores) > exactly {
		return fmt.Errorf("%g cores instead of %g", cores, want.cores)
	}
	if bytes := got.Memory().Value(); bytes != want.bytes {
		return fmt.Errorf("%d bytes instead of %d", bytes, want.bytes)
	}
	return nil
}

func checkTime(sample, now time.Time) error {
	if off := now.Sub(sample); off.Abs() > maxOff {
		return fmt.Errorf("the sample is %s old", off.Round(time.Second))
	}
	return nil
}
