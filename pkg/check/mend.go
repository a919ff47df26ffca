// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

const (
	kubeletConfig  = "its kubelet's configuration (/var/lib/kubelet/config.yaml on most)"
	restartKubelet = "sudo systemctl restart kubelet"
	usualTypes     = "InternalIP,ExternalIP,Hostname"
)

// mendKubelet is what to do about a node whose scrapes fail for a reason.
func (c *checker) mendKubelet(node, reason string) []string {
	raw := command("kubectl get --raw %s | head", "/api/v1/nodes/"+node+"/proxy/metrics/resource")
	describe := command("kubectl describe node %s", node)
	node = word(node)
	requests := "kubectl get csr --field-selector=spec.signerName=kubernetes.io/kubelet-serving"
	switch kubelet.Reason(reason) {
	case kubelet.ReasonNoAddress, kubelet.ReasonDNS:
		return append([]string{"kubectl get node " + node + " -o 'jsonpath={.status.addresses}'"}, c.setFlag("kubelet-preferred-address-types", usualTypes)...)
	case kubelet.ReasonInvalidPath:
		return []string{"kubectl annotate node " + node + " " + kubelet.MetricsPathAnnotation + "-"}
	case kubelet.ReasonTLSUnknownAuthority, kubelet.ReasonTLSName, kubelet.ReasonTLSUsage:
		return []string{
			comment("on node %s, set serverTLSBootstrap: true in %s, and restart it:", node, kubeletConfig),
			restartKubelet,
			comment("then approve the certificate that it requests:"),
			requests,
			"kubectl certificate approve CSR",
			comment("or, if another CA signs the kubelets' certificates, mount it and give it as --kubelet-certificate-authority"),
		}
	case kubelet.ReasonTLSExpired:
		return []string{
			comment("approve the certificate that the kubelet has requested:"),
			requests,
			"kubectl certificate approve CSR",
			comment("or renew tlsCertFile of %s on node %s; see that its clock is right, and restart it:", kubeletConfig, node),
			restartKubelet,
		}
	case kubelet.ReasonUnauthorized:
		return []string{
			comment("on node %s, set authentication.webhook.enabled: true in %s, see that the kubelet reaches the API server, and restart it:", node, kubeletConfig),
			restartKubelet,
		}
	case kubelet.ReasonForbidden:
		return []string{
			comment("give the server's account the right; if \"rights\" says that it has it, set authorization.mode: Webhook in %s on node %s", kubeletConfig, node),
			c.reconcile(ownRole, c.rights()),
		}
	case kubelet.ReasonConnectionRefused:
		return append([]string{
			comment("see on node %s that the kubelet runs, and on which port; if not on that of --kubelet-port, go by the nodes' status:", node),
			"sudo systemctl status kubelet",
		}, c.setFlag("kubelet-use-node-status-port", "true")...)
	case kubelet.ReasonTimeout, kubelet.ReasonUnreachable, kubelet.ReasonConnection:
		return []string{
			describe,
			comment("if it is well, let the server reach its port %d through firewalls and network policies, or run the server with hostNetwork: true", c.flags.Kubelet.Port),
			command("kubectl -n %s get networkpolicies", c.Service.Namespace),
		}
	case kubelet.ReasonNotFound, kubelet.ReasonContentType:
		return []string{comment("see that the port is the kubelet's, and what answers there:"), raw}
	}
	return []string{raw, comment("see the kubelet's log on node %s:", node), "sudo journalctl -u kubelet --since=-15min"}
}

// setFlag has the Deployment start the server with a value of a flag.
func (c *checker) setFlag(name, value string) []string {
	d := c.installation.deployment()
	if d == nil {
		return []string{comment("start the server with --%s=%s", name, value)}
	}
	spec := &d.Spec.Template.Spec
	operation := map[string]any{}
	for i := range spec.Containers {
		if container := &spec.Containers[i]; container.Name == server(spec).Name {
			operation = flagPatch(container, fmt.Sprintf("/spec/template/spec/containers/%d/", i), name, value)
		}
	}
	return []string{command("kubectl -n %s patch deployment %s --type=json -p %s", d.Namespace, d.Name, inJSON([]any{operation}))}
}

// flagPatch replaces the last value of a flag, or adds one.
func flagPatch(container *corev1.Container, path, name, value string) map[string]any {
	flag := "--" + name + "=" + value
	for _, list := range []struct {
		field string
		args  []string
	}{{"args", container.Args}, {"command", container.Command}} {
		for at, arg := range slices.Backward(list.args) {
			given, _, whole := strings.Cut(arg, "=")
			if given != "--"+name {
				continue
			}
			// What follows on a flag alone is its value, if it is not one of true or false.
			if next := at + 1; !whole && value != "true" && next < len(list.args) {
				return map[string]any{"op": "replace", "path": fmt.Sprint(path, list.field, "/", next), "value": value}
			}
			return map[string]any{"op": "replace", "path": fmt.Sprint(path, list.field, "/", at), "value": flag}
		}
	}
	if len(container.Args) == 0 { // there is no list to add to
		return map[string]any{"op": "add", "path": path + "args", "value": []string{flag}}
	}
	return map[string]any{"op": "add", "path": path + "args/-", "value": flag}
}
