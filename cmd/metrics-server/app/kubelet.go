// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

// addressTypes is what a node's status may have, in the order of preference.
var addressTypes = []string{
	string(corev1.NodeHostName),
	string(corev1.NodeInternalDNS),
	string(corev1.NodeInternalIP),
	string(corev1.NodeExternalDNS),
	string(corev1.NodeExternalIP),
}

// kubeletOptions says which kubelets are scraped, and how they are reached.
type kubeletOptions struct {
	port               int
	useNodeStatusPort  bool
	addressTypes       []string
	requestTimeout     time.Duration
	caFile             string
	clientCertFile     string
	clientKeyFile      string
	serviceAccount     string
	insecureTLS        bool
	completelyInsecure bool
	nodeSelector       string
	perNodeMetrics     bool
}

func newKubeletOptions() *kubeletOptions {
	return &kubeletOptions{
		port:           10250,
		addressTypes:   slices.Clone(addressTypes),
		requestTimeout: 10 * time.Second,
	}
}

func (o *kubeletOptions) addFlags(fs *pflag.FlagSet) {
	fs.IntVar(&o.port, "kubelet-port", o.port, "Port of the kubelets.")
	fs.BoolVar(&o.useNodeStatusPort, "kubelet-use-node-status-port", o.useNodeStatusPort,
		"Connect to the port that a node's status gives; --kubelet-port is for nodes without one.")
	fs.StringSliceVar(&o.addressTypes, "kubelet-preferred-address-types", o.addressTypes,
		"Types of node addresses to connect to, the most wanted first. A node is reached at its first address of the first type that it has.")
	fs.DurationVar(&o.requestTimeout, "kubelet-request-timeout", o.requestTimeout,
		"How long one scrape of a kubelet may take, at most 90 % of --metric-resolution.")
	fs.StringVar(&o.caFile, "kubelet-certificate-authority", o.caFile,
		"File with the CA certificates that sign the kubelets' serving certificates. Without it they are verified by the CA of the API server's clients. "+
			"A certificate has to be for an address or the name of its node, or have the subject that a kubelet requests. "+
			"The file is read again when it changes.")
	fs.StringVar(&o.clientCertFile, "kubelet-client-certificate", o.clientCertFile,
		"File with the client certificate for kubelets. They are sent no token then. It is read again when it changes.")
	fs.StringVar(&o.clientKeyFile, "kubelet-client-key", o.clientKeyFile,
		"File with the private key of --kubelet-client-certificate. It is read again when it changes.")
	fs.StringVar(&o.serviceAccount, "kubelet-service-account", o.serviceAccount,
		"ServiceAccount, as namespace/name, whose tokens are sent to kubelets in place of the server's own credentials. It needs the verb get on nodes/metrics and nodes/stats only. "+
			"The server requests the tokens, which are valid for an hour, and needs the verb create on serviceaccounts/token of that name. "+
			"--kubelet-client-certificate takes precedence. Without both, a compromised node can act as the metrics server.")
	fs.BoolVar(&o.insecureTLS, "kubelet-insecure-tls", o.insecureTLS,
		"Do not verify the kubelets' serving certificates. Anyone in the network can then pose as a kubelet and take the credentials for kubelets: for tests only. "+
			"The log and the metric metrics_server_kubelet_insecure_tls tell.")
	// It is not marked as deprecated, which would hide it from the help text.
	fs.BoolVar(&o.completelyInsecure, "deprecated-kubelet-completely-insecure", o.completelyInsecure,
		"DEPRECATED: connect to kubelets over plain HTTP and without credentials. In a test cluster whose kubelets have self-signed certificates use --kubelet-insecure-tls.")
	fs.StringVarP(&o.nodeSelector, "node-selector", "l", o.nodeSelector,
		"Label selector of the nodes to scrape and serve, with all of its operators: 'a=b,c!=d', 'zone in (x,y)', 'gpu', '!spot'. Empty means all nodes.")
	fs.BoolVar(&o.perNodeMetrics, "kubelet-per-node-metrics", o.perNodeMetrics,
		"Add the label node to the server's own metrics about kubelet requests. Their number then grows with that of the nodes.")
}

// validate checks the options on their own and against the resolution.
func (o *kubeletOptions) validate(resolution time.Duration) []error {
	var problems []error
	if o.port < 1 || o.port > 65535 {
		problems = append(problems, badValue("kubelet-port", o.port, "must be from 1 to 65535"))
	}
	// What is left of the interval is for what comes after the answer.
	longest := resolution * 9 / 10
	if o.requestTimeout <= 0 || o.requestTimeout > longest {
		problems = append(problems, badValue("kubelet-request-timeout", o.requestTimeout,
			"must be more than 0 and at most %s, 90 %% of --metric-resolution=%s", longest, resolution))
	}
	if _, err := o.selector(); err != nil {
		problems = append(problems, badValue("node-selector", o.nodeSelector, "must be a label selector such as 'a=b,c in (d,e)': %v", err))
	}
	if o.serviceAccount != "" {
		if _, err := parseName(o.serviceAccount); err != nil {
			problems = append(problems, badValue("kubelet-service-account", o.serviceAccount,
				"must be the namespace and the name of a ServiceAccount, such as kube-system/metrics-server-kubelet"))
		}
	}
	problems = append(problems, o.validateAddressTypes()...)
	problems = append(problems, o.validateCombinations()...)
	return append(problems, o.validateFiles()...)
}

func (o *kubeletOptions) validateAddressTypes() []error {
	const flag = "kubelet-preferred-address-types"
	value := strings.Join(o.addressTypes, ",")
	if len(o.addressTypes) == 0 {
		return []error{badValue(flag, value, "must have at least one of %s", strings.Join(addressTypes, ", "))}
	}
	var problems []error
	for _, t := range o.addressTypes {
		if !slices.Contains(addressTypes, t) {
			problems = append(problems, badValue(flag, value, "%q is not one of %s", t, strings.Join(addressTypes, ", ")))
		}
	}
	return problems
}

func (o *kubeletOptions) validateCombinations() []error {
	var problems []error
	given := []struct {
		flag string
		set  bool
	}{
		{"kubelet-insecure-tls", o.insecureTLS},
		{"kubelet-certificate-authority", o.caFile != ""},
		{"kubelet-client-certificate", o.clientCertFile != ""},
		{"kubelet-client-key", o.clientKeyFile != ""},
	}
	for _, g := range given {
		if o.completelyInsecure && g.set {
			problems = append(problems, exclusive("deprecated-kubelet-completely-insecure", g.flag, "plain HTTP has no TLS"))
		}
	}
	if o.insecureTLS && o.caFile != "" {
		problems = append(problems, exclusive("kubelet-insecure-tls", "kubelet-certificate-authority", "a CA is there to verify with"))
	}
	return problems
}

func (o *kubeletOptions) validateFiles() []error {
	return problems(
		checkCA("kubelet-certificate-authority", o.caFile),
		checkKeyPair("kubelet-client-certificate", o.clientCertFile, "kubelet-client-key", o.clientKeyFile),
	)
}

func (o *kubeletOptions) selector() (labels.Selector, error) {
	return labels.Parse(o.nodeSelector)
}

// serviceAccountName returns the ServiceAccount whose tokens are sent to kubelets; its name is "" if
// they get other credentials, or none.
func (o *kubeletOptions) serviceAccountName() types.NamespacedName {
	if o.serviceAccount == "" || o.clientCertFile != "" || o.completelyInsecure {
		return types.NamespacedName{}
	}
	name, _ := parseName(o.serviceAccount)
	return name
}

// usesServerCredentials tells whether the credentials for the API server are sent to kubelets, too.
func (o *kubeletOptions) usesServerCredentials() bool {
	return o.serviceAccount == "" && o.clientCertFile == "" && !o.completelyInsecure
}

// reportCredentials logs which credentials are sent to kubelets, unless they are those of
// --kubelet-service-account.
func (o *kubeletOptions) reportCredentials() {
	switch {
	case o.usesServerCredentials():
		klog.Warning("The credentials of this server are sent to kubelets: a compromised node can act as the metrics server. " +
			"Set --kubelet-service-account to a ServiceAccount that may only read kubelets' metrics")
	case o.serviceAccount != "" && o.clientCertFile != "":
		klog.Info("--kubelet-service-account is not used, because --kubelet-client-certificate is set")
	case o.serviceAccount != "" && o.completelyInsecure:
		klog.Info("--kubelet-service-account is not used, because --deprecated-kubelet-completely-insecure sends no credentials")
	}
}

// config takes the CA, and without flags for them the credentials, from the client of the API
// server.
func (o *kubeletOptions) config(apiServer *rest.Config, resolution time.Duration) kubelet.Config {
	c := kubelet.Config{
		Client:            o.client(apiServer),
		Insecure:          o.completelyInsecure,
		Port:              o.port,
		UseNodeStatusPort: o.useNodeStatusPort,
		Timeout:           o.requestTimeout,
		Resolution:        resolution,
	}
	for _, t := range o.addressTypes {
		// The flag accumulates, and the chart and its users often name the same type.
		if t := corev1.NodeAddressType(t); !slices.Contains(c.AddressTypes, t) {
			c.AddressTypes = append(c.AddressTypes, t)
		}
	}
	return c
}

func (o *kubeletOptions) client(apiServer *rest.Config) *rest.Config {
	if o.completelyInsecure {
		c := rest.AnonymousClientConfig(apiServer)
		c.TLSClientConfig = rest.TLSClientConfig{}
		return c
	}
	c := rest.CopyConfig(apiServer)
	if !o.usesServerCredentials() {
		c = rest.AnonymousClientConfig(apiServer)
	}
	// The name, and the wish not to verify, are about the API server.
	c.ServerName = ""
	c.Insecure = o.insecureTLS
	if o.insecureTLS || o.caFile != "" {
		c.CAFile, c.CAData = o.caFile, nil
	}
	if o.clientCertFile != "" {
		c.CertFile, c.CertData = o.clientCertFile, nil
		c.KeyFile, c.KeyData = o.clientKeyFile, nil
	}
	return c
}
