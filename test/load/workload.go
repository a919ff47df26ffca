// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	podsPerApplication = 10
	podsPerNamespace   = 1500
)

// workload says what each pod is, from its number alone.
type workload struct {
	nodes, podsPerNode, containersPerPod int
	started                              time.Time
}

func (w *workload) pods() int { return w.nodes * w.podsPerNode }

// namespaces that have pods.
func (w *workload) namespaces() int { return (w.pods() + podsPerNamespace - 1) / podsPerNamespace }

// podsOf a namespace.
func (w *workload) podsOf(namespace int) int {
	return min(podsPerNamespace, w.pods()-namespace*podsPerNamespace)
}

func (w *workload) nodeName(node int) string { return fmt.Sprintf("node-%d", node) }

func (w *workload) namespace(pod int) string { return namespaceName(pod / podsPerNamespace) }

func namespaceName(namespace int) string { return fmt.Sprintf("namespace-%d", namespace) }

// application is the number of a pod's application in its namespace: those of
// different namespaces share their names, as the stages of a product do.
func (w *workload) application(pod int) int { return pod % podsPerNamespace / podsPerApplication }

func applicationName(application int) string { return fmt.Sprintf("app-%d", application) }

// podsOfApplication that the pod belongs to: the last one may have fewer.
func (w *workload) podsOfApplication(pod int) int {
	first := pod - pod%podsPerApplication
	return min(podsPerApplication, w.pods()-first)
}

// podName is as long as that of a Deployment's pod.
func (w *workload) podName(pod int) string {
	return fmt.Sprintf("%s-%s-%05d", applicationName(w.application(pod)), w.templateHash(pod), pod%podsPerApplication)
}

func (w *workload) templateHash(pod int) string {
	const multiplier = 2654435761 // spreads numbers over 32 bits
	return fmt.Sprintf("%08x", uint32(pod/podsPerApplication+1)*multiplier)
}

var tiers = [...]string{"frontend", "backend", "data"}

func (w *workload) labels(pod int) map[string]string {
	application := w.application(pod)
	return map[string]string{
		"app.kubernetes.io/name":     applicationName(application),
		"app.kubernetes.io/instance": w.namespace(pod) + "-" + applicationName(application),
		"pod-template-hash":          w.templateHash(pod),
		"tier":                       tiers[application%len(tiers)],
	}
}

// selector matches the pods of the pod's application, in its namespace.
func (w *workload) selector(pod int) string {
	return "app.kubernetes.io/name=" + applicationName(w.application(pod))
}

// node of a pod: those of an application are on different ones.
func (w *workload) node(pod int) int { return pod % w.nodes }

// simulated is what a kubelet knows of a pod. No two use the same.
func (w *workload) simulated(pod int) kubeletsim.Pod {
	p := kubeletsim.Pod{
		Namespace: w.namespace(pod), Name: w.podName(pod), Containers: make([]kubeletsim.Container, w.containersPerPod),
	}
	for i := range p.Containers {
		p.Containers[i] = kubeletsim.Container{
			Name: containerName(i), Start: w.started,
			CPU:    kubeletsim.Constant(0.005*float64(1+i) + float64(pod)*1e-7),
			Memory: kubeletsim.Constant(float64(32*(1+i))*(1<<20) + float64(pod)*4096),
		}
	}
	return p
}

func containerName(i int) string {
	switch i {
	case 0:
		return "web"
	case 1:
		return "proxy"
	}
	return fmt.Sprintf("sidecar-%d", i)
}

// describe is for localcluster.
func (w *workload) describe(pod int) localcluster.Workload {
	return localcluster.Workload{Pod: w.simulated(pod), Labels: w.labels(pod)}
}

// apiPod is what the API says of a pod, about as long as it is in a cluster: 4 kB.
func (w *workload) apiPod(pod int) *corev1.Pod {
	names := make([]string, w.containersPerPod)
	for i := range names {
		names[i] = containerName(i)
	}
	p := cluster.NewPod(w.namespace(pod), w.podName(pod), w.nodeName(w.node(pod)), w.labels(pod), names...)
	p.UID = types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", pod))
	p.CreationTimestamp = metav1.NewTime(w.started)
	p.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", UID: types.UID(fmt.Sprintf("00000000-0000-0000-0001-%012d", pod/podsPerApplication)),
		Name: applicationName(w.application(pod)) + "-" + w.templateHash(pod),
	}}
	p.ManagedFields = managedFields
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		c.Image = "registry.example.com/team/" + c.Name + "@sha256:" + strings.Repeat("0123456789abcdef", 4)
		c.Env, c.VolumeMounts = environment, []corev1.VolumeMount{{Name: "token", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}
	}
	p.Spec.ServiceAccountName, p.Spec.SchedulerName = "default", corev1.DefaultSchedulerName
	p.Spec.Tolerations = []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	}
	return p
}

// environment and managedFields are those of many pods: the latter list each field
// that its manager has set.
var (
	environment = []corev1.EnvVar{
		{Name: "DATABASE_URL", Value: "postgres://database.default.svc:5432/application"},
		{Name: "LOG_LEVEL", Value: "info"}, {Name: "PORT", Value: "8080"},
	}
	managedFields = []metav1.ManagedFieldsEntry{
		{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: fieldsOf("f:spec", 60)},
		{Manager: "kubelet", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: fieldsOf("f:status", 40), Subresource: "status"},
	}
)

func fieldsOf(part string, n int) *metav1.FieldsV1 {
	var fields []string
	for i := range n {
		fields = append(fields, fmt.Sprintf(`"f:field-%d":{".":{}}`, i))
	}
	return metav1.NewFieldsV1(fmt.Sprintf(`{%q:{%s}}`, part, strings.Join(fields, ",")))
}

// apiNode is what the API says of a node.
func apiNode(n *kubeletsim.Node, port int) *corev1.Node {
	return cluster.NewNode(n.Name(), n.Address(), int32(port), nil)
}
