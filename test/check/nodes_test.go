// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// kubeletCase is what is wrong with a kubelet, and what is found of its node.
type kubeletCase struct {
	name             string
	fault            kubeletsim.Fault
	code, seen, mend string
}

var kubeletCases = []kubeletCase{
	{"kubelet answers 401", kubeletsim.Status(http.StatusUnauthorized), "kubelet-unauthorized", "401 Unauthorized", "authentication.webhook.enabled"},
	{"kubelet answers 403", kubeletsim.Status(http.StatusForbidden), "kubelet-forbidden", "403 Forbidden", "kubectl auth reconcile"},
	{"kubelet answers 500", kubeletsim.Status(http.StatusInternalServerError), "kubelet-http-status", "500", "journalctl"},
	{"kubelet certificate expired", kubeletsim.Expired(), "kubelet-tls-expired", "expired", "kubectl certificate approve"},
	{"kubelet certificate of an unknown CA", kubeletsim.WrongCA(), "kubelet-tls-unknown-authority", "unknown authority", "serverTLSBootstrap: true"},
	{"kubelet certificate self-signed", kubeletsim.SelfSigned(), "kubelet-tls-unknown-authority", "self-signed", "serverTLSBootstrap: true"},
	{"kubelet certificate of another name and address (IP SAN missing)", kubeletsim.WrongName(), "kubelet-tls-name", "DNS:wrong.invalid", "serverTLSBootstrap: true"},
	{"kubelet certificate for clients", kubeletsim.ClientOnly(), "kubelet-tls-usage", "usage", "serverTLSBootstrap: true"},
	{"connection reset", kubeletsim.ConnectionReset(), "kubelet-connection", "reset", "networkpolicies"},
	{"kubelet does not answer", kubeletsim.Hang(), "kubelet-timeout", "in time", "networkpolicies"},
	{"a login page in place of the kubelet", kubeletsim.HTMLBody(), "kubelet-content-type", "text/html", "proxy/metrics/resource"},
	{"answer cut short", kubeletsim.TruncatedConnection(), "kubelet-body", "EOF", "journalctl"},
	{"answer is noise", kubeletsim.RandomBody(4096, 1), "kubelet-syntax", "", "journalctl"},
	{"endless answer", kubeletsim.EndlessBody(), "kubelet-too-large", "", "journalctl"},
	{"samples do not get newer", kubeletsim.Frozen(), "node-samples-old", "its newest sample is of", "timedatectl"},
	{"node without CPU samples", kubeletsim.MissingFamilies("node_cpu_usage_seconds_total"), "node-incomplete", "lacks its CPU or memory", "cpu_usage"},
	{"kubelet's clock an hour ahead", kubeletsim.ClockSkew(3600e9), "node-clock", "in the future", "timedatectl"},
}

func simulated(t *testing.T, i int) *kubeletsim.Node {
	t.Helper()
	n, ok := local.Kubelets.Node(fmt.Sprint("node-", i))
	if !ok {
		t.Fatalf("there is no node-%d", i)
	}
	return n
}

func setFaults(t *testing.T, n *kubeletsim.Node, faults ...kubeletsim.Fault) {
	t.Helper()
	if err := n.SetFaults(faults...); err != nil {
		t.Fatal(err)
	}
}

// strangeNode is a Node without a simulated kubelet.
func strangeNode(t *testing.T, name string, change func(*corev1.Node)) {
	t.Helper()
	n := cluster.NewNode(name, "127.200.0.1", 1, nil)
	change(n)
	if _, err := local.Client().CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := local.Client().CoreV1().Nodes().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// All kubelets fail at once, each in its own way.
func TestKubelets(t *testing.T) {
	all := map[string]kubeletCase{}
	for i, k := range kubeletCases {
		n := simulated(t, i)
		setFaults(t, n, k.fault)
		t.Cleanup(func() { setFaults(t, n) })
		all[n.Name()] = k
	}
	strangeNode(t, "refusing", func(*corev1.Node) {})
	all["refusing"] = kubeletCase{"nothing listens at the kubelet's port", kubeletsim.Fault{}, "kubelet-connection-refused", "connection refused", "systemctl status kubelet"}
	strangeNode(t, "addressless", func(n *corev1.Node) { n.Status.Addresses = n.Status.Addresses[1:] })
	all["addressless"] = kubeletCase{"no address of a type that is wanted", kubeletsim.Fault{}, "kubelet-no-address", "Hostname=addressless", "--kubelet-preferred-address-types=InternalIP"}
	strangeNode(t, "pathless", func(n *corev1.Node) {
		n.Annotations = map[string]string{"metrics.k8s.io/resource-metrics-path": "metrics"}
	})
	all["pathless"] = kubeletCase{"path annotation is not a path", kubeletsim.Fault{}, "kubelet-invalid-path", "does not begin with a slash", "kubectl annotate node pathless"}
	strangeNode(t, "away", func(n *corev1.Node) {
		n.Status.Conditions[0].Status, n.Status.Conditions[0].Reason, n.Status.Conditions[0].Message = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status."
	})
	all["away"] = kubeletCase{"node is not heard of", kubeletsim.Fault{}, "node-not-ready", "Kubelet stopped posting node status.", "kubectl describe node away"}

	// Each node is explained on its own.
	for name, k := range all {
		t.Run(k.name, func(t *testing.T) {
			b := breakage{name: k.name, code: k.code, object: "node/" + name, seen: k.seen, mend: k.mend, args: []string{"--node=" + name},
				breakIt: func(*testing.T) {}, warning: k.code == "node-not-ready"}
			b.test(t)
		})
	}
	t.Run("together", func(t *testing.T) {
		// On a busy machine, some scrapes of an endless answer time out before it is too large.
		var r result
		eventually.Succeeds(t, patience, func() error {
			r = runCheck(t)
			for name, k := range all {
				if r.find(k.code, "node/"+name) == nil {
					return fmt.Errorf("%s: no %s of %s among %q", k.name, k.code, name, r.codes())
				}
			}
			return nil
		})
		// What concerns many nodes is one finding.
		if f := r.find("kubelet-tls-unknown-authority", ""); f != nil && len(f.Objects) != 2 {
			t.Errorf("%q", f.Objects)
		}
	})
	t.Run("without the server's own word", func(t *testing.T) {
		// Points are served for four intervals; then the metrics API says why there are none.
		eventually.Succeeds(t, patience, func() error {
			r := runCommand(t, "--kubeconfig="+local.AdminKubeconfig(), "--output=json")
			var missing []string
			for name, k := range all {
				if r.find(k.code, "node/"+name) == nil {
					missing = append(missing, k.code+" of "+name)
				}
			}
			if len(missing) > 0 {
				return fmt.Errorf("not found: %s; found: %s", strings.Join(missing, "; "), strings.Join(r.codes(), "; "))
			}
			return nil
		})
	})
	t.Run("no such node", func(t *testing.T) {
		b := breakage{name: "no such node", code: "node-not-found", object: "node/nobody", seen: "there is no node", mend: "kubectl get nodes", args: []string{"--node=nobody"}, breakIt: func(*testing.T) {}}
		b.test(t)
	})
	for i := range kubeletCases {
		setFaults(t, simulated(t, i))
	}
	eventually.Succeeds(t, patience, func() error {
		if r := runCheck(t, "--node=node-0"); r.code != 0 {
			return errors.New(strings.Join(r.codes(), "; "))
		}
		return nil
	})
}
