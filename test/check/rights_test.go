// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// withoutRule takes a verb on a resource away from a role.
func withoutRule(rules []rbacv1.PolicyRule, resource, verb string) (left []rbacv1.PolicyRule) {
	for _, rule := range rules {
		if !slices.Contains(rule.Resources, resource) || !slices.Contains(rule.Verbs, verb) {
			left = append(left, rule)
			continue
		}
		for _, r := range rule.Resources {
			only := *rule.DeepCopy()
			only.Resources = []string{r}
			if r == resource {
				only.Verbs = slices.DeleteFunc(only.Verbs, func(v string) bool { return v == verb })
			}
			if len(only.Verbs) > 0 {
				left = append(left, only)
			}
		}
	}
	return left
}

// Each right is taken away in turn.
func TestRights(t *testing.T) {
	// Its flags say that it keeps a certificate itself, which takes more rights.
	deployment(t, 0, "metrics-server")
	rbac := local.Client().RbacV1()
	var all []breakage
	right := func(verb, resource, code, object string, take func(t *testing.T)) {
		all = append(all, breakage{
			name: "no right to " + verb + " " + resource, code: code, object: object, seen: verb + " " + resource,
			mend: "kubectl auth reconcile", mends: true, warning: code == "right-missing-optional", breakIt: take,
		})
	}
	own := func(verb, resource, code string) {
		right(verb, resource, code, "clusterrolebinding/system:metrics-server", func(t *testing.T) {
			role, err := rbac.ClusterRoles().Get(t.Context(), "system:metrics-server", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			role.Rules = withoutRule(role.Rules, resource, verb)
			if _, err := rbac.ClusterRoles().Update(t.Context(), role, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	}
	for _, resource := range []string{"nodes", "pods"} {
		own("list", resource, "right-missing")
		own("watch", resource, "right-missing")
	}
	own("get", "nodes/metrics", "right-missing")
	own("get", "nodes/stats", "right-missing-optional")
	for _, verb := range []string{"get", "list", "watch", "patch"} {
		own(verb, "apiservices", "right-missing")
	}
	namespaced := func(namespace, name, resource, code string, verbs ...string) {
		for _, verb := range verbs {
			right(verb, resource, code, "rolebinding/"+name, func(t *testing.T) {
				role, err := rbac.Roles(namespace).Get(t.Context(), name, metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				role.Rules = withoutRule(role.Rules, resource, verb)
				if _, err := rbac.Roles(namespace).Update(t.Context(), role, metav1.UpdateOptions{}); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	namespaced("kube-system", "metrics-server-tls", "secrets", "right-missing", "get", "list", "watch", "create", "patch")
	namespaced("default", "metrics-server-events", "events", "right-missing-optional", "get", "create", "patch")
	unbound := func(verb, resource, kind, namespace, name string) {
		right(verb, resource, "right-missing", kind+"/"+name, func(t *testing.T) {
			kubectl(t, "delete", kind+"/"+name, "-n", namespace)
		})
	}
	unbound("create", "tokenreviews", "clusterrolebinding", "default", "metrics-server:system:auth-delegator")
	unbound("create", "subjectaccessreviews", "clusterrolebinding", "default", "metrics-server:system:auth-delegator")
	unbound("get", "configmaps", "rolebinding", "kube-system", "metrics-server-auth-reader")
	unbound("list", "nodes", "clusterrolebinding", "default", "system:metrics-server")
	for _, b := range all {
		t.Run(strings.ReplaceAll(fmt.Sprintf("%s %s", b.name, b.object), "/", " "), b.test)
	}
}
