// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// role is what gives a ServiceAccount rights: a role of its own, or one that every cluster has,
// and the binding.
type role struct {
	name string
	// account that has the rights; zero is the server's.
	account types.NamespacedName
	// namespace of a Role and RoleBinding; "" for those of the cluster.
	namespace string
	// builtIn is the name of a role that is there already, "" for one of rules.
	builtIn string
}

// right is to do something with a resource.
type right struct {
	role            *role
	verbs           []string
	group, resource string
	names           []string // of objects; none means all
	use             string
	// optional is what the server does without where it need not, and says so.
	optional bool
}

var (
	ownRole       = &role{name: "system:metrics-server"}
	delegatorRole = &role{name: "metrics-server:system:auth-delegator", builtIn: "system:auth-delegator"}
	// Events about nodes, which have no namespace, are in this one.
	eventRole  = &role{name: "metrics-server-events", namespace: metav1.NamespaceDefault}
	readerRole = &role{name: "metrics-server-auth-reader", namespace: metav1.NamespaceSystem, builtIn: "extension-apiserver-authentication-reader"}
)

// rights are all of the manifests. Those with a certificate of its own are for servers that
// keep it in a Secret.
func (c *checker) rights() []right {
	all := []right{
		{role: ownRole, verbs: []string{"list", "watch"}, resource: "nodes", use: "to know which nodes to scrape"},
		{role: ownRole, verbs: []string{"list", "watch"}, resource: "pods", use: "to know which pods run, where, and with which labels"},
		{role: delegatorRole, verbs: []string{"create"}, group: "authentication.k8s.io", resource: "tokenreviews", use: "to learn whose a token is that it is shown"},
		{role: delegatorRole, verbs: []string{"create"}, group: "authorization.k8s.io", resource: "subjectaccessreviews", use: "to learn what a client may read"},
		{role: readerRole, verbs: []string{"get", "list", "watch"}, resource: "configmaps", names: []string{authenticationConfig}, use: "to recognize the API server"},
		{role: eventRole, verbs: []string{"get", "create", "patch"}, group: "events.k8s.io", resource: "events", use: "to tell of nodes without metrics in Events", optional: true},
	}
	kubeletRole := c.kubeletRole()
	if account := c.flags.KubeletServiceAccount; account.Name != "" {
		all = append(all, right{role: c.tokenRole(), verbs: []string{"create"},
			resource: "serviceaccounts/token", names: []string{account.Name}, use: "to get the tokens for kubelets"})
	}
	all = append(all,
		right{role: kubeletRole, verbs: []string{"get"}, resource: "nodes/metrics", use: "for kubelets to let it read /metrics/resource"},
		right{role: kubeletRole, verbs: []string{"get"}, resource: "nodes/stats", use: "for kubelets without /metrics/resource to let it read /stats/summary", optional: true})
	if ca := c.flags.CAConfigMap; ca.Name != "" {
		all = append(all, right{role: &role{name: ca.Name, namespace: ca.Namespace}, verbs: []string{"create", "patch"},
			resource: "configmaps", names: []string{ca.Name}, use: "to publish the CA of its certificate, by which Prometheus verifies it", optional: true})
	}
	if secret := c.flags.CertificateSecret; c.managesCertificate() {
		tls := &role{name: secret.Name, namespace: secret.Namespace}
		all = append(all,
			right{role: ownRole, verbs: []string{"get", "list", "watch", "patch"}, group: apiServiceGroup, resource: "apiservices", names: []string{v1Name, v1beta1Name},
				use: "to keep the CA of its certificate where the API server looks for it"},
			right{role: tls, verbs: []string{"get", "list", "watch", "create", "patch"}, resource: "secrets", names: []string{secret.Name},
				use: "to keep and renew its serving certificate"})
	}
	return all
}

// kubeletRole is that of the account whose credentials are sent to kubelets.
func (c *checker) kubeletRole() *role {
	if account := c.flags.KubeletServiceAccount; account.Name != "" {
		return &role{name: "system:metrics-server-kubelet", account: account}
	}
	return ownRole
}

// tokenRole lets the server request tokens for kubelets.
func (c *checker) tokenRole() *role {
	account := c.flags.KubeletServiceAccount
	return &role{name: account.Name + "-token", namespace: account.Namespace}
}

// ask is whether an account may do one thing.
func (r *right) ask(verb, name string) *authorizationv1.ResourceAttributes {
	resource, subresource, _ := strings.Cut(r.resource, "/")
	a := &authorizationv1.ResourceAttributes{
		Verb: verb, Group: r.group, Resource: resource, Subresource: subresource, Name: name,
	}
	if r.role.namespace != "" {
		a.Namespace = r.role.namespace
	}
	return a
}

// checkRights asks the API server for each right of the server's account.
func (c *checker) checkRights(ctx context.Context, s *Step) {
	if c.findMissingAccount(ctx, s, c.account) {
		return
	}
	if account := c.flags.KubeletServiceAccount; account.Name != "" {
		c.findMissingAccount(ctx, s, account)
	}
	all, granted, wanted := c.rights(), 0, 0
	for _, r := range all {
		if r.optional && !c.ours(s, "the right to "+strings.Join(r.verbs, ", ")+" "+r.describe()) {
			continue
		}
		wanted++
		missing, reason, err := c.missing(ctx, &r)
		if err != nil {
			unseen(s, "the rights of ServiceAccount "+c.accountOf(r.role).String(), err)
			return
		}
		if len(missing) == 0 {
			granted++
			continue
		}
		code := codeRight
		if r.optional {
			code = codeRightOptional
		}
		seen := fmt.Sprintf("ServiceAccount %s may not %s: %s", c.accountOf(r.role), strings.Join(missing, ", "), r.use)
		if reason != "" {
			seen += "; the API server says: " + plain(reason)
		}
		s.find(code, r.role.object(), seen, c.reconcile(r.role, all))
	}
	if granted > 0 {
		accounts := "ServiceAccount " + c.account.String()
		if account := c.flags.KubeletServiceAccount; account.Name != "" {
			accounts += ", and " + account.String() + " for kubelets,"
		}
		s.fact("%s has %d of %d rights", accounts, granted, wanted)
	}
	if !c.flagsKnown {
		s.skip("the rights for a certificate of its own: the server's flags are not known")
	}
}

func (c *checker) findMissingAccount(ctx context.Context, s *Step, account types.NamespacedName) (missing bool) {
	_, err := c.client.CoreV1().ServiceAccounts(account.Namespace).Get(ctx, account.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		s.find(codeAccountMissing, "serviceaccount/"+account.Name, fmt.Sprintf("there is no ServiceAccount %s", account), mendAccount(account))
		return true
	}
	return false
}

// accountOf is the ServiceAccount that needs a role.
func (c *checker) accountOf(r *role) types.NamespacedName {
	if r.account.Name != "" {
		return r.account
	}
	return c.account
}

// missing are the verbs, with the resource, that are not allowed.
func (c *checker) missing(ctx context.Context, r *right) (missing []string, reason string, err error) {
	names := r.names
	if len(names) == 0 {
		names = []string{""}
	}
	account := c.accountOf(r.role)
	var verbs []string
	for _, verb := range r.verbs {
		for _, name := range names {
			review, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{
					User:               "system:serviceaccount:" + account.Namespace + ":" + account.Name,
					Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + account.Namespace, "system:authenticated"},
					ResourceAttributes: r.ask(verb, name),
				},
			}, metav1.CreateOptions{})
			if err != nil {
				return nil, "", err
			}
			if !review.Status.Allowed && !slices.Contains(verbs, verb) {
				verbs, reason = append(verbs, verb), review.Status.Reason
			}
		}
	}
	for _, verb := range verbs {
		missing = append(missing, verb+" "+r.describe())
	}
	return missing, reason, nil
}

func (r *right) describe() string {
	text := r.resource
	if r.group != "" {
		text += "." + r.group
	}
	if len(r.names) > 0 {
		text += " " + strings.Join(r.names, " and ")
	}
	if r.role.namespace != "" {
		text += " in namespace " + r.role.namespace
	}
	return text
}

func (r *role) kind() string {
	if r.namespace != "" {
		return "Role"
	}
	return "ClusterRole"
}

func (r *role) object() string { return strings.ToLower(r.kind()) + "binding/" + r.name }

func (r *role) metadata() map[string]any {
	m := map[string]any{"name": r.name, "labels": map[string]string{"k8s-app": "metrics-server"}}
	if r.namespace != "" {
		m["namespace"] = r.namespace
	}
	return m
}

// reconcile is a command that makes what is missing of a role and its binding, and leaves
// the rest as it is.
func (c *checker) reconcile(r *role, all []right) string {
	const version = "rbac.authorization.k8s.io/v1"
	items, ref, account := []any{}, r.builtIn, c.accountOf(r)
	if ref == "" {
		ref = r.name
		rules := []any{}
		for _, right := range all {
			if *right.role == *r {
				rules = append(rules, right.rule())
			}
		}
		items = append(items, map[string]any{"apiVersion": version, "kind": r.kind(), "metadata": r.metadata(), "rules": rules})
	}
	items = append(items, map[string]any{
		"apiVersion": version, "kind": r.kind() + "Binding", "metadata": r.metadata(),
		"roleRef":  map[string]string{"apiGroup": "rbac.authorization.k8s.io", "kind": r.kind(), "name": ref},
		"subjects": []any{map[string]string{"kind": "ServiceAccount", "name": account.Name, "namespace": account.Namespace}},
	})
	return piped(map[string]any{"apiVersion": "v1", "kind": "List", "items": items}, "kubectl auth reconcile -f -")
}

func (r *right) rule() map[string]any {
	rule := map[string]any{"apiGroups": []string{r.group}, "resources": []string{r.resource}, "verbs": r.verbs}
	if len(r.names) > 0 {
		rule["resourceNames"] = r.names
	}
	return rule
}
