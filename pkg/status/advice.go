// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// advice is what a reason means, and what to do about it.
type advice struct{ Meaning, Remedy string }

// adviceOn has the reasons of failed scrapes, of samples that are left out, and of
// nodes and pods that are withheld. They are the ones of metrics and logs.
var adviceOn = map[string]advice{
	"no_address": {
		"the Node states no address of a type that is wanted",
		"compare `kubectl get nodes -o wide` with `--kubelet-preferred-address-types`",
	},
	"invalid_path": {
		"the Node's annotation `metrics.k8s.io/resource-metrics-path` is not a path",
		"correct or remove the annotation",
	},
	"credentials": {
		"the server has no credentials for kubelets",
		"allow its ServiceAccount to create `serviceaccounts/token` of that of `--kubelet-service-account`, or look at the exec plugin or the token file of its kubeconfig",
	},
	"timeout": {
		"the kubelet does not answer in time",
		"see that the node is Ready and not overloaded, and that no firewall or NetworkPolicy drops what goes from the server to the kubelet's port",
	},
	"dns": {
		"the node's name cannot be resolved from the server's pod",
		"have DNS know it, or put InternalIP first in `--kubelet-preferred-address-types`",
	},
	"connection_refused": {
		"nothing listens at the kubelet's address and port",
		"see that the kubelet runs, and on which port: `--kubelet-port` or `--kubelet-use-node-status-port`",
	},
	"unreachable": {
		"there is no route to the node",
		"see that the node is up, and that the server's network reaches it (`hostNetwork: true` where pods cannot reach nodes)",
	},
	"connection": {
		"the connection broke",
		"see that the kubelet runs and speaks TLS on its port, and that no proxy or firewall is between",
	},
	"tls_unknown_authority": {
		"the kubelet's serving certificate is of an unknown signer, mostly its own",
		"set `serverTLSBootstrap: true` in the kubelet's configuration and approve its CSRs (`kubectl get csr`, `kubectl certificate approve NAME`), or give the signer's CA as `--kubelet-certificate-authority`",
	},
	"tls_name": {
		"the kubelet's serving certificate is not that of its node",
		"have the kubelet request one from the cluster (`serverTLSBootstrap: true`), and see that no two nodes state one address",
	},
	"tls_expired": {
		"the kubelet's serving certificate has expired or is not valid yet",
		"approve its pending CSRs (`kubectl get csr`, `kubectl certificate approve NAME`), or renew the file, and compare the clocks of both machines",
	},
	"tls_usage": {
		"the kubelet's serving certificate is not for servers",
		"give it one with the extended key usage serverAuth",
	},
	"tls": {
		"the TLS handshake failed",
		"see that the port is the kubelet's, and which versions and ciphers it allows",
	},
	"unauthorized": {
		"the kubelet does not know who the server is (401)",
		"set `authentication.webhook.enabled: true` in the kubelet's configuration, and see that the kubelet reaches the API server",
	},
	"forbidden": {
		"the kubelet does not let the server read metrics (403)",
		"apply the ClusterRole system:metrics-server and its binding; `kubectl auth can-i get nodes --subresource=metrics --as=system:serviceaccount:kube-system:metrics-server` tells whether that has helped",
	},
	"not_found": {
		"the kubelet has neither /metrics/resource nor /stats/summary (404)",
		"see that the port is the kubelet's",
	},
	"http_status": {
		"the kubelet answers with an error",
		"look at the kubelet's log",
	},
	"content_type": {
		"the answer is not in a format of a kubelet's",
		"see that the port is the kubelet's, and that no proxy is between",
	},
	"too_large": {
		"the answer is larger than any kubelet's should be",
		"look for very many containers on the node, dead ones too",
	},
	"body": {
		"the answer was cut short",
		"look at the kubelet's log, and for a proxy or firewall between",
	},
	"decode_syntax":    {"the answer cannot be read", "see that the port is the kubelet's, and look at the kubelet's log"},
	"decode_truncated": {"the answer ends in the middle", "look at the kubelet's log"},
	"decode_too_large": {"the answer has more than any kubelet's should", "look for very many containers on the node, dead ones too"},
	"decode_empty":     {"the answer has no usage at all", "look at the kubelet's log and at its container runtime"},

	"value":      {"some values cannot be true, and are left out", "update or restart the kubelet and the container runtime"},
	"labels":     {"some containers are named in a way that cannot be, and are left out", "update or restart the kubelet and the container runtime"},
	"rate":       {"a CPU counter has risen faster than any machine's could, and began anew", "update or restart the kubelet and the container runtime"},
	"timestamp":  {"the samples' times cannot be true, and they are not served", "compare the clock of the node with that of the server's node"},
	"other_node": {"it reports pods that run on another node, and they are left out", "look for pods on it that were deleted by force"},
	"not_listed": {"it reports pods that the API server does not list, and they are left out", "look for pods on it that were deleted by force"},

	"not_scraped":  {"no kubelet has reported it yet", "wait for the next scrapes; if that does not help, look at its node"},
	"no_window":    {"there is one sample so far, and usage needs two", "wait for the next scrape"},
	"incomplete":   {"the kubelet reports CPU or memory and not both", "look at the node's container runtime: a restart of kubelet and runtime often helps"},
	"stale":        {"its samples are too old to be served", "see whether its node fails, and compare the clock of the node with that of the server's node"},
	"none_running": {"none of its containers uses anything", "look at its containers with `kubectl describe pod`"},
}

// on returns the advice on a reason, or on any.
func on(reason string) advice {
	if a, ok := adviceOn[reason]; ok {
		return a
	}
	return advice{"it failed for a reason that has no name", "look at the message, and at the kubelet's log"}
}
