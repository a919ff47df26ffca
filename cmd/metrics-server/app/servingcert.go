// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/kubemeter/metrics-server/pkg/servingcert"
)

// defaultValidity has a certificate renewed every two months.
const defaultValidity = 90 * 24 * time.Hour

// servingCertOptions says where the server keeps a serving certificate of its own.
type servingCertOptions struct {
	secret      string
	caConfigMap string
	validity    time.Duration
}

func newServingCertOptions() *servingCertOptions {
	return &servingCertOptions{validity: defaultValidity}
}

func (o *servingCertOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.secret, "tls-secret", o.secret,
		"Secret, as namespace/name, in which the servers keep the serving certificate and the CA that they make and rotate themselves. "+
			"They keep the CA bundle of the APIServices of metrics.k8s.io, too. --cert-dir is not used then.")
	fs.DurationVar(&o.validity, "tls-secret-validity", o.validity,
		"How long a serving certificate made for --tls-secret is valid, from 2m to 87600h. It is renewed after two thirds of that. "+
			"The CA lives ten times as long.")
	fs.StringVar(&o.caConfigMap, "tls-ca-configmap", o.caConfigMap,
		"ConfigMap, as namespace/name, in which the server publishes the CA certificates that verify its serving certificate, in the key ca.crt, "+
			"for clients such as Prometheus. They come from --tls-secret, or from the file ca.crt in the folder of --tls-cert-file, or from that file itself if it is self-signed.")
}

// validate needs to know the file of the other way to have a certificate.
func (o *servingCertOptions) validate(certFile string) []error {
	var problems []error
	if o.validity < servingcert.MinValidity || o.validity > servingcert.MaxValidity {
		problems = append(problems, badValue("tls-secret-validity", o.validity,
			"must be from %s to %s", servingcert.MinValidity, servingcert.MaxValidity))
	}
	if o.caConfigMap != "" {
		if _, err := parseName(o.caConfigMap); err != nil {
			problems = append(problems, badValue("tls-ca-configmap", o.caConfigMap, "must be the namespace and the name of a ConfigMap, such as kube-system/metrics-server-ca"))
		}
		if o.secret == "" && certFile == "" {
			problems = append(problems, badValue("tls-ca-configmap", o.caConfigMap, "needs --tls-secret or --tls-cert-file: nobody can verify the certificate that is made in --cert-dir"))
		}
	}
	if o.secret == "" {
		return problems
	}
	if _, err := parseName(o.secret); err != nil {
		problems = append(problems, badValue("tls-secret", o.secret, "must be the namespace and the name of a Secret, such as kube-system/metrics-server-tls"))
	}
	if certFile != "" {
		problems = append(problems, exclusive("tls-secret", "tls-cert-file", "there is one serving certificate"))
	}
	return problems
}

// config returns nil if the certificate is a file's.
func (o *servingCertOptions) config() *servingcert.Config {
	if o.secret == "" {
		return nil
	}
	name, _ := parseName(o.secret)
	return &servingcert.Config{Secret: name, Validity: o.validity}
}
