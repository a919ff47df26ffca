// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubemeter/metrics-server/pkg/servingcert"
)

// defaultValidity has a certificate renewed every two months.
const defaultValidity = 90 * 24 * time.Hour

// servingCertOptions says where the server keeps a serving certificate of its own.
type servingCertOptions struct {
	secret   string
	validity time.Duration
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
}

// validate needs to know the file of the other way to have a certificate.
func (o *servingCertOptions) validate(certFile string) []error {
	var problems []error
	if o.validity < servingcert.MinValidity || o.validity > servingcert.MaxValidity {
		problems = append(problems, badValue("tls-secret-validity", o.validity,
			"must be from %s to %s", servingcert.MinValidity, servingcert.MaxValidity))
	}
	if o.secret == "" {
		return problems
	}
	name, ok := o.name()
	if !ok || len(validation.IsDNS1123Label(name.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(name.Name)) > 0 {
		problems = append(problems, badValue("tls-secret", o.secret, "must be the namespace and the name of a Secret, such as kube-system/metrics-server-tls"))
	}
	if certFile != "" {
		problems = append(problems, exclusive("tls-secret", "tls-cert-file", "there is one serving certificate"))
	}
	return problems
}

func (o *servingCertOptions) name() (name types.NamespacedName, ok bool) {
	name.Namespace, name.Name, ok = strings.Cut(o.secret, "/")
	return name, ok
}

// config returns nil if the certificate is a file's.
func (o *servingCertOptions) config() *servingcert.Config {
	if o.secret == "" {
		return nil
	}
	name, _ := o.name()
	return &servingcert.Config{Secret: name, Validity: o.validity}
}
