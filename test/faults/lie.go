// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"math"
	"time"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// lie is a way in which a kubelet answers what is not so.
type lie struct {
	name string
	tell func(c *cluster, node int, classes []class) ([]kubeletsim.Fault, error)
}

const (
	containerCPU    = "container_cpu_usage_seconds_total"
	containerMemory = "container_memory_working_set_bytes"
	nodeCPU         = "node_cpu_usage_seconds_total"
	nodeMemory      = "node_memory_working_set_bytes"

	// exaggeration is how much more a node tells of pods that are not its own.
	exaggeration = 10
)

var lies = [...]lie{
	{"random bytes", always(kubeletsim.RandomBody(8<<10, 1))},
	{"a web page", always(kubeletsim.HTMLBody())},
	{"half an answer", always(kubeletsim.TruncatedBody())},
	{"no numbers", numbers(math.NaN(), math.Inf(1))},
	{"negative numbers", numbers(-1, -1)},
	{"absurd numbers", numbers(1e9, 1e17)},
	{"a clock an hour ahead", always(kubeletsim.ClockSkew(time.Hour))},
	{"a clock an hour behind", always(kubeletsim.ClockSkew(-time.Hour))},
	{"pods of other nodes", claimOthers},
}

func always(f kubeletsim.Fault) func(*cluster, int, []class) ([]kubeletsim.Fault, error) {
	return func(*cluster, int, []class) ([]kubeletsim.Fault, error) { return []kubeletsim.Fault{f}, nil }
}

// numbers are for the node and one of its containers.
func numbers(cpuSeconds, bytes float64) func(*cluster, int, []class) ([]kubeletsim.Fault, error) {
	return func(_ *cluster, node int, _ []class) ([]kubeletsim.Fault, error) {
		// The pod of a node with the same number is one of its own.
		ref := kubeletsim.ContainerRef{Namespace: namespace(node), Pod: podName(node), Container: containers[0]}
		return []kubeletsim.Fault{
			kubeletsim.BadValue(containerCPU, ref, cpuSeconds), kubeletsim.BadValue(containerMemory, ref, bytes),
			kubeletsim.BadValue(nodeCPU, kubeletsim.ContainerRef{}, cpuSeconds),
			kubeletsim.BadValue(nodeMemory, kubeletsim.ContainerRef{}, bytes),
		}, nil
	}
}

// claimOthers has the node report a pod of the next healthy node, with other
// values.
func claimOthers(c *cluster, node int, classes []class) ([]kubeletsim.Fault, error) {
	for i := range classes {
		if victim := (node + i) % len(classes); classes[victim] == healthy {
			return nil, c.nodes[node].AddPod(c.simulated(victim, exaggeration))
		}
	}
	return nil, nil
}
