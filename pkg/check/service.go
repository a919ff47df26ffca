// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func (c *checker) serviceObject() string { return "service/" + c.Service.Name }

// mendService makes the Service of the manifests.
func (c *checker) mendService() []string {
	labels := map[string]string{"k8s-app": "metrics-server"}
	if d := c.installation.deployment(); d != nil && d.Spec.Selector != nil && len(d.Spec.Selector.MatchLabels) > 0 {
		labels = d.Spec.Selector.MatchLabels
	}
	return []string{piped(map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": c.Service.Name, "namespace": c.Service.Namespace, "labels": map[string]string{"k8s-app": "metrics-server"}},
		"spec":     map[string]any{"selector": labels, "ports": []any{map[string]any{"name": "https", "port": c.port(), "targetPort": "https"}}},
	}, "kubectl apply --server-side -f -")}
}

func (c *checker) checkService(_ context.Context, s *Step) {
	in := &c.installation
	switch {
	case apierrors.IsNotFound(in.serviceErr):
		s.find(codeServiceMissing, c.serviceObject(), fmt.Sprintf("there is no Service %s", c.Service), c.mendService()...)
		return
	case in.serviceErr != nil:
		unseen(s, "Service "+c.Service.String(), in.serviceErr)
		return
	}
	if in.service.Spec.Type == corev1.ServiceTypeExternalName {
		s.fact("Service %s leads to %s, and has no endpoints of its own", c.Service, plain(in.service.Spec.ExternalName))
		return
	}
	if in.slicesErr != nil {
		unseen(s, "the endpoints", in.slicesErr)
		return
	}
	ready, notReady := endpoints(in.slices)
	if ready > 0 {
		s.fact("Service %s has %d ready of %d endpoints", c.Service, ready, ready+notReady)
		return
	}
	c.explainEndpoints(s, notReady)
}

func endpoints(all []discoveryv1.EndpointSlice) (ready, notReady int) {
	for _, slice := range all {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				ready++
			} else {
				notReady++
			}
		}
	}
	return ready, notReady
}

// explainEndpoints says why there is none that is ready.
func (c *checker) explainEndpoints(s *Step, notReady int) {
	in := &c.installation
	d := in.deployment()
	if d == nil || in.selected(d.Spec.Template.Labels) || len(in.service.Spec.Selector) == 0 {
		s.find(codeServiceEndpoints, c.serviceObject(), fmt.Sprintf("Service %s has no ready endpoint, and %d that are not ready", c.Service, notReady),
			comment("see \"Metrics server\""),
			command("kubectl -n %s get pods --selector=%s", c.Service.Namespace, c.selector()))
		return
	}
	patch := []any{map[string]any{"op": "replace", "path": "/spec/selector", "value": d.Spec.Selector.MatchLabels}}
	s.find(codeServiceSelector, c.serviceObject(),
		fmt.Sprintf("Service %s selects %s, and the pods of Deployment %s are not so labelled", c.Service, c.selector(), d.Name),
		command("kubectl -n %s patch service %s --type=json -p %s", c.Service.Namespace, c.Service.Name, inJSON(patch)))
}
