// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/cluster"
)

// restrict has Pod Security admit to a namespace only what keeps to its strictest
// profile.
func restrict(t *testing.T, namespace string) {
	t.Helper()
	if err := plane.EnsureNamespace(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "label", "--overwrite", "namespace", namespace,
		"pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/enforce-version=latest")
}

// admitPod has the API server check a pod of the Deployment metrics-server, as the
// controller would create it.
func admitPod(t *testing.T, namespace string) {
	t.Helper()
	d := must[*appsv1.Deployment](t)(plane.Client().AppsV1().Deployments(namespace).Get(t.Context(), "metrics-server", metav1.GetOptions{}))
	pod := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
	pod.Name = "metrics-server-pod"
	must[*corev1.Pod](t)(plane.Client().CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}))
}

func TestPodSecurityIsEnforced(t *testing.T) {
	restrict(t, "enforced")
	_, err := plane.Client().CoreV1().Pods("enforced").Create(t.Context(),
		cluster.NewPod("enforced", "loose", "", nil, "container"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
		t.Fatalf("a pod that is not restricted: %v", err)
	}
}

func TestManifests(t *testing.T) {
	restrict(t, "kube-system")
	t.Cleanup(func() {
		if _, err := plane.Kubectl(context.WithoutCancel(t.Context()), "label", "namespace", "kube-system", "pod-security.kubernetes.io/enforce-"); err != nil {
			t.Error(err)
		}
	})
	bundle := newBundle(t)
	for _, folder := range []string{"base", "overlays/high-availability", "overlays/autoscale"} {
		for _, mode := range []string{"--server-side=false", "--server-side=true"} {
			t.Run(folder+" "+mode, func(t *testing.T) {
				path := filepath.Join(repository(), "manifests", folder)
				out := kubectl(t, "apply", mode, "-k", path)
				t.Logf("kubectl apply %s -k manifests/%s\n%s", mode, folder, out)
				admitPod(t, "kube-system")
				checkTrust(t, false, nil, "")
				setBundle(t, bundle)
				kubectl(t, "apply", mode, "-k", path)
				checkTrust(t, false, []byte(bundle), "")
				kubectl(t, "delete", "-k", path)
			})
		}
	}
}
