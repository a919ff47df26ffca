// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/eventually"
)

const namespace = "work"

// usage is what a container is made to use.
type usage struct {
	pod, container       string
	millicores, mebibyte float64
}

// steady are the containers that use the same all the time. Those that hold no memory
// of their own need that of the program.
var steady = []usage{
	{pod: "whole", container: "spin", millicores: 250},
	{pod: "whole", container: "hold", mebibyte: 64},
	{pod: "whole", container: "sidecar", millicores: 50},
	{pod: "burn", container: "burn", millicores: 100},
	{pod: "idle", container: "idle"},
	{pod: "crash", container: "partner", millicores: 30},
}

// crashing is a container that uses this for 20 seconds, again and again.
var crashing = usage{pod: "crash", container: "crash", millicores: 200}

// pods are the workload. The pod whole has an init container that has ended, and one
// that is a sidecar; the pod crash has a container that never lives long; and the pod
// once ends.
func pods() []*corev1.Pod {
	prepare := container("prepare", "end", "300", "3s")
	sidecar := container("sidecar", "burn", "50")
	sidecar.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	spin := container("spin", "spin")
	spin.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")}
	whole := pod("whole", spin, container("hold", "hold", "64"))
	whole.Spec.InitContainers = []corev1.Container{prepare, sidecar}
	once := pod("once", container("once", "end", "100", "30s"))
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	return []*corev1.Pod{
		whole, once,
		pod("burn", container("burn", "burn", "100")),
		pod("idle", container("idle", "idle")),
		pod("crash", container("crash", "crash", "200", "20s"), container("partner", "burn", "30")),
	}
}

func container(name string, args ...string) corev1.Container {
	return corev1.Container{Name: name, Image: WorkloadImage, ImagePullPolicy: corev1.PullNever, Args: args}
}

func pod(name string, containers ...corev1.Container) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PodSpec{Containers: containers, TerminationGracePeriodSeconds: new(int64(1))},
	}
}

// startWorkload returns when all that can be ready is.
func startWorkload(t *testing.T) {
	t.Helper()
	ensureNamespace(t, namespace)
	client := node.Client().CoreV1().Pods(namespace)
	for _, p := range pods() {
		must[*corev1.Pod](t)(client.Create(t.Context(), p, metav1.CreateOptions{}))
	}
	for _, u := range steady {
		eventually.Succeeds(t, patience, func() error {
			_, err := containerID(t.Context(), u)
			return err
		})
	}
}

// ensureNamespace makes a namespace that lasts until the test ends.
func ensureNamespace(t *testing.T, name string) {
	t.Helper()
	if err := node.EnsureNamespace(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	deleteAtEnd(t, "namespace", name)
}

// containerID is that of a container that runs.
func containerID(ctx context.Context, u usage) (string, error) {
	p, err := node.Client().CoreV1().Pods(namespace).Get(ctx, u.pod, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if s.Name == u.container && s.State.Running != nil {
			return strings.TrimPrefix(s.ContainerID, "containerd://"), nil
		}
	}
	return "", fmt.Errorf("container %s of pod %s does not run: %+v", u.container, u.pod, p.Status)
}
