// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

// apiServices are what a resource metrics server serves.
var apiServices = []string{"v1.metrics.k8s.io", "v1beta1.metrics.k8s.io"}

// An ExternalName is how the aggregator reaches loopback: addresses of
// endpoints may not be there.
const apiServiceManifest = `
apiVersion: v1
kind: Service
metadata:
  name: metrics-server
  namespace: kube-system
spec:
  type: ExternalName
  externalName: localhost
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: v1.metrics.k8s.io
spec:
  group: metrics.k8s.io
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 110
  insecureSkipTLSVerify: false
  service: {name: metrics-server, namespace: kube-system, port: %[2]d}
%[1]s---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: v1beta1.metrics.k8s.io
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: false
  service: {name: metrics-server, namespace: kube-system, port: %[2]d}
%[1]s`

// RegisterAPIServices routes v1 and v1beta1 of metrics.k8s.io to a server on
// a port of localhost, through Service metrics-server of namespace kube-system.
// The server's certificate must be signed by an authority of caBundle (PEM) and
// be valid for the DNS name metrics-server.kube-system.svc: that is the name
// that the aggregator verifies, whatever the address. A server that writes caBundle
// itself is given none.
func (c *Cluster) RegisterAPIServices(ctx context.Context, port int, caBundle []byte) error {
	line := ""
	if len(caBundle) > 0 {
		line = "  caBundle: " + base64.StdEncoding.EncodeToString(caBundle) + "\n"
	}
	if err := c.Apply(ctx, fmt.Sprintf(apiServiceManifest, line, port)); err != nil {
		return fmt.Errorf("register %s: %w", strings.Join(apiServices, " and "), err)
	}
	return nil
}

// WaitAvailable waits until the aggregator finds the server of both registered
// APIServices available. When ctx ends first, the error says what it found.
func (c *Cluster) WaitAvailable(ctx context.Context) error {
	client, err := aggregator.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	for {
		err := checkAvailable(ctx, client)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// checkAvailable has an error for each APIService that is not.
func checkAvailable(ctx context.Context, client aggregator.Interface) error {
	var all []error
	for _, name := range apiServices {
		service, err := client.ApiregistrationV1().APIServices().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			all = append(all, err)
			continue
		}
		if problem := unavailability(service); problem != "" {
			all = append(all, fmt.Errorf("APIService %s is not available: %s", name, problem))
		}
	}
	return errors.Join(all...)
}

// unavailability says why an APIService is not available, or nothing if it is.
func unavailability(service *apiregistrationv1.APIService) string {
	for _, condition := range service.Status.Conditions {
		if condition.Type != apiregistrationv1.Available {
			continue
		}
		if condition.Status == apiregistrationv1.ConditionTrue {
			return ""
		}
		return condition.Reason + ": " + condition.Message
	}
	return "it has not been probed yet"
}
