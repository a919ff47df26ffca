// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// checkAutoscalers finds those that cannot read the usage of their pods.
func (c *checker) checkAutoscalers(ctx context.Context, s *Step) {
	using, found := 0, 0
	err := pages(ctx, metav1.ListOptions{}, c.client.AutoscalingV2().HorizontalPodAutoscalers(metav1.NamespaceAll).List,
		func(l *autoscalingv2.HorizontalPodAutoscalerList) {
			for i := range l.Items {
				resource := resourceOf(&l.Items[i])
				if resource == "" {
					continue
				}
				using++
				if c.checkAutoscaler(s, &l.Items[i], resource) {
					found++
				}
			}
		})
	if err != nil {
		unseen(s, "HorizontalPodAutoscalers", err)
		return
	}
	s.fact("%d of %d HorizontalPodAutoscalers that go by CPU or memory can read it", using-found, using)
}

// resourceOf is the first that an autoscaler goes by, "" if it is none that is served here.
func resourceOf(h *autoscalingv2.HorizontalPodAutoscaler) corev1.ResourceName {
	for _, m := range h.Spec.Metrics {
		switch {
		case m.Resource != nil:
			return m.Resource.Name
		case m.ContainerResource != nil:
			return m.ContainerResource.Name
		}
	}
	return ""
}

// checkAutoscaler goes by the conditions of the autoscaler's controller.
func (c *checker) checkAutoscaler(s *Step, h *autoscalingv2.HorizontalPodAutoscaler, resource corev1.ResourceName) (found bool) {
	object := "hpa/" + h.Name + " -n " + h.Namespace
	target := strings.ToLower(h.Spec.ScaleTargetRef.Kind) + "/" + h.Spec.ScaleTargetRef.Name
	for _, condition := range h.Status.Conditions {
		if condition.Status != corev1.ConditionFalse {
			continue
		}
		seen := plain(condition.Reason + ": " + condition.Message)
		switch {
		case condition.Type == autoscalingv2.AbleToScale && condition.Reason == "FailedGetScale":
			s.find(codeHPATarget, object, seen, command("kubectl -n %s get %s", h.Namespace, target),
				command("kubectl -n %s edit hpa %s", h.Namespace, h.Name))
			return true
		case condition.Type != autoscalingv2.ScalingActive || condition.Reason == "ScalingDisabled":
			continue
		case strings.Contains(condition.Message, "missing request for"):
			amount := "100m"
			if resource == corev1.ResourceMemory {
				amount = "128Mi"
			}
			s.find(codeHPARequests, object, seen,
				comment("what the containers need, in place of %s:", amount),
				command("kubectl -n %s set resources %s --requests=%s=%s", h.Namespace, target, string(resource), amount))
			return true
		case strings.HasPrefix(condition.Reason, "FailedGet") && strings.Contains(condition.Reason, "Resource"):
			s.find(codeHPAMetrics, object, seen, command("kubectl -n %s top pods", h.Namespace),
				command("metrics-server check --namespace=%s --service=%s --pod=%s/POD", c.Service.Namespace, c.Service.Name, h.Namespace))
			return true
		}
	}
	return false
}
