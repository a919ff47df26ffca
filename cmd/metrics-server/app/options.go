// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/featuregate"

	"github.com/kubemeter/metrics-server/pkg/server"
)

// options is all flags.
type options struct {
	metrics     *metricsOptions
	apiServer   *apiServerOptions
	servingCert *servingCertOptions
	kubelet     *kubeletOptions
	logging     *loggingOptions
	kubeconfig  kubeconfigOption
	showVersion bool
	given       cliflag.NamedFlagSets // what flags returned
}

// newOptions returns the defaults. gate is what --feature-gates sets: the one of
// the Kubernetes libraries, except in tests.
func newOptions(gate featuregate.MutableVersionedFeatureGate) *options {
	return &options{
		metrics:     newMetricsOptions(),
		apiServer:   newAPIServerOptions(gate),
		servingCert: newServingCertOptions(),
		kubelet:     newKubeletOptions(),
		logging:     newLoggingOptions(gate),
	}
}

// flags returns the flags by the sections of the help text.
func (o *options) flags() (sections cliflag.NamedFlagSets) {
	own := sections.FlagSet("metrics server")
	own.BoolP("help", "h", false, "Print this text and exit.")
	own.BoolVar(&o.showVersion, "version", o.showVersion, "Print the version and exit.")
	o.kubeconfig.addFlag(own)
	o.metrics.addFlags(own)

	o.apiServer.addGenericFlags(sections.FlagSet("generic"))
	o.kubelet.addFlags(sections.FlagSet("kubelet client"))
	o.apiServer.addFlags(&sections)
	o.servingCert.addFlags(sections.FlagSet("apiserver secure serving"))
	o.logging.addFlags(sections.FlagSet("logging"))
	o.given = sections
	return sections
}

// validate returns one error per problem, and starts nothing.
func (o *options) validate() []error {
	problems := o.apiServer.validate()
	problems = append(problems, o.servingCert.validate(o.apiServer.serving.ServerCert.CertKey.CertFile)...)
	problems = append(problems, o.metrics.validate()...)
	problems = append(problems, o.kubelet.validate(o.metrics.resolution)...)
	problems = append(problems, o.logging.validate()...)
	client, err := o.kubeconfig.load()
	if err != nil {
		return append(problems, err)
	}
	if name := o.kubelet.serviceAccountName(); name.Name != "" && name == serviceAccountOf(client) {
		problems = append(problems, badValue("kubelet-service-account", o.kubelet.serviceAccount,
			"must be another ServiceAccount than the server's own, which a compromised node could act as"))
	}
	return problems
}

// config makes the configuration of a server of valid options. It writes the
// self-signed certificate unless there is another, and listens on the secure port.
func (o *options) config() (*server.Config, error) {
	client, err := o.kubeconfig.load()
	if err != nil {
		return nil, err
	}
	apiServer := server.NewAPIServerConfig()
	servingCert := o.servingCert.config()
	if servingCert == nil {
		if err := o.apiServer.selfSign(); err != nil {
			return nil, err
		}
	}
	if err := o.apiServer.applyTo(apiServer); err != nil {
		return nil, err
	}
	nodeSelector, err := o.kubelet.selector()
	if err != nil {
		return nil, err
	}
	o.kubelet.reportVerification()
	o.kubelet.reportCredentials()
	o.apiServer.reportIgnored(&o.given)
	caConfigMap, _ := parseName(o.servingCert.caConfigMap)
	return &server.Config{
		APIServer:             apiServer,
		Client:                client,
		ServingCertificate:    servingCert,
		CAConfigMap:           caConfigMap,
		CertFile:              o.apiServer.serving.ServerCert.CertKey.CertFile,
		Kubelet:               o.kubelet.config(client, o.metrics.resolution),
		KubeletServiceAccount: o.kubelet.serviceAccountName(),
		Resolution:            o.metrics.resolution,
		MaxAge:                o.metrics.age(),
		ScrapeWorkers:         o.metrics.workers,
		DisableWatch:          !o.metrics.watch,
		NodeSelector:          nodeSelector,
		PerNodeMetrics:        o.kubelet.perNodeMetrics,
		Flags:                 &o.given,
	}, nil
}
