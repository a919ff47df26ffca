// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"fmt"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// familyID counts the families in the order in which a kubelet sends them: by
// name.
type familyID int

const (
	containerCPU familyID = iota
	containerMemory
	containerStart
	containerSwapLimit
	containerSwapUsage
	nodeCPU
	nodeMemory
	nodeSwap
	podCPU
	podMemory
	podSwap
	resourceScrapeError
	scrapeError
	numFamilies
)

// scope is what a family has one series of.
type scope int

const (
	perContainer scope = iota
	perPod
	perNode
	numScopes
)

// family is one metric family of /metrics/resource, as a kubelet 1.37 has them.
type family struct {
	name, help string
	kind       dto.MetricType
	scope      scope
	timeless   bool
	value      func(*sample) float64
	id         familyID
	// What stands before the series of the family in each format.
	textHeader, protobufHeader string
}

var families = describe([numFamilies]family{
	containerCPU: {
		name: "container_cpu_usage_seconds_total", kind: dto.MetricType_COUNTER, scope: perContainer, value: cpuOf,
		help: "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
	},
	containerMemory: {
		name: "container_memory_working_set_bytes", kind: dto.MetricType_GAUGE, scope: perContainer, value: memoryOf,
		help: "[STABLE] Current working set of the container in bytes",
	},
	containerStart: {
		name: "container_start_time_seconds", kind: dto.MetricType_GAUGE, scope: perContainer, value: startOf, timeless: true,
		help: "[STABLE] Start time of the container since unix epoch in seconds",
	},
	containerSwapLimit: {
		name: "container_swap_limit_bytes", kind: dto.MetricType_GAUGE, scope: perContainer, value: swapLimitOf,
		help: "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems",
	},
	containerSwapUsage: {
		name: "container_swap_usage_bytes", kind: dto.MetricType_GAUGE, scope: perContainer, value: swapOf,
		help: "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems",
	},
	nodeCPU: {
		name: "node_cpu_usage_seconds_total", kind: dto.MetricType_COUNTER, scope: perNode, value: cpuOf,
		help: "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
	},
	nodeMemory: {
		name: "node_memory_working_set_bytes", kind: dto.MetricType_GAUGE, scope: perNode, value: memoryOf,
		help: "[STABLE] Current working set of the node in bytes",
	},
	nodeSwap: {
		name: "node_swap_usage_bytes", kind: dto.MetricType_GAUGE, scope: perNode, value: swapOf,
		help: "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
	},
	podCPU: {
		name: "pod_cpu_usage_seconds_total", kind: dto.MetricType_COUNTER, scope: perPod, value: cpuOf,
		help: "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
	},
	podMemory: {
		name: "pod_memory_working_set_bytes", kind: dto.MetricType_GAUGE, scope: perPod, value: memoryOf,
		help: "[STABLE] Current working set of the pod in bytes",
	},
	podSwap: {
		name: "pod_swap_usage_bytes", kind: dto.MetricType_GAUGE, scope: perPod, value: swapOf,
		help: "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
	},
	resourceScrapeError: {
		name: "resource_scrape_error", kind: dto.MetricType_GAUGE, scope: perNode, value: noError, timeless: true,
		help: "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
	},
	scrapeError: {
		name: "scrape_error", kind: dto.MetricType_GAUGE, scope: perNode, value: noError, timeless: true,
		help: "[ALPHA] 1 if there was an error while getting container metrics, 0 otherwise",
	},
})

// valueOf is what the family reports of a sample.
func (f *family) valueOf(s *sample) float64 {
	if v, overridden := s.override[f.id]; overridden {
		return v
	}
	return f.value(s)
}

// describe fills in what follows from a family's place and names.
func describe(all [numFamilies]family) *[numFamilies]family {
	for i := range all {
		f := &all[i]
		f.id = familyID(i)
		kind := "gauge"
		if f.kind == dto.MetricType_COUNTER {
			kind = "counter"
		}
		f.textHeader = fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, kind)
		header := protowire.AppendTag(nil, familyName, protowire.BytesType)
		header = protowire.AppendString(header, f.name)
		header = protowire.AppendTag(header, familyHelp, protowire.BytesType)
		header = protowire.AppendString(header, f.help)
		header = protowire.AppendTag(header, familyType, protowire.VarintType)
		header = protowire.AppendVarint(header, uint64(f.kind))
		f.protobufHeader = string(header)
	}
	return &all
}

func familyByName(name string) (familyID, error) {
	i := slices.IndexFunc(families[:], func(f family) bool { return f.name == name })
	if i < 0 {
		return 0, fmt.Errorf("a kubelet has no metric family %q; use a name from its /metrics/resource", name)
	}
	return familyID(i), nil
}
