// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// streamingLists is the switch of the Kubernetes libraries for lists that are
// watches, which take the right to watch only. API servers before 1.34 or so do
// not have them.
const streamingLists = "KUBE_FEATURE_WatchListClient"

const tlsSecret, caConfigMap = "metrics-server-tls", "metrics-server-ca"

// role is a Role of the release that is bound to the server's account or to the one whose
// tokens kubelets are shown, or without a namespace a ClusterRole.
type role struct {
	namespace, name string
	rules           []rbacv1.PolicyRule
}

// ownRoles are the release's own, with all bindings of the server's account.
func (s *installed) ownRoles(t *testing.T) (roles []role, bindings []string) {
	t.Helper()
	all := objects(t, s.must(t, "get", "manifest", "metrics-server", "--namespace", s.namespace))
	for _, b := range typed[rbacv1.ClusterRoleBinding](t, all, "ClusterRoleBinding") {
		if b.Subjects[0].Name != "metrics-server" {
			continue // kubelets tell what it is for
		}
		bindings = append(bindings, fmt.Sprintf("ClusterRoleBinding %q", b.Name))
	}
	for _, b := range typed[rbacv1.RoleBinding](t, all, "RoleBinding") {
		bindings = append(bindings, fmt.Sprintf("RoleBinding %q", b.Name+"/"+b.Namespace))
	}
	for _, r := range typed[rbacv1.ClusterRole](t, all, "ClusterRole") {
		if r.Name == "system:metrics-server" || r.Name == "system:metrics-server-kubelet" {
			if r.Name == "system:metrics-server" {
				// Only a server that is being replaced needs this: test/switchover.
				r.Rules = slices.DeleteFunc(r.Rules, func(rule rbacv1.PolicyRule) bool { return slices.Contains(rule.Resources, "nodes/metrics") })
			}
			roles = append(roles, role{"", r.Name, r.Rules})
		}
	}
	for _, r := range typed[rbacv1.Role](t, all, "Role") {
		roles = append(roles, role{r.Namespace, r.Name, r.Rules})
	}
	if len(roles) != 6 || len(bindings) != 7 {
		t.Fatalf("roles %v, bindings %v", roles, bindings)
	}
	return roles, bindings
}

// askAsPrometheus reads /metrics with a token, so that the server asks the API
// server whose it is and what its owner may do.
func (s *installed) askAsPrometheus(t *testing.T) string {
	t.Helper()
	const name = "install-test-prometheus"
	kubectl(t, "create", "clusterrole", name, "--verb=get", "--non-resource-url=/metrics")
	kubectl(t, "create", "clusterrolebinding", name, "--clusterrole="+name, "--serviceaccount="+s.namespace+":default")
	t.Cleanup(func() {
		if _, err := plane.Kubectl(context.WithoutCancel(t.Context()), "delete", "clusterrole/"+name, "clusterrolebinding/"+name); err != nil {
			t.Error(err)
		}
	})
	config := &rest.Config{
		Host:        fmt.Sprintf("https://localhost:%d", s.port),
		BearerToken: must[string](t)(plane.ServiceAccountToken(t.Context(), s.namespace, "default")),
		TLSClientConfig: rest.TLSClientConfig{
			CAData: []byte(s.publishedCA(t)), ServerName: "metrics-server." + s.namespace + ".svc",
		},
	}
	client := must[*http.Client](t)(rest.HTTPClientFor(config))
	return must[string](t)(read(t.Context(), client, config.Host+"/metrics"))
}

// publishedCA waits until the ConfigMap has the CA of the Secret: both may be of a server before.
func (s *installed) publishedCA(t *testing.T) (ca string) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		object, err := plane.Client().CoreV1().ConfigMaps(s.namespace).Get(t.Context(), caConfigMap, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if ca = object.Data["ca.crt"]; ca != string(s.secret(t, tlsSecret)["ca.crt"]) {
			return errors.New("the ConfigMap has another CA than the Secret")
		}
		return nil
	})
	return ca
}

// used are the rights that the kubelets have asked the API server for.
func (k kubelets) used() map[grant]bool {
	used := map[grant]bool{}
	for path, subresource := range map[string]string{"/metrics/resource": "metrics", "/stats/summary": "stats"} {
		for _, n := range []*kubeletsim.Node{k.recent, k.old} {
			if n.Requests()[kubeletsim.Request{Path: path, Status: http.StatusOK}] > 0 {
				used[grant{"get", "", "nodes/" + subresource, ""}] = true
			}
		}
	}
	return used
}

// TestServer has the server run with the flags and rights of the chart. What the second
// has to tell of the dead node, the first has told.
func TestServer(t *testing.T) {
	s := installServer(t)
	from := auditEnd(t)
	var metrics string
	for _, streaming := range []string{"true", "false"} {
		t.Setenv(streamingLists, streaming)
		started := auditEnd(t)
		p, stop := s.start(t)
		s.waitServed(t, p)
		if streaming == "true" {
			metrics = s.askAsPrometheus(t)
		}
		s.waitEvent(t, started)
		stop()
	}
	t.Run("no call is refused, and no right is spare", func(t *testing.T) { s.checkRights(t, from) })
	t.Run("alerts and dashboard ask for what there is", func(t *testing.T) { checkQueries(t, metrics) })
}

// checkRights compares what the server has done, by the audit log from a place on
// and the kubelets, with what it may do.
func (s *installed) checkRights(t *testing.T, from int64) {
	t.Helper()
	roles, bindings := s.ownRoles(t)
	used, reasons := s.used(), ""
	for _, e := range eventsOf(t, s.user, from) {
		if e.refused() {
			t.Errorf("refused: %s", e.RequestURI)
		}
		reasons += e.Annotations["authorization.k8s.io/reason"] + "\n"
		for _, g := range e.grants() {
			used[g] = true
			g.name = "" // the right may be to all of them
			used[g] = true
		}
	}
	for _, r := range roles {
		for _, g := range grantsOf(r.rules) {
			t.Logf("%-50s used: %t", g, used[g])
			if !used[g] {
				t.Errorf("nothing needs the right to %s", g)
			}
		}
	}
	for _, b := range bindings {
		if !strings.Contains(reasons, "allowed by "+b) {
			t.Errorf("nothing needs %s", b)
		}
	}
}

// waitEvent waits until the server has told of the dead node.
func (s *installed) waitEvent(t *testing.T, from int64) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		for _, e := range eventsOf(t, s.user, from) {
			if e.ObjectRef.Resource == "events" && (e.ResponseStatus.Code == http.StatusCreated || e.Verb == "patch") {
				return nil
			}
		}
		return errors.New("no Event is written")
	})
}

// TestEachRightIsNeeded takes each right away in turn.
func TestEachRightIsNeeded(t *testing.T) {
	t.Setenv(streamingLists, "false")
	s := installServer(t)
	roles, _ := s.ownRoles(t)
	// Some rights are needed only for what is there already.
	from := auditEnd(t)
	_, stop := s.start(t)
	s.waitEvent(t, from)
	stop()
	for _, r := range roles {
		for _, g := range grantsOf(r.rules) {
			s.checkNeeded(t, r, g)
		}
	}
}

// checkNeeded starts the server without a right, and without what it has made
// before, and waits until it is refused something for that reason.
func (s *installed) checkNeeded(t *testing.T, r role, g grant) {
	t.Helper()
	t.Run(g.String(), func(t *testing.T) {
		if err := s.deleteWritten(t.Context()); err != nil {
			t.Fatal(err)
		}
		setBundle(t, "")
		if err := r.set(t.Context(), rulesWithout(grantsOf(r.rules), g)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := r.set(context.WithoutCancel(t.Context()), r.rules); err != nil {
				t.Error(err)
			}
		})
		from, before := auditEnd(t), s.refusals()
		p, stop := s.start(t)
		var request string
		eventually.Succeeds(t, patience, func() error {
			for _, e := range eventsOf(t, s.user, from) {
				if e.refused() {
					request = e.Verb + " " + e.RequestURI
				}
			}
			if s.refusals() > before {
				request = "of a kubelet"
			}
			if request == "" {
				return errors.New("the server is refused nothing")
			}
			return nil
		})
		// Whoever runs the server learns it from its log.
		var line string
		eventually.Succeeds(t, patience, func() error {
			if line = firstLine(serverLog(t, p), "forbidden", "Forbidden"); line == "" {
				return fmt.Errorf("the server's log does not tell that it is refused %s", request)
			}
			return nil
		})
		stop()
		t.Logf("refused: %s\nlog: %s", request, line)
	})
}

// refusals counts those of kubelets.
func (k kubelets) refusals() (n int) {
	for _, node := range []*kubeletsim.Node{k.recent, k.old} {
		for request, count := range node.Requests() {
			if request.Status == http.StatusForbidden {
				n += count
			}
		}
	}
	return n
}

// set gives the role other rules.
func (r role) set(ctx context.Context, rules []rbacv1.PolicyRule) error {
	if r.namespace == "" {
		roles := plane.Client().RbacV1().ClusterRoles()
		object, err := roles.Get(ctx, r.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		object.Rules = rules
		_, err = roles.Update(ctx, object, metav1.UpdateOptions{})
		return err
	}
	roles := plane.Client().RbacV1().Roles(r.namespace)
	object, err := roles.Get(ctx, r.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	object.Rules = rules
	_, err = roles.Update(ctx, object, metav1.UpdateOptions{})
	return err
}

// firstLine is the first of a text that has one of the words.
func firstLine(text string, words ...string) string {
	for line := range strings.Lines(text) {
		for _, w := range words {
			if strings.Contains(line, w) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}
