// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A flag is set whether and however the Deployment has it.
func TestSetFlag(t *testing.T) {
	const path = "/spec/template/spec/containers/1/"
	for name, tc := range map[string]struct {
		command, args []string
		flag, value   string
		want          string
	}{
		"no args":         {nil, nil, "a", "b", `[{"op":"add","path":"` + path + `args","value":["--a=b"]}]`},
		"other args":      {nil, []string{"--x"}, "a", "b", `[{"op":"add","path":"` + path + `args/-","value":"--a=b"}]`},
		"one arg":         {nil, []string{"--x", "--a=c"}, "a", "b", `[{"op":"replace","path":"` + path + `args/1","value":"--a=b"}]`},
		"two args":        {nil, []string{"--a", "c", "--x"}, "a", "b", `[{"op":"replace","path":"` + path + `args/1","value":"b"}]`},
		"true or false":   {nil, []string{"--a", "--x"}, "a", "true", `[{"op":"replace","path":"` + path + `args/0","value":"--a=true"}]`},
		"command":         {[]string{"/metrics-server", "--a=c"}, nil, "a", "b", `[{"op":"replace","path":"` + path + `command/1","value":"--a=b"}]`},
		"the last counts": {nil, []string{"--a=c", "--a=d"}, "a", "b", `[{"op":"replace","path":"` + path + `args/1","value":"--a=b"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			var d appsv1.Deployment
			d.Namespace, d.Name = "kube-system", "metrics-server"
			d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "proxy"}, {Name: "metrics-server", Command: tc.command, Args: tc.args}}
			c := &checker{}
			c.installation.deployments = []appsv1.Deployment{d}
			want := "kubectl -n kube-system patch deployment metrics-server --type=json -p '" + tc.want + "'"
			if got := c.setFlag(tc.flag, tc.value); len(got) != 1 || got[0] != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// More memory is not less than there is.
func TestMoreMemory(t *testing.T) {
	for name, tc := range map[string]struct{ limit, request, want string }{
		"small":            {"200Mi", "", "--limits=memory=1Gi --requests=memory=1Gi"},
		"large":            {"4Gi", "1Gi", "--limits=memory=8Gi --requests=memory=8Gi"},
		"no limit":         {"", "3Gi", "--requests=memory=6Gi"},
		"nothing is asked": {"", "", "--requests=memory=1Gi"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := serverPod()
			r := &pod.Spec.Containers[0].Resources
			r.Limits, r.Requests = corev1.ResourceList{}, corev1.ResourceList{}
			if tc.limit != "" {
				r.Limits[corev1.ResourceMemory] = resource.MustParse(tc.limit)
			}
			if tc.request != "" {
				r.Requests[corev1.ResourceMemory] = resource.MustParse(tc.request)
			}
			if got := moreMemory(&pod, "metrics-server"); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

// A change to what Helm, Argo CD or Flux applies is undone by them, unless it is made in their source.
func TestInSource(t *testing.T) {
	for name, tc := range map[string]struct {
		labels, annotations map[string]string
		want                string
	}{
		"by hand":      {nil, nil, ""},
		"another":      {map[string]string{"app.kubernetes.io/managed-by": "someone"}, nil, ""},
		"Helm":         {map[string]string{"app.kubernetes.io/managed-by": "Helm"}, nil, "in the values of the Helm release"},
		"Argo CD":      {nil, map[string]string{"argocd.argoproj.io/tracking-id": "a:apps/Deployment:b/c"}, "in the source of the Argo CD application"},
		"Flux":         {map[string]string{"kustomize.toolkit.fluxcd.io/name": "infra"}, nil, "in the source of the Flux Kustomization"},
		"Helm by Flux": {map[string]string{"app.kubernetes.io/managed-by": "Helm", "helm.toolkit.fluxcd.io/name": "metrics"}, nil, "in the values of the Flux HelmRelease"},
	} {
		c := &checker{}
		c.installation.deployments = []appsv1.Deployment{{ObjectMeta: metav1.ObjectMeta{Name: "metrics-server", Labels: tc.labels, Annotations: tc.annotations}}}
		c.installation.deployments[0].Spec.Template.Spec.Containers = []corev1.Container{{Name: "metrics-server"}}
		commands := c.setFlag("a", "b")
		if last := commands[len(commands)-1]; !strings.Contains(last, "kubectl") {
			t.Errorf("%s: %q", name, commands)
		}
		if first := commands[0]; tc.want != "" && !strings.Contains(first, "set --a=b "+tc.want) || tc.want == "" && len(commands) != 1 {
			t.Errorf("%s: %q, want %q", name, commands, tc.want)
		}
	}
}
