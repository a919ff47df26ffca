// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// manifestRights are those of the manifests that users apply, by role.
func manifestRights(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../manifests/base/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var object struct {
			Kind     string                           `json:"kind"`
			Metadata struct{ Name, Namespace string } `json:"metadata"`
			Rules    []rbacv1.PolicyRule              `json:"rules"`
		}
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if object.Kind != "Role" && object.Kind != "ClusterRole" || object.Metadata.Name == "system:aggregated-metrics-reader" {
			continue
		}
		for _, rule := range object.Rules {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all[strings.Join([]string{object.Metadata.Namespace + "/" + object.Metadata.Name, verb, rule.APIGroups[0], resource, strings.Join(rule.ResourceNames, ",")}, " ")] = true
				}
			}
		}
	}
}

// The rights that are asked for, and that a command gives, are those of the manifests.
func TestRightsAreThoseOfTheManifests(t *testing.T) {
	c := &checker{}
	c.flags.CertificateSecret = types.NamespacedName{Namespace: "kube-system", Name: "metrics-server-tls"}
	c.flags.KubeletServiceAccount = types.NamespacedName{Namespace: "kube-system", Name: "metrics-server-kubelet"}
	c.flags.CAConfigMap = types.NamespacedName{Namespace: "kube-system", Name: "metrics-server-ca"}
	got := map[string]bool{}
	for _, r := range c.rights() {
		if r.role.builtIn != "" {
			continue
		}
		for _, verb := range r.verbs {
			got[strings.Join([]string{r.role.namespace + "/" + r.role.name, verb, r.group, r.resource, strings.Join(r.names, ",")}, " ")] = true
		}
	}
	want := manifestRights(t)
	// Only a server that is being replaced needs these, which shows its own token to kubelets.
	delete(want, "/system:metrics-server get  nodes/metrics ")
	delete(want, "/system:metrics-server get  nodes/stats ")
	if !maps.Equal(got, want) {
		t.Errorf("rights\n%s\nwant\n%s", strings.Join(slices.Sorted(maps.Keys(got)), "\n"), strings.Join(slices.Sorted(maps.Keys(want)), "\n"))
	}
}

// Each right that is missing is found.
func TestRights(t *testing.T) {
	for resource, code := range map[string]Code{
		"nodes": codeRight, "pods": codeRight, "serviceaccounts/token": codeRight, "nodes/metrics": codeRight, "nodes/stats": codeRightOptional, "events": codeRightOptional,
		"tokenreviews": codeRight, "subjectaccessreviews": codeRight, "configmaps": codeRight,
	} {
		f := newFakeAPI(t)
		f.denied[resource] = true
		c := f.checker(t)
		c.view.known = true // so that it is ours
		c.step(t.Context(), step{"rights", "", (*checker).checkRights})
		finding := mustFind(t, &c.report, code, resource)
		if len(finding.Mend) != 1 || !strings.Contains(finding.Mend[0], "kubectl auth reconcile") {
			t.Errorf("%s: %q", resource, finding.Mend)
		}
	}
}

// The account whose tokens are sent to kubelets needs the rights to read them.
func TestRightsOfTheKubeletAccount(t *testing.T) {
	f := newFakeAPI(t)
	f.denied["nodes/metrics"] = true
	finding := mustFind(t, f.run(t, f.config(t)), codeRight, "ServiceAccount kube-system/metrics-server-kubelet may not get nodes/metrics")
	if !strings.Contains(finding.Mend[0], `"name":"metrics-server-kubelet","namespace":"kube-system"`) || !strings.Contains(finding.Mend[0], "system:metrics-server-kubelet") {
		t.Errorf("%q", finding.Mend)
	}

	f = newFakeAPI(t)
	f.remove("/api/v1/namespaces/kube-system/serviceaccounts/metrics-server-kubelet")
	finding = mustFind(t, f.run(t, f.config(t)), codeAccountMissing, "kube-system/metrics-server-kubelet")
	if finding.Mend[0] != "kubectl -n kube-system create serviceaccount metrics-server-kubelet" {
		t.Errorf("%q", finding.Mend)
	}
}

// A server that shows kubelets its own credentials is found, and told how not to.
func TestOwnCredentials(t *testing.T) {
	for _, tc := range []struct {
		name  string
		args  []string
		view  serverView
		found bool
	}{
		{"own", nil, serverView{known: true}, true},
		{"of its own ServiceAccount", []string{"--kubelet-service-account=kube-system/metrics-server"}, serverView{known: true}, true},
		{"of a ServiceAccount", []string{"--kubelet-service-account=a/b"}, serverView{known: true}, false},
		{"another metrics server", nil, serverView{foreign: true}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newFakeAPI(t).checker(t)
			flags, err := parseFlags(tc.args, c.Client)
			if err != nil {
				t.Fatal(err)
			}
			c.flags, c.flagsKnown, c.view = flags, true, tc.view
			c.gatherDeployments(t)
			var s Step
			c.checkCredentials(&s)
			if (len(s.Findings) == 1) != tc.found {
				t.Fatalf("found %v", s.Findings)
			}
			if !tc.found {
				return
			}
			commands := strings.Join(s.Findings[0].Mend, "\n")
			for _, part := range []string{
				"kubectl -n kube-system create serviceaccount metrics-server-kubelet", `"nodes/metrics"`, `"serviceaccounts/token"`,
				"--kubelet-service-account=kube-system/metrics-server-kubelet", "kubectl -n kube-system patch deployment metrics-server",
			} {
				if !strings.Contains(commands, part) {
					t.Errorf("%q is not in:\n%s", part, commands)
				}
			}
		})
	}
}

// gatherDeployments reads what setFlag looks at.
func (c *checker) gatherDeployments(t *testing.T) {
	t.Helper()
	l, err := c.client.AppsV1().Deployments("kube-system").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.installation.deployments = l.Items
}

func TestNoAccount(t *testing.T) {
	f := newFakeAPI(t)
	f.remove("/api/v1/namespaces/kube-system/serviceaccounts/metrics-server")
	finding := mustFind(t, f.run(t, f.config(t)), codeAccountMissing, "kube-system/metrics-server")
	if finding.Mend[0] != "kubectl -n kube-system create serviceaccount metrics-server" {
		t.Errorf("%q", finding.Mend)
	}
}

// Nobody is told to give a server what it may have no use for, or to route to it by an API
// that it may not have.
func TestOnlyOurs(t *testing.T) {
	for name, tc := range map[string]struct {
		view           serverView
		found, skipped int
	}{
		"ours":    {serverView{known: true}, 3, 0},
		"foreign": {serverView{foreign: true}, 0, 0},
		"unknown": {serverView{unknown: "403"}, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeAPI(t)
			f.denied["nodes/stats"], f.denied["events"] = true, true
			f.remove("/apis/apiregistration.k8s.io/v1/apiservices/" + v1Name)
			c := f.checker(t)
			c.gather(t.Context())
			c.view = tc.view
			for _, s := range chain {
				if s.name == "apiservices" || s.name == "rights" {
					c.step(t.Context(), s)
				}
			}
			found, skipped := 0, 0
			for _, s := range c.report.Steps {
				found, skipped = found+len(s.Findings), skipped+len(s.NotChecked)
				if s.Result == ResultUnknown {
					t.Errorf("step %s is not checked: %q", s.Name, s.NotChecked)
				}
			}
			if found != tc.found || skipped != tc.skipped {
				t.Errorf("%d findings and %d not checked, want %d and %d:\n%s", found, skipped, tc.found, tc.skipped, c.report.text(t))
			}
		})
	}
}
