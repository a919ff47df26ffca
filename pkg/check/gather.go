// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"crypto/x509"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// installation is what there is of the metrics server in the cluster. Each error is
// why something could not be read.
type installation struct {
	apiServices   map[string]*apiService // by name; those that exist
	apiServiceErr map[string]error

	service    *corev1.Service
	serviceErr error
	slices     []discoveryv1.EndpointSlice
	slicesErr  error

	pods           []corev1.Pod
	podsErr        error
	deployments    []appsv1.Deployment // of the namespace
	deploymentsErr error
}

// gather reads the installation, which several steps look at.
func (c *checker) gather(ctx context.Context) {
	in := &c.installation
	in.apiServices, in.apiServiceErr = map[string]*apiService{}, map[string]error{}
	for _, name := range apiServiceNames {
		service, err := c.readAPIService(ctx, name)
		if err != nil {
			in.apiServiceErr[name] = err
			continue
		}
		in.apiServices[name] = service
	}
	core, namespace := c.client.CoreV1(), c.Service.Namespace
	in.service, in.serviceErr = core.Services(namespace).Get(ctx, c.Service.Name, metav1.GetOptions{})
	if in.serviceErr != nil {
		in.service = nil
	}
	slices, err := c.client.DiscoveryV1().EndpointSlices(namespace).List(ctx,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + c.Service.Name})
	if in.slicesErr = err; err == nil {
		in.slices = slices.Items
	}
	deployments, err := c.client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	if in.deploymentsErr = err; err == nil {
		in.deployments = deployments.Items
	}
	c.gatherPods(ctx)
	c.readFlags()
	c.view = c.openView(ctx)
	if c.view.known && !c.flagsKnown {
		c.adoptFlags(c.view.flags())
	}
}

// gatherPods lists those that the Service or the Deployment selects. If neither can be
// read, they are the ones labelled as those of the manifests or of the chart.
func (c *checker) gatherPods(ctx context.Context) {
	in := &c.installation
	var selectors []string
	if in.service != nil && len(in.service.Spec.Selector) > 0 {
		selectors = append(selectors, labels.SelectorFromSet(in.service.Spec.Selector).String())
	}
	if d := in.deployment(); d != nil {
		selectors = append(selectors, metav1.FormatLabelSelector(d.Spec.Selector))
	}
	if in.service == nil && len(selectors) == 0 {
		selectors = []string{"k8s-app=metrics-server", "app.kubernetes.io/name=metrics-server"}
	}
	for _, selector := range selectors {
		pods, err := c.client.CoreV1().Pods(c.Service.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			in.podsErr = err
			return
		}
		if in.pods = pods.Items; len(in.pods) > 0 {
			return
		}
	}
}

// selected tells whether the Service selects what has these labels.
func (in *installation) selected(l map[string]string) bool {
	return in.service != nil && len(in.service.Spec.Selector) > 0 &&
		labels.SelectorFromSet(in.service.Spec.Selector).Matches(labels.Set(l))
}

// deployment is the one of the metrics server: that the Service selects, or else one of
// that name.
func (in *installation) deployment() *appsv1.Deployment {
	for i := range in.deployments {
		if in.selected(in.deployments[i].Spec.Template.Labels) {
			return &in.deployments[i]
		}
	}
	for i := range in.deployments {
		if in.service != nil && in.deployments[i].Name == in.service.Name || in.deployments[i].Name == "metrics-server" {
			return &in.deployments[i]
		}
	}
	return nil
}

// podSpec is that of a pod, or else that of the Deployment; nil if neither is known.
func (in *installation) podSpec() *corev1.PodSpec {
	if len(in.pods) > 0 {
		return &in.pods[0].Spec
	}
	if d := in.deployment(); d != nil {
		return &d.Spec.Template.Spec
	}
	return nil
}

// server is the container of the metrics server.
func server(spec *corev1.PodSpec) *corev1.Container {
	for i := range spec.Containers {
		if spec.Containers[i].Name == "metrics-server" {
			return &spec.Containers[i]
		}
	}
	return &spec.Containers[0]
}

// outside tells whether the Service leads to something other than pods.
func (in *installation) outside() bool {
	return in.service != nil && (in.service.Spec.Type == corev1.ServiceTypeExternalName || len(in.service.Spec.Selector) == 0)
}

// readFlags takes the flags from the pod's or the Deployment's command line.
func (c *checker) readFlags() {
	spec := c.installation.podSpec()
	if spec == nil || len(spec.Containers) == 0 {
		return
	}
	if spec.ServiceAccountName != "" {
		c.account = types.NamespacedName{Namespace: c.Service.Namespace, Name: spec.ServiceAccountName}
	}
	container := server(spec)
	c.adoptFlags(append(append([]string{}, container.Command...), container.Args...))
}

// adoptFlags keeps the defaults if the command line is not one that can be read.
func (c *checker) adoptFlags(args []string) {
	if flags, err := c.ParseFlags(args, c.Client); err == nil {
		c.flags, c.flagsKnown = flags, true
	}
}

// dnsName is what the aggregator verifies the server's certificate for.
func (c *checker) dnsName() string { return c.Service.Name + "." + c.Service.Namespace + ".svc" }

// verifyServing says why the aggregator refuses a certificate, nil if it does not.
func (c *checker) verifyServing(chain []*x509.Certificate, roots *x509.CertPool) error {
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		DNSName: c.dnsName(), Roots: roots, Intermediates: intermediates, CurrentTime: c.Clock.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}
