// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// appendSummary appends the answer as the JSON of
// /stats/summary?only_cpu_and_memory=true, indented by one space as a kubelet
// does. A missing family is a missing field. The rate of usage (usageNanoCores)
// is always 0: a kubelet's own rate is not a figure to rely on, and a client
// that does rely on it should notice.
func (s *snapshot) appendSummary(b []byte, nodeName string, uids map[podKey]string) ([]byte, error) {
	node := &s.samples[perNode][0]
	summary := stats.Summary{
		Node: stats.NodeStats{
			NodeName:  nodeName,
			StartTime: startTime(node),
			CPU:       s.cpuStats(nodeCPU, node),
			Memory:    s.memoryStats(nodeMemory, node),
			Swap:      s.swapStats(nodeSwap, node),
		},
		Pods: s.podStats(uids),
	}
	encoded, err := json.MarshalIndent(&summary, "", " ")
	if err != nil {
		return nil, err
	}
	return append(b, encoded...), nil
}

// podStats lists the pods that have a container running. A pod's own figures
// appear with its first sample.
func (s *snapshot) podStats(uids map[podKey]string) []stats.PodStats {
	pods := []stats.PodStats{}
	places := make(map[podKey]int)
	for i := range s.samples[perContainer] {
		c := &s.samples[perContainer][i]
		key := podKey{c.namespace, c.pod}
		place, known := places[key]
		if !known {
			place = len(pods)
			places[key] = place
			pods = append(pods, stats.PodStats{
				PodRef:    stats.PodReference{Namespace: c.namespace, Name: c.pod, UID: uids[key]},
				StartTime: startTime(c),
			})
		}
		pod := &pods[place]
		if start := startTime(c); start.Before(&pod.StartTime) {
			pod.StartTime = start
		}
		pod.Containers = append(pod.Containers, s.containerStats(c))
	}
	for i := range s.samples[perPod] {
		p := &s.samples[perPod][i]
		if place, known := places[podKey{p.namespace, p.pod}]; known {
			pod := &pods[place]
			pod.CPU, pod.Memory, pod.Swap = s.cpuStats(podCPU, p), s.memoryStats(podMemory, p), s.swapStats(podSwap, p)
		}
	}
	return pods
}

func (s *snapshot) containerStats(c *sample) stats.ContainerStats {
	container := stats.ContainerStats{
		Name:   c.container,
		CPU:    s.cpuStats(containerCPU, c),
		Memory: s.memoryStats(containerMemory, c),
		Swap:   s.swapStats(containerSwapUsage, c),
	}
	if !s.missing[containerStart] {
		container.StartTime = startTime(c)
	}
	if container.Swap != nil && !s.missing[containerSwapLimit] {
		available := c.swapLimit - min(c.swapLimit, c.swap)
		container.Swap.SwapAvailableBytes = &available
	}
	return container
}

func startTime(s *sample) metav1.Time {
	return metav1.NewTime(time.Unix(0, s.start))
}

// sampleTime is null in JSON where timestamps are missing.
func (s *snapshot) sampleTime(of *sample) metav1.Time {
	if s.timeless {
		return metav1.Time{}
	}
	return metav1.NewTime(time.UnixMilli(of.time))
}

func (s *snapshot) cpuStats(id familyID, of *sample) *stats.CPUStats {
	if s.missing[id] {
		return nil
	}
	rate, counter := uint64(0), of.cpu
	return &stats.CPUStats{Time: s.sampleTime(of), UsageNanoCores: &rate, UsageCoreNanoSeconds: &counter}
}

func (s *snapshot) memoryStats(id familyID, of *sample) *stats.MemoryStats {
	if s.missing[id] {
		return nil
	}
	bytes := of.memory
	return &stats.MemoryStats{Time: s.sampleTime(of), UsageBytes: &bytes, WorkingSetBytes: &bytes, RSSBytes: &bytes}
}

func (s *snapshot) swapStats(id familyID, of *sample) *stats.SwapStats {
	if s.missing[id] {
		return nil
	}
	bytes := of.swap
	return &stats.SwapStats{Time: s.sampleTime(of), SwapUsageBytes: &bytes}
}
