// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

// family is a metric family that is read. The kubelet writes them in
// pkg/kubelet/metrics/collectors/resource_metrics.go.
type family uint8

const (
	otherFamily family = iota
	nodeCPU
	nodeMemory
	nodeSwap
	containerCPU
	containerMemory
	containerSwap
	containerStart
)

// familyOf gives the family of that name, or otherFamily.
func familyOf(name []byte) family {
	switch string(name) {
	case "node_cpu_usage_seconds_total":
		return nodeCPU
	case "node_memory_working_set_bytes":
		return nodeMemory
	case "node_swap_usage_bytes":
		return nodeSwap
	case "container_cpu_usage_seconds_total":
		return containerCPU
	case "container_memory_working_set_bytes":
		return containerMemory
	case "container_swap_usage_bytes":
		return containerSwap
	case "container_start_time_seconds":
		return containerStart
	}
	return otherFamily
}

func (f family) ofContainers() bool { return f >= containerCPU }

// field is what the family reports.
func (f family) field() Fields {
	switch f {
	case nodeCPU, containerCPU:
		return HasCPU
	case nodeMemory, containerMemory:
		return HasMemory
	case nodeSwap, containerSwap:
		return HasSwap
	case containerStart:
		return HasStart
	}
	return 0
}
