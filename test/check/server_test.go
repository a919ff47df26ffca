// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/cluster"
)

// service has the Service lead to pods, of which there are none that serve.
func service(t *testing.T, selector string) {
	t.Helper()
	restore(t)
	kubectl(t, "-n", "kube-system", "delete", "service/metrics-server", "--ignore-not-found")
	apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec: {selector: {k8s-app: %s}, ports: [{name: https, port: %d, targetPort: https}]}
`, selector, serverPort(t)))
}

// deployment is that of the manifests, as far as it matters.
func deployment(t *testing.T, replicas int, account string) {
	t.Helper()
	apply(t, fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: metrics-server, namespace: kube-system}
spec:
  replicas: %d
  selector: {matchLabels: {k8s-app: metrics-server}}
  template:
    metadata: {labels: {k8s-app: metrics-server}}
    spec:
      serviceAccountName: %s
      containers:
      - name: metrics-server
        image: ghcr.io/kubemeter/metrics-server:v0.1.0
        args: [--tls-secret=kube-system/metrics-server-tls, --metric-resolution=15s]
        ports: [{name: https, containerPort: 10250}]
`, replicas, account))
	remove(t, "-n", "kube-system", "deployment/metrics-server")
	remove(t, "-n", "kube-system", "pod", "--selector=k8s-app=metrics-server", "--force")
}

// pod makes a pod of the server with a status.
func pod(t *testing.T, change func(*corev1.Pod)) {
	t.Helper()
	p := cluster.NewPod("kube-system", "metrics-server-0", "node-0", map[string]string{"k8s-app": "metrics-server"}, "metrics-server")
	change(p)
	pods := local.Client().CoreV1().Pods(p.Namespace)
	created, err := pods.Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	remove(t, "-n", "kube-system", "pod/metrics-server-0", "--force")
	created.Status = p.Status
	if _, err := pods.UpdateStatus(t.Context(), created, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func waits(reason, message string) func(*testing.T) {
	return func(t *testing.T) {
		service(t, "metrics-server")
		pod(t, func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			status := &p.Status.ContainerStatuses[0]
			status.Ready, status.Started = false, nil
			status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
			status.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: "--kubelet-port=0: must be from 1 to 65535"}}
			unready(p)
		})
	}
}

func unready(p *corev1.Pod) {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
			c.Status, c.Reason, c.Message = corev1.ConditionFalse, "ContainersNotReady", "containers with unready status: [metrics-server]"
		}
	}
}

func TestServer(t *testing.T) {
	const pod0 = "pod/metrics-server-0"
	for _, b := range []breakage{
		{name: "no Service", code: "service-missing", object: "service/metrics-server", seen: "there is no Service", mend: "kubectl apply", mends: true,
			breakIt: func(t *testing.T) {
				restore(t)
				kubectl(t, "-n", "kube-system", "delete", "service/metrics-server")
			}},
		{name: "no endpoints", code: "service-no-endpoints", object: "service/metrics-server", seen: "no ready endpoint", mend: "get pods",
			breakIt: func(t *testing.T) { service(t, "metrics-server") }},
		{name: "Service selects other pods", code: "service-selector", object: "service/metrics-server", seen: "k8s-app=metrics", mend: "/spec/selector", mends: true,
			breakIt: func(t *testing.T) {
				service(t, "metrics")
				deployment(t, 1, "metrics-server")
			}},
		{name: "APIService names a port that the Service has not", code: "apiservice-port", object: "apiservice/v1beta1.metrics.k8s.io", seen: "ServicePortError", mend: "kubectl patch apiservice", mends: true,
			breakIt: func(t *testing.T) {
				service(t, "metrics-server")
				kubectl(t, "patch", "apiservice", "v1beta1.metrics.k8s.io", "--type=merge", "-p", `{"spec":{"service":{"port":4444}}}`)
			}},
		{name: "not installed", code: "server-not-installed", seen: "no pod and no Deployment", mend: "kubectl apply -k",
			breakIt: func(t *testing.T) { service(t, "metrics-server") }},
		{name: "scaled to zero", code: "server-scaled-to-zero", object: "deployment/metrics-server", seen: "0 replicas", mend: "scale deployment", mends: true,
			breakIt: func(t *testing.T) {
				service(t, "metrics-server")
				deployment(t, 0, "metrics-server")
			}},
		{name: "no ServiceAccount", code: "service-account-missing", object: "deployment/metrics-server", seen: "service account", mend: "create serviceaccount", mends: true,
			breakIt: func(t *testing.T) {
				service(t, "metrics-server")
				deployment(t, 1, "none")
				remove(t, "-n", "kube-system", "serviceaccount/none")
			}},
		{name: "no node takes the pod", code: "server-unschedulable", object: pod0, seen: "0/3 nodes are available", mend: "describe pod",
			breakIt: func(t *testing.T) {
				service(t, "metrics-server")
				pod(t, func(p *corev1.Pod) {
					p.Spec.NodeName, p.Status.Phase, p.Status.ContainerStatuses = "", corev1.PodPending, nil
					p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
						Reason: "Unschedulable", Message: "0/3 nodes are available: 3 Insufficient memory."}}
				})
			}},
		{name: "image cannot be pulled", code: "server-image", object: pod0, seen: "ImagePullBackOff", mend: "set image",
			breakIt: waits("ImagePullBackOff", `Back-off pulling image "ghcr.io/kubemeter/metrics-server:v9": not found`)},
		{name: "crash loop", code: "server-crashes", object: pod0, seen: "--kubelet-port=0: must be from 1 to 65535", mend: "logs metrics-server-0 --previous",
			breakIt: waits("CrashLoopBackOff", "back-off 5m0s restarting failed container")},
		{name: "container cannot be made", code: "server-container-config", object: pod0, seen: `secret "certificate" not found`, mend: "describe pod",
			breakIt: waits("CreateContainerConfigError", `secret "certificate" not found`)},
		{name: "killed for its memory", code: "server-out-of-memory", object: pod0, seen: "killed for its memory", mend: "--requests=memory=1Gi",
			breakIt: func(t *testing.T) {
				service(t, "metrics-server")
				pod(t, func(p *corev1.Pod) {
					status := &p.Status.ContainerStatuses[0]
					status.Ready, status.RestartCount = false, 7
					status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
					status.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}}
					unready(p)
				})
			}},
		{name: "server is not ready", code: "server-not-ready", object: pod0, seen: "not ready", mend: "logs metrics-server-0",
			breakIt: func(t *testing.T) {
				service(t, "metrics-server")
				pod(t, func(p *corev1.Pod) {
					p.Status.ContainerStatuses[0].Ready = false
					unready(p)
				})
			}},
	} {
		t.Run(b.name, b.test)
	}
}
