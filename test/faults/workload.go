// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	testcluster "github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

const (
	// podsPerApplication of which each is on another node.
	podsPerApplication = 3
	// podsPerNamespace is a multiple of podsPerApplication.
	podsPerNamespace = 300 * podsPerApplication

	applicationLabel = "app.kubernetes.io/name"
)

// containers of each pod.
var containers = [...]string{"web", "proxy"}

// workload says what each node and pod is, from its number alone.
type workload struct {
	nodes, podsPerNode int
	started            time.Time
}

// usage of a container, a pod or a node, the same at all times.
type usage struct {
	cores float64
	bytes int64
}

func (w *workload) pods() int { return w.nodes * w.podsPerNode }

// node of a pod.
func (w *workload) node(pod int) int { return pod % w.nodes }

// podsOfApplication that the pod belongs to: the last one may have fewer.
func (w *workload) podsOfApplication(pod int) int {
	return min(podsPerApplication, w.pods()-(pod-pod%podsPerApplication))
}

func nodeName(node int) string   { return "node-" + strconv.Itoa(node) }
func podName(pod int) string     { return "pod-" + strconv.Itoa(pod) }
func namespace(pod int) string   { return "namespace-" + strconv.Itoa(pod/podsPerNamespace) }
func application(pod int) string { return "app-" + strconv.Itoa(pod/podsPerApplication) }
func selector(pod int) string    { return applicationLabel + "=" + application(pod) }

// number of a node or pod with such a name, or -1.
func number(name, prefix string, below int) int {
	digits, found := strings.CutPrefix(name, prefix)
	i, err := strconv.Atoi(digits)
	if !found || err != nil || i < 0 || i >= below || strconv.Itoa(i) != digits {
		return -1
	}
	return i
}

// usageOf a container. No two containers of a cluster use the same.
func usageOf(pod, container int) usage {
	return usage{0.005*float64(1+container) + float64(pod)*2e-5, int64(32*(1+container))<<20 + int64(pod)<<12}
}

// overhead of a node, beyond its pods.
var overhead = usage{0.1, 512 << 20}

// usageOfNode is that of its pods and its own.
func (w *workload) usageOfNode(node int) usage {
	sum := overhead
	for pod := node; pod < w.pods(); pod += w.nodes {
		for i := range containers {
			u := usageOf(pod, i)
			sum.cores += u.cores
			sum.bytes += u.bytes
		}
	}
	return sum
}

// simulated is what a kubelet knows of a pod. It can be made to use some factor
// more than it does.
func (w *workload) simulated(pod, factor int) kubeletsim.Pod {
	p := kubeletsim.Pod{Namespace: namespace(pod), Name: podName(pod)}
	for i, name := range containers {
		u := usageOf(pod, i)
		p.Containers = append(p.Containers, kubeletsim.Container{
			Name: name, Start: w.started,
			CPU:    kubeletsim.Constant(u.cores * float64(factor)),
			Memory: kubeletsim.Constant(float64(u.bytes * int64(factor))),
		})
	}
	return p
}

// apiPod is what the API says of a pod.
func (w *workload) apiPod(pod int) *corev1.Pod {
	p := testcluster.NewPod(namespace(pod), podName(pod), nodeName(w.node(pod)), map[string]string{applicationLabel: application(pod)}, containers[:]...)
	p.UID = types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", pod))
	p.CreationTimestamp = metav1.NewTime(w.started)
	return p
}
