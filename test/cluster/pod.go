// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// NewPod returns a pod that runs on a node, with a container of each name. Each
// requests 100 millicores and 128 MiB. Callers may change the object, its
// status included, before they create it.
func NewPod(namespace, name, node string, labels map[string]string, containers ...string) *corev1.Pod {
	now := metav1.Now()
	// No kubelet would confirm the end of a pod: with a grace period it would
	// be terminating for ever.
	var grace int64
	noToken := false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec: corev1.PodSpec{
			NodeName:                      node,
			TerminationGracePeriodSeconds: &grace,
			AutomountServiceAccountToken:  &noToken,
		},
		Status: corev1.PodStatus{
			Phase:     corev1.PodRunning,
			StartTime: &now,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now},
				{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: now},
				{Type: corev1.ContainersReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
				{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
			},
		},
	}
	started := true
	for _, container := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
			Name:  container,
			Image: pauseImage,
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU:    resource.MustParse("100m"),
				corev1.ResourceMemory: resource.MustParse("128Mi"),
			}},
		})
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: container, Image: pauseImage, ImageID: pauseImage, Ready: true, Started: &started,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	return pod
}

// pauseImage is never pulled.
const pauseImage = "pause"

// CreatePod creates one pod of NewPod, and its namespace if it is missing.
func (c *Cluster) CreatePod(ctx context.Context, namespace, name, node string, labels map[string]string, containers ...string) error {
	if err := c.EnsureNamespace(ctx, namespace); err != nil {
		return err
	}
	return c.createPod(ctx, NewPod(namespace, name, node, labels, containers...))
}

// CreatePods creates pods with their status, many at a time, and namespaces
// that are missing. It stops at the first error.
func (c *Cluster) CreatePods(ctx context.Context, pods iter.Seq[*corev1.Pod]) error {
	var namespaces sync.Map // name → func() error
	return forEach(ctx, c.log, "pods", pods, func(ctx context.Context, pod *corev1.Pod) error {
		ensure, _ := namespaces.LoadOrStore(pod.Namespace, sync.OnceValue(func() error {
			return c.EnsureNamespace(ctx, pod.Namespace)
		}))
		if err := ensure.(func() error)(); err != nil {
			return err
		}
		return c.createPod(ctx, pod)
	})
}

// createPod needs two requests: the API server sets the status of a new pod to
// Pending.
func (c *Cluster) createPod(ctx context.Context, pod *corev1.Pod) error {
	pods := c.bulk.CoreV1().Pods(pod.Namespace)
	created, err := pods.Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	created.Status = pod.Status
	if _, err := pods.UpdateStatus(ctx, created, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("set the status of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// EnsureNamespace creates a namespace if it is missing and waits until the
// controller manager has made the service account without which no pod is
// admitted to it.
func (c *Cluster) EnsureNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := c.bulk.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, readyTimeout, true, func(ctx context.Context) (bool, error) {
		_, err := c.bulk.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("wait for the default service account of namespace %s: %w", name, err)
	}
	return nil
}
