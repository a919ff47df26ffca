// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	certutil "k8s.io/client-go/util/cert"
)

const (
	apiServiceGroup = "apiregistration.k8s.io"
	v1beta1Name     = "v1beta1.metrics.k8s.io"
	v1Name          = "v1.metrics.k8s.io"
	defaultPort     = 443
)

var apiServiceNames = []string{v1beta1Name, v1Name}

var apiServiceResource = schema.GroupVersionResource{Group: apiServiceGroup, Version: "v1", Resource: "apiservices"}

// apiService is what counts of one.
type apiService struct {
	Spec struct {
		Service *struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
			Port      *int32 `json:"port"`
		} `json:"service"`
		InsecureSkipTLSVerify bool   `json:"insecureSkipTLSVerify"`
		CABundle              []byte `json:"caBundle"`
	} `json:"spec"`
	Status struct {
		Conditions []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

func (c *checker) readAPIService(ctx context.Context, name string) (*apiService, error) {
	object, err := c.dynamic.Resource(apiServiceResource).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	s := new(apiService)
	return s, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, s)
}

// routed is the APIService that requests go through: that of v1beta1, or else of v1, nil if
// there is none.
func (in *installation) routed() *apiService {
	if s := in.apiServices[v1beta1Name]; s != nil {
		return s
	}
	return in.apiServices[v1Name]
}

func (s *apiService) service() types.NamespacedName {
	if s.Spec.Service == nil {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: s.Spec.Service.Namespace, Name: s.Spec.Service.Name}
}

func (s *apiService) port() int32 {
	if s.Spec.Service == nil || s.Spec.Service.Port == nil {
		return defaultPort
	}
	return *s.Spec.Service.Port
}

// available is the condition, nil if the aggregator has not looked at it yet.
func (s *apiService) available() *metav1.Condition {
	for i := range s.Status.Conditions {
		if s.Status.Conditions[i].Type == "Available" {
			return &s.Status.Conditions[i]
		}
	}
	return nil
}

func (c *checker) checkAPIServices(_ context.Context, s *Step) {
	for _, name := range apiServiceNames {
		service, err := c.installation.apiServices[name], c.installation.apiServiceErr[name]
		switch {
		case apierrors.IsNotFound(err):
			code := codeAPIServiceMissing
			if name == v1Name {
				code = codeAPIServiceV1
			}
			if name == v1Name && !c.ours(s, "APIService "+name+", which there is not") {
				continue // of a server of v1beta1 only, it would never be available
			}
			s.find(code, "apiservice/"+name, "there is no APIService "+name, c.create(name))
		case err != nil:
			unseen(s, "APIService "+name, err)
		default:
			c.checkAPIService(s, name, service)
		}
	}
}

// create makes an APIService anew.
func (c *checker) create(name string) string {
	priority := 100
	if name == v1Name {
		priority = 110
	}
	spec := map[string]any{
		"group": "metrics.k8s.io", "version": strings.TrimSuffix(name, ".metrics.k8s.io"), "groupPriorityMinimum": 100, "versionPriority": priority,
		"service": map[string]any{"name": c.Service.Name, "namespace": c.Service.Namespace, "port": c.port()},
	}
	// A server that keeps its certificate itself writes the bundle.
	if other := c.installation.routed(); other != nil && len(other.Spec.CABundle) > 0 {
		spec["caBundle"] = other.Spec.CABundle
	}
	return piped(map[string]any{
		"apiVersion": apiServiceGroup + "/v1", "kind": "APIService", "spec": spec,
		"metadata": map[string]any{"name": name, "labels": map[string]string{"k8s-app": "metrics-server"}},
	}, "kubectl apply --server-side -f -")
}

// port is that of the Service which the other APIService or the Service itself names.
func (c *checker) port() int32 {
	if s := c.installation.routed(); s != nil && s.service() == c.Service {
		return s.port()
	}
	if s := c.installation.service; s != nil && len(s.Spec.Ports) > 0 {
		return s.Spec.Ports[0].Port
	}
	return defaultPort
}

func (c *checker) checkAPIService(s *Step, name string, a *apiService) {
	object := "apiservice/" + name
	if a.service() != c.Service {
		seen := fmt.Sprintf("it leads to Service %s, and %s was checked", a.service(), c.Service)
		if a.Spec.Service == nil {
			seen = "it leads to no Service: the API server itself is to serve it"
		}
		s.find(codeAPIServiceOther, object, seen,
			comment("if that is the right one, check it with --namespace and --service; else"),
			patchAPIService(name, map[string]any{"service": map[string]any{"name": c.Service.Name, "namespace": c.Service.Namespace}}))
		return
	}
	before := len(s.Findings)
	c.checkBundle(s, name, a)
	c.checkAvailable(s, name, a, len(s.Findings) > before && !a.Spec.InsecureSkipTLSVerify)
}

func patchAPIService(name string, spec map[string]any) string {
	return command("kubectl patch apiservice %s --type=merge -p %s", name, inJSON(map[string]any{"spec": spec}))
}

// checkBundle holds the bundle against the certificate that is served, if that could be seen.
func (c *checker) checkBundle(s *Step, name string, a *apiService) {
	object := "apiservice/" + name
	if a.Spec.InsecureSkipTLSVerify {
		mend := []string{patchAPIService(name, map[string]any{"insecureSkipTLSVerify": false})}
		if !c.managesCertificate() {
			mend = append([]string{comment("the bundle has to have the CA of the server's certificate, or is written by the server itself with --tls-secret")}, mend...)
		}
		s.find(codeAPIServiceInsecure, object, "insecureSkipTLSVerify is set: the API server does not verify the metrics server", mend...)
		return
	}
	if len(a.Spec.CABundle) == 0 {
		s.find(codeCABundleMissing, object, "it has no caBundle", c.mendBundle(name)...)
		return
	}
	certs, err := certutil.ParseCertsPEM(a.Spec.CABundle)
	if err != nil {
		s.find(codeCABundleInvalid, object, "its caBundle: "+plain(err.Error()), c.mendBundle(name)...)
		return
	}
	if c.view.chain == nil {
		return // the condition says what the aggregator has seen
	}
	roots := x509.NewCertPool()
	for _, cert := range certs {
		roots.AddCert(cert)
	}
	leaf := c.view.chain[0]
	if err := c.verifyServing(c.view.chain, roots); err != nil {
		code, mend := c.servingCode(err, name)
		s.find(code, object, fmt.Sprintf("the server's certificate (of %q, by %q, valid until %s) is refused with the caBundle, which has %s: %s",
			plain(leaf.Subject.String()), plain(leaf.Issuer.String()), date(leaf.NotAfter), subjects(certs), plain(err.Error())), mend...)
		return
	}
	s.fact("%s: its caBundle is right for the certificate that is served, which is valid until %s", name, date(leaf.NotAfter))
	if left := leaf.NotAfter.Sub(c.Clock.Now()); left < leaf.NotAfter.Sub(leaf.NotBefore)/6 && left < expiresSoon {
		s.find(codeServingExpiring, object, "the server's certificate expires on "+date(leaf.NotAfter), c.mendCertificate()...)
	}
}

func subjects(certs []*x509.Certificate) string {
	var all []string
	for _, cert := range certs[:min(len(certs), maxNamed)] {
		all = append(all, fmt.Sprintf("%q", plain(cert.Subject.String())))
	}
	return strings.Join(all, ", ")
}

func (c *checker) managesCertificate() bool { return c.flags.CertificateSecret.Name != "" }

// servingCode tells what is wrong with a certificate that is refused.
func (c *checker) servingCode(err error, name string) (Code, []string) {
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return codeServingExpired, c.mendCertificate()
	case errors.As(err, &host):
		return codeServingName, c.mendCertificate()
	}
	return codeCABundleWrong, c.mendBundle(name)
}

// mendBundle writes the CA where the API server looks for it.
func (c *checker) mendBundle(name string) []string {
	if secret := c.flags.CertificateSecret; c.managesCertificate() {
		return []string{
			command(`kubectl patch apiservice %s --type=merge -p "{\"spec\":{\"caBundle\":\"$(kubectl -n %s get secret %s -o 'jsonpath={.data.ca\.crt}')\"}}"`,
				name, secret.Namespace, secret.Name),
			comment("the server does so itself unless it lacks a right: see \"rights\" and its log"),
		}
	}
	return []string{
		comment("CA.crt is the CA of the server's certificate"),
		command(`kubectl patch apiservice %s --type=merge -p "{\"spec\":{\"caBundle\":\"$(base64 -w0 < CA.crt)\"}}"`, name),
	}
}

// mendCertificate has the server get a new one.
func (c *checker) mendCertificate() []string {
	if secret := c.flags.CertificateSecret; c.managesCertificate() {
		return []string{
			comment("the server renews it itself unless it lacks a right: see \"rights\" and its log"),
			command("kubectl -n %s logs --selector=%s --tail=-1 | grep -i certificate", c.Service.Namespace, c.selector()),
			command("kubectl -n %s delete secret %s", secret.Namespace, secret.Name),
		}
	}
	return []string{
		comment("renew the certificate of --tls-cert-file for the name %s, or have the server make its own with --tls-secret=%s/metrics-server-tls", c.dnsName(), c.Service.Namespace),
		command("kubectl -n %s rollout restart deployment %s", c.Service.Namespace, c.deploymentName()),
	}
}

// selector is that of the server's pods.
func (c *checker) selector() string {
	if s := c.installation.service; s != nil && len(s.Spec.Selector) > 0 {
		return metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: s.Spec.Selector})
	}
	return "k8s-app=metrics-server"
}

func (c *checker) deploymentName() string {
	if d := c.installation.deployment(); d != nil {
		return d.Name
	}
	return "metrics-server"
}
