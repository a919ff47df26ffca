// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	certutil "k8s.io/client-go/util/cert"
)

// apiServiceNames are those that a metrics server serves.
var apiServiceNames = []string{"v1.metrics.k8s.io", "v1beta1.metrics.k8s.io"}

// apiService is what matters of an APIService that a Service serves.
type apiService struct {
	name, resourceVersion string
	// dnsName is the one that a serving certificate is verified for.
	dnsName  string
	insecure bool
	bundle   []byte
	// trusted is the certificates of bundle.
	trusted []*x509.Certificate
}

// newAPIService returns nil if no Service serves it, or one that cannot exist.
func newAPIService(object *unstructured.Unstructured) (*apiService, error) {
	var typed struct {
		Spec struct {
			Service *struct {
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
			} `json:"service"`
			InsecureSkipTLSVerify bool   `json:"insecureSkipTLSVerify"`
			CABundle              []byte `json:"caBundle"`
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &typed); err != nil {
		return nil, fmt.Errorf("APIService %s: %w", object.GetName(), err)
	}
	service := typed.Spec.Service
	if service == nil || len(validation.IsDNS1123Label(service.Name)) > 0 || len(validation.IsDNS1123Label(service.Namespace)) > 0 {
		return nil, nil
	}
	s := &apiService{
		name: object.GetName(), resourceVersion: object.GetResourceVersion(),
		dnsName: dnsName(service.Name, service.Namespace), insecure: typed.Spec.InsecureSkipTLSVerify,
	}
	s.setBundle(typed.Spec.CABundle)
	return s, nil
}

// dnsName is what the aggregator verifies the certificate of a Service for.
func dnsName(service, namespace string) string {
	return service + "." + namespace + ".svc"
}

func (s *apiService) setBundle(bundle []byte) {
	s.bundle = bundle
	// The API server takes what is no certificate, too. Nothing is trusted then.
	s.trusted, _ = certutil.ParseCertsPEM(bundle)
}

// trusts tells whether a certificate of an authority is accepted.
func (s *apiService) trusts(authority *x509.Certificate) bool {
	return s.insecure || slices.ContainsFunc(s.trusted, authority.Equal)
}

// needs tells whether a bundle has to be written: the API does not allow one beside
// insecureSkipTLSVerify.
func (s *apiService) needs(bundle []byte) bool {
	return !s.insecure && !bytes.Equal(s.bundle, bundle)
}
