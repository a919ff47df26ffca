// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// checkAvailable explains why the aggregator does not route to an APIService. explained
// tells that a finding about its certificate does already.
func (c *checker) checkAvailable(s *Step, name string, a *apiService, explained bool) {
	object, condition := "apiservice/"+name, a.available()
	if condition == nil {
		s.find(codeAPIServiceDown, object, "the API server has not looked at it yet",
			command("kubectl wait --for=condition=Available apiservice/%s --timeout=60s", name))
		return
	}
	if condition.Status == metav1.ConditionTrue {
		s.fact("%s is available", name)
		return
	}
	seen := fmt.Sprintf("it is not available: %s: %s", plain(condition.Reason), plain(condition.Message))
	code, mend := c.unavailability(name, condition)
	if explained && (code == codeCABundleWrong || code == codeServingExpired || code == codeServingName || code == codeAPIServiceDown) {
		return
	}
	s.find(code, object, seen, mend...)
}

// unavailability is what a condition's reason, of the aggregator's availability
// controller, and its message mean.
func (c *checker) unavailability(name string, condition *metav1.Condition) (Code, []string) {
	look := command("kubectl -n %s get service,endpointslices,pods --selector=%s", c.Service.Namespace, c.selector())
	switch condition.Reason {
	case "ServiceNotFound":
		return codeServiceMissing, c.mendService()
	case "ServicePortError":
		return codeAPIServicePort, []string{patchAPIService(name, map[string]any{"service": map[string]any{
			"name": c.Service.Name, "namespace": c.Service.Namespace, "port": c.servicePort(),
		}})}
	case "EndpointsNotFound", "MissingEndpoints":
		return codeServiceEndpoints, []string{look}
	case "FailedDiscoveryCheck":
		return c.failedDiscovery(name, condition.Message)
	}
	return codeAPIServiceDown, []string{command("kubectl describe apiservice %s", name)}
}

// servicePort is one that the Service has.
func (c *checker) servicePort() int32 {
	if s := c.installation.service; s != nil && len(s.Spec.Ports) > 0 {
		return s.Spec.Ports[0].Port
	}
	return defaultPort
}

// failedDiscovery goes by the text of what the aggregator met when it asked the server.
func (c *checker) failedDiscovery(name, message string) (Code, []string) {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(message, w) {
				return true
			}
		}
		return false
	}
	logs := command("kubectl -n %s logs --selector=%s --tail=100", c.Service.Namespace, c.selector())
	switch {
	case has("has expired or is not yet valid"):
		return codeServingExpired, c.mendCertificate()
	case has("certificate is valid for", "certificate is not valid for", "doesn't contain any IP SANs", "not valid for any names"):
		return codeServingName, c.mendCertificate()
	case has("x509:"):
		return codeCABundleWrong, c.mendBundle(name)
	case has("bad status from") && has(": 401", ": 403"):
		return codeFrontProxyRefused, []string{
			comment("see that the server may read ConfigMap kube-system/%s (\"rights\"), and that --proxy-client-cert-file of kube-apiserver has not expired, is signed by its --requestheader-client-ca-file and has a name of --requestheader-allowed-names", authenticationConfig),
			logs,
		}
	case has("bad status from") && has(": 404"):
		return codeServerNotFound, []string{logs}
	case has("connection refused"):
		return codeServerRefuses, []string{logs}
	case has("Client.Timeout", "context deadline exceeded", "i/o timeout", "no route to host", "network is unreachable"):
		return codeServerUnreachable, []string{
			comment("let the API server reach the pod's port through firewalls and network policies; where it cannot reach pods at all, as with some networks, run the server with hostNetwork: true"),
			command("kubectl -n %s get networkpolicies", c.Service.Namespace),
		}
	}
	return codeAPIServiceDown, []string{command("kubectl describe apiservice %s", name), logs}
}
