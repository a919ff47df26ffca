// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
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
			comment("in a managed cluster the provider signs kubelets' certificates: docs/platforms.md says how it is verified; else"),
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
	case kubelet.ReasonCredentials:
		if account := c.flags.KubeletServiceAccount; account.Name != "" {
			return []string{
				comment("let the server request the tokens of ServiceAccount %s that it sends to kubelets:", account),
				c.reconcile(c.tokenRole(), c.rights()),
			}
		}
		return []string{comment("correct the server's credentials for kubelets; its log names the file or command that failed:"), c.logs("")}
	case kubelet.ReasonForbidden:
		return []string{
			comment("give the server's account the right; if \"rights\" says that it has it, set authorization.mode: Webhook in %s on node %s", kubeletConfig, node),
			c.reconcile(c.kubeletRole(), c.rights()),
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
	source := inSource(d, "--"+name+"="+value)
	for i := range spec.Containers {
		if container := &spec.Containers[i]; container.Name == server(spec).Name {
			operation = flagPatch(container, fmt.Sprintf("/spec/template/spec/containers/%d/", i), name, value)
		}
	}
	return append(source, command("kubectl -n %s patch deployment %s --type=json -p %s", d.Namespace, d.Name, inJSON([]any{operation})))
}

// managers are labels and annotations of who applies an object, and undoes what others change.
var managers = []struct{ key, value, where string }{
	{"app.kubernetes.io/managed-by", "Helm", "the values of the Helm release"},
	{"argocd.argoproj.io/tracking-id", "", "the source of the Argo CD application"},
	{"argocd.argoproj.io/instance", "", "the source of the Argo CD application"},
	{"kustomize.toolkit.fluxcd.io/name", "", "the source of the Flux Kustomization"},
	{"helm.toolkit.fluxcd.io/name", "", "the values of the Flux HelmRelease"},
}

// sourceOf is where a Deployment comes from that something else applies again and again; "" if
// that is not known.
func sourceOf(d *appsv1.Deployment) string {
	for _, m := range slices.Backward(managers) {
		value, ok := d.Labels[m.key]
		if !ok {
			value, ok = d.Annotations[m.key]
		}
		if ok && (m.value == "" || m.value == value) {
			return m.where
		}
	}
	return ""
}

// inSource says where to make a change so that it stays; nil if that is not known.
func inSource(d *appsv1.Deployment, change string) []string {
	if d == nil || sourceOf(d) == "" {
		return nil
	}
	return []string{comment("set %s in %s, or it will be undone; until then:", change, sourceOf(d))}
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
