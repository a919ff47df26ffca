// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kwok

import (
	"context"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// usage is that of a container or a node, in millicores and MiB.
type usage struct{ milli, mi float64 }

// emptyNode has no pods. KWOK counts neither CPU nor memory there, and an answer that
// is all zeros is not taken for a node's usage.
const emptyNode = "kwok-2"

// simulated is what KWOK is told, by node/NAME and NAMESPACE/POD/CONTAINER.
func simulated() map[string]usage {
	return map[string]usage{
		"shop/web-0/web": {250, 64}, "shop/web-0/proxy": {20, 16},
		"shop/web-1/web": {250, 64}, "shop/web-1/proxy": {20, 16},
		"shop/web-2/web": {250, 64}, "shop/web-2/proxy": {20, 16},
		"batch/report/report": {1500, 1024},
		"batch/idle/idle":     {0, 32},
		"node/kwok-0":         {810, 240},
		"node/kwok-1":         {1500, 1056},
	}
}

// createNodes creates nodes as users of KWOK do: it fills in the status. The second
// annotation is where it serves a node's usage.
func createNodes(ctx context.Context) error {
	for _, name := range []string{"kwok-0", "kwok-1", emptyNode} {
		capacity := corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("32"),
			corev1.ResourceMemory: resource.MustParse("256Gi"),
			corev1.ResourcePods:   resource.MustParse("110"),
		}
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{
				"kwok.x-k8s.io/node":                   "fake",
				"metrics.k8s.io/resource-metrics-path": "/metrics/nodes/" + name + "/metrics/resource",
			}},
			Status: corev1.NodeStatus{Capacity: capacity, Allocatable: capacity},
		}
		if _, err := plane.Client().CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func createWorkload(ctx context.Context) error {
	for _, namespace := range []string{"shop", "batch"} {
		if err := plane.EnsureNamespace(ctx, namespace); err != nil {
			return err
		}
	}
	_, err := plane.Kubectl(ctx, "create", "--filename", filepath.Join("testdata", "workload.yaml"))
	return err
}
