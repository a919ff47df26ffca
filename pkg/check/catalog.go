// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// Code is what is wrong, as a stable name for scripts.
type Code string

const (
	codeAPIServer Code = "api-server-unreachable"

	codeAggregationOff     Code = "aggregation-disabled"
	codeFrontProxyMissing  Code = "front-proxy-not-configured"
	codeFrontProxyCA       Code = "front-proxy-ca-invalid"
	codeFrontProxyExpired  Code = "front-proxy-ca-expired"
	codeFrontProxyExpiring Code = "front-proxy-ca-expiring"
	codeFrontProxyRefused  Code = "front-proxy-refused"

	codeAPIServiceMissing  Code = "apiservice-missing"
	codeAPIServiceV1       Code = "apiservice-v1-missing"
	codeAPIServiceOther    Code = "apiservice-other-service"
	codeAPIServicePort     Code = "apiservice-port"
	codeAPIServiceInsecure Code = "apiservice-not-verified"
	codeAPIServiceDown     Code = "apiservice-unavailable"
	codeCABundleMissing    Code = "ca-bundle-missing"
	codeCABundleInvalid    Code = "ca-bundle-invalid"
	codeCABundleWrong      Code = "ca-bundle-wrong"
	codeServingExpired     Code = "serving-certificate-expired"
	codeServingExpiring    Code = "serving-certificate-expiring"
	codeServingName        Code = "serving-certificate-name"
	codeServerRefuses      Code = "server-refuses-connections"
	codeServerUnreachable  Code = "server-unreachable"
	codeServerNotFound     Code = "server-not-a-metrics-server"

	codeServiceMissing   Code = "service-missing"
	codeServiceSelector  Code = "service-selector"
	codeServiceEndpoints Code = "service-no-endpoints"

	codeServerMissing   Code = "server-not-installed"
	codeServerScaled    Code = "server-scaled-to-zero"
	codeServerPods      Code = "server-pods-not-created"
	codeUnschedulable   Code = "server-unschedulable"
	codeServerImage     Code = "server-image"
	codeServerCrashes   Code = "server-crashes"
	codeServerMemory    Code = "server-out-of-memory"
	codeServerContainer Code = "server-container-config"
	codeServerPending   Code = "server-pending"
	codeServerNotReady  Code = "server-not-ready"

	codeAccountMissing Code = "service-account-missing"
	codeRight          Code = "right-missing"
	codeRightOptional  Code = "right-missing-optional"

	codeNodeNotReady    Code = "node-not-ready"
	codeNodeMissing     Code = "node-not-found"
	codeNodeNotServed   Code = "node-not-served"
	codeNodeOld         Code = "node-samples-old"
	codeNodeClock       Code = "node-clock"
	codeNodeIncomplete  Code = "node-incomplete"
	codeNodeRefused     Code = "node-samples-refused"
	codeCertExpiring    Code = "kubelet-certificate-expiring"
	codeKubeletsTrusted Code = "kubelets-not-verified"
	codeOwnToken        Code = "kubelets-see-server-credentials"

	codeMetricsAPI       Code = "metrics-api-unavailable"
	codeMetricsForbidden Code = "metrics-api-forbidden"

	codePodMissing    Code = "pod-not-found"
	codePodNotRunning Code = "pod-not-running"
	codePodNotScraped Code = "pod-not-reported"
	codePodIncomplete Code = "pod-incomplete"
	codePodNoWindow   Code = "pod-too-new"
	codePodStale      Code = "pod-samples-old"
	codePodNotServed  Code = "pod-not-served"

	codeHPARequests Code = "hpa-no-requests"
	codeHPAMetrics  Code = "hpa-no-metrics"
	codeHPATarget   Code = "hpa-no-target"
)

// kubeletCode is the code of a scrape that failed for a reason of pkg/kubelet or
// pkg/exposition.
func kubeletCode(reason string) Code {
	code := Code("kubelet-" + dashes(strings.TrimPrefix(reason, "decode_")))
	if _, ok := catalog()[code]; !ok {
		return "kubelet-unreadable"
	}
	return code
}

// entry is what is always true of a code.
type entry struct {
	severity Severity
	// many: there may be as many as there are nodes or pods, so they are put together.
	many bool
	why  string
}

func problem(why string) entry { return entry{Problem, false, why} }
func warning(why string) entry { return entry{Warning, false, why} }

// ofMany is for what nodes, pods and autoscalers may have.
func ofMany(e entry) entry {
	e.many = true
	return e
}

func lost(why string) entry {
	return ofMany(problem(why + " Its node and pods have no metrics once the last are too old (--metric-max-age)."))
}

// catalog has every code. It is made when it is first used, so that a server does not pay
// for it.
var catalog = sync.OnceValue(func() map[Code]entry {
	return map[Code]entry{
		codeAPIServer: problem("Nothing else can be looked at without the API server."),

		codeAggregationOff:     problem("The API server has no aggregation layer, which is how it serves metrics.k8s.io."),
		codeFrontProxyMissing:  problem("The metrics server learns from there how to recognize the API server. Without it, it takes every request that the API server passes on for an anonymous one."),
		codeFrontProxyCA:       problem("Without a CA that can be read, no server behind the aggregation layer can verify that a request comes from the API server."),
		codeFrontProxyExpired:  problem("Servers behind the aggregation layer refuse what the API server passes on to them."),
		codeFrontProxyExpiring: warning("When it has expired, servers behind the aggregation layer refuse what the API server passes on to them."),
		codeFrontProxyRefused:  problem("The server does not take the API server for what it is, so that it serves nobody."),

		codeAPIServiceMissing:  problem("Without it, the API server does not know metrics.k8s.io, and kubectl top and autoscalers get nothing."),
		codeAPIServiceV1:       warning("Clients that ask for metrics.k8s.io/v1 get nothing. Those of v1beta1, such as kubectl top, are served."),
		codeAPIServiceOther:    problem("The API server asks another Service for metrics than the one that was checked."),
		codeAPIServicePort:     problem("The API server does not find the port at which it is to ask for metrics."),
		codeAPIServiceInsecure: warning("Whoever answers at the Service's address can read who asks for metrics, and make up usage that workloads are scaled by."),
		codeAPIServiceDown:     problem("The API server does not pass on requests for metrics: kubectl top fails and autoscalers do nothing."),
		codeCABundleMissing:    problem("The API server verifies the metrics server by the CAs of its own machine, which have not signed its certificate."),
		codeCABundleInvalid:    problem("The API server trusts no certificate of the metrics server."),
		codeCABundleWrong:      problem("The API server refuses the metrics server's certificate, and passes no request on."),
		codeServingExpired:     problem("The API server refuses the metrics server's certificate, and passes no request on."),
		codeServingExpiring:    warning("When it has expired, the API server refuses it and passes no request on."),
		codeServingName:        problem("The API server verifies the certificate for the name of the Service, and refuses it."),
		codeServerRefuses:      problem("Nothing listens where the API server asks for metrics."),
		codeServerUnreachable:  problem("The API server gets no connection to the metrics server: something between their networks drops it."),
		codeServerNotFound:     problem("What answers at the Service does not serve metrics.k8s.io."),

		codeServiceMissing:   problem("The API server finds the metrics server through its Service."),
		codeServiceSelector:  problem("The Service has no endpoints, so that the API server does not know where the metrics server is."),
		codeServiceEndpoints: problem("No pod behind the Service is ready, so that the API server has nobody to ask."),

		codeServerMissing:   problem("There is no metrics server to ask."),
		codeServerScaled:    problem("There is no metrics server to ask."),
		codeServerPods:      problem("The metrics server's Deployment cannot create its pods."),
		codeUnschedulable:   problem("No node takes the metrics server's pod."),
		codeServerImage:     problem("The metrics server's image cannot be had, so that it does not start."),
		codeServerCrashes:   problem("The metrics server ends as soon as it has started. Its log says why."),
		codeServerMemory:    problem("The metrics server was killed for taking more memory than its limit. It needs more where there are more nodes and pods."),
		codeServerContainer: problem("The metrics server's container cannot be made, so that it does not start."),
		codeServerPending:   problem("The metrics server does not run yet."),
		codeServerNotReady:  problem("A pod that is not ready gets no requests."),

		codeAccountMissing: problem("Without its ServiceAccount, the metrics server's pods cannot be created, or get no token for kubelets."),
		codeRight:          problem("The metrics server needs it."),
		codeRightOptional:  warning("The metrics server needs it in some cases."),

		codeNodeNotReady:    ofMany(warning("A kubelet that is not ready, or not heard of, often cannot be scraped, either.")),
		codeNodeMissing:     problem("Only nodes that the API server lists are scraped."),
		codeNodeNotServed:   ofMany(problem("kubectl top and autoscalers get nothing of the node.")),
		codeNodeOld:         ofMany(problem("The kubelet answers with samples that do not get newer, so that usage cannot be told. They are not served when they are too old.")),
		codeNodeClock:       ofMany(problem("Samples from the future are not served, and what is older than its time says cannot be told from what is new.")),
		codeNodeIncomplete:  ofMany(problem("Usage is served whole or not at all.")),
		codeNodeRefused:     ofMany(warning("What cannot be true is left out of what is served.")),
		codeCertExpiring:    ofMany(warning("When it has expired, the node cannot be scraped.")),
		codeOwnToken:        warning("The metrics server sends its own credentials to each kubelet, so that a compromised node can do all that the metrics server may do."),
		codeKubeletsTrusted: warning("Anyone who answers at a node's address can take the credentials for kubelets, and make up usage that workloads are scaled by."),

		codeMetricsAPI:       problem("kubectl top and autoscalers ask in the same way, and get the same."),
		codeMetricsForbidden: warning("What is served could not be compared with what there is."),

		codePodMissing:    problem("Only pods that the API server lists are served."),
		codePodNotRunning: problem("Only pods that run have usage."),
		codePodNotScraped: ofMany(problem("The server has no sample of the pod.")),
		codePodIncomplete: ofMany(problem("A pod is served whole or not at all: a partial sum would scale its workload down by mistake.")),
		codePodNoWindow:   ofMany(warning("Usage is the difference of two samples. It is there after the next scrape.")),
		codePodStale:      ofMany(problem("Usage that is too old is not served.")),
		codePodNotServed:  ofMany(problem("kubectl top and autoscalers get nothing of the pod.")),

		codeHPARequests: ofMany(problem("An autoscaler that is to keep a percentage of what is requested needs requests of each container. Until then it does nothing.")),
		codeHPAMetrics:  ofMany(problem("The autoscaler does nothing while it cannot read the usage of its pods.")),
		codeHPATarget:   ofMany(problem("The autoscaler has nothing to scale.")),

		"kubelet-no-address":            lost("The server connects to an address of the node's status."),
		"kubelet-invalid-path":          lost("The server asks for the path of the node's annotation."),
		"kubelet-credentials":           lost("The server has no credentials for kubelets."),
		"kubelet-timeout":               lost("The kubelet did not answer in time."),
		"kubelet-canceled":              lost("The scrape was given up."),
		"kubelet-dns":                   lost("The node's address cannot be resolved where the server runs."),
		"kubelet-connection-refused":    lost("Nothing listens at the kubelet's address and port."),
		"kubelet-unreachable":           lost("There is no route from the server to the node."),
		"kubelet-connection":            lost("The connection to the kubelet broke."),
		"kubelet-tls-unknown-authority": lost("The server does not trust who signed the kubelet's certificate."),
		"kubelet-tls-name":              lost("The kubelet's certificate is another's."),
		"kubelet-tls-expired":           lost("The kubelet's certificate is not valid now."),
		"kubelet-tls-usage":             lost("The kubelet's certificate is not one for servers."),
		"kubelet-tls":                   lost("No TLS connection to the kubelet could be made."),
		"kubelet-unauthorized":          lost("The kubelet does not accept the server's credentials."),
		"kubelet-forbidden":             lost("The kubelet does not allow the server to read its metrics."),
		"kubelet-not-found":             lost("The kubelet serves neither /metrics/resource nor /stats/summary."),
		"kubelet-http-status":           lost("The kubelet failed."),
		"kubelet-content-type":          lost("What answers is not a kubelet, or not in a format of one."),
		"kubelet-too-large":             lost("The answer is larger than one of a kubelet can truly be."),
		"kubelet-body":                  lost("The answer was cut short."),
		"kubelet-syntax":                lost("The answer is not in its format."),
		"kubelet-truncated":             lost("The answer was cut short."),
		"kubelet-empty":                 lost("The answer has no usage at all."),
		"kubelet-unreadable":            lost("The kubelet could not be scraped."),
	}
})

// Codes returns all codes in order, and what follows from each.
func Codes() (codes []Code, why map[Code]string) {
	why = make(map[Code]string, len(catalog()))
	for code, e := range catalog() {
		why[code] = e.why
	}
	return slices.Sorted(maps.Keys(catalog())), why
}

// SeverityOf returns how bad a finding with a code is.
func SeverityOf(c Code) Severity { return catalog()[c].severity }
