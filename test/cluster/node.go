// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"iter"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// swapCapacity is what each node has, in bytes.
const swapCapacity int64 = 8 << 30

// NewNode returns a ready node whose kubelet listens on the port of an IP
// address. Callers may change the object before they create it.
func NewNode(name, address string, port int32, labels map[string]string) *corev1.Node {
	all := map[string]string{corev1.LabelHostname: name, corev1.LabelOSStable: "linux"}
	maps.Copy(all, labels)
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("16"),
		corev1.ResourceMemory: resource.MustParse("64Gi"),
		corev1.ResourcePods:   resource.MustParse("250"),
	}
	now := metav1.Now()
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: all},
		Status: corev1.NodeStatus{
			Capacity:    capacity,
			Allocatable: capacity,
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue,
				Reason: "KubeletReady", Message: "simulated kubelet",
				LastHeartbeatTime: now, LastTransitionTime: now,
			}},
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: address},
				{Type: corev1.NodeHostName, Address: name},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
			NodeInfo:        corev1.NodeSystemInfo{Swap: &corev1.NodeSwapStatus{Capacity: new(swapCapacity)}},
		},
	}
}

// CreateNode creates one node of NewNode.
func (c *Cluster) CreateNode(ctx context.Context, name, address string, port int32, labels map[string]string) error {
	return c.createNode(ctx, NewNode(name, address, port, labels))
}

// CreateNodes creates nodes with their status, many at a time, and stops at the
// first error.
func (c *Cluster) CreateNodes(ctx context.Context, nodes iter.Seq[*corev1.Node]) error {
	return forEach(ctx, c.log, "nodes", nodes, c.createNode)
}

// createNode needs one request: the API server keeps the status of a node that
// is created, as kubelets rely on.
func (c *Cluster) createNode(ctx context.Context, node *corev1.Node) error {
	if _, err := c.bulk.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create node %s: %w", node.Name, err)
	}
	return nil
}
