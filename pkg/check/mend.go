// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"strings"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

const (
	kubeletConfig  = "its kubelet's configuration (/var/lib/kubelet/config.yaml on most)"
	restartKubelet = "sudo systemctl restart kubelet"
	usualTypes     = "InternalIP,ExternalIP,Hostname"
)

// mendKubelet is what to do about a node whose scrapes fail for a reason.
func (c *checker) mendKubelet(node, reason string) []string {
	raw := "kubectl get --raw " + quoted("/api/v1/nodes/"+node+"/proxy/metrics/resource") + " | head"
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
			"kubectl describe node " + node,
			comment("if it is well, let the server reach its port %d through firewalls and network policies, or run the server with hostNetwork: true", c.flags.Kubelet.Port),
			fmt.Sprintf("kubectl -n %s get networkpolicies", c.Service.Namespace),
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
	operation := map[string]any{"op": "add", "value": "--" + name + "=" + value}
	for i := range d.Spec.Template.Spec.Containers {
		container := &d.Spec.Template.Spec.Containers[i]
		if container.Name != server(&d.Spec.Template.Spec).Name {
			continue
		}
		operation["path"] = fmt.Sprintf("/spec/template/spec/containers/%d/args/-", i)
		for at, arg := range container.Args {
			if flag, _, _ := strings.Cut(arg, "="); flag == "--"+name {
				operation["op"], operation["path"] = "replace", fmt.Sprintf("/spec/template/spec/containers/%d/args/%d", i, at)
			}
		}
	}
	return []string{fmt.Sprintf("kubectl -n %s patch deployment %s --type=json -p %s", d.Namespace, d.Name, quotedJSON([]any{operation}))}
}
