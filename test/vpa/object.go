// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package vpa

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// Object is what tests look at of a VerticalPodAutoscaler.
type Object struct {
	Status struct {
		Conditions     []metav1.Condition `json:"conditions"`
		Recommendation struct {
			Containers []Recommendation `json:"containerRecommendations"`
		} `json:"recommendation"`
	} `json:"status"`

	// text is the whole object as YAML.
	text string
}

// Recommendation is that for one container.
type Recommendation struct {
	Name           string              `json:"containerName"`
	LowerBound     corev1.ResourceList `json:"lowerBound"`
	Target         corev1.ResourceList `json:"target"`
	UncappedTarget corev1.ResourceList `json:"uncappedTarget"`
	UpperBound     corev1.ResourceList `json:"upperBound"`
}

const manifest = `
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {namespace: %[1]s, name: %[2]s}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: %[2]s}
  updatePolicy: {updateMode: "Off"}
`

// Create makes one for a Deployment, with its name. Its pods are left as they are.
func (r *Recommender) Create(ctx context.Context, namespace, deployment string) error {
	return r.cluster.Apply(ctx, fmt.Sprintf(manifest, namespace, deployment))
}

// Get reads one.
func (r *Recommender) Get(ctx context.Context, namespace, name string) (*Object, error) {
	o := &Object{}
	var err error
	o.text, err = r.get(ctx, "verticalpodautoscalers", namespace, name, o)
	return o, err
}

// Samples is how many the recommender has kept of each of these containers. It keeps those
// whose time is later than that of the one before.
func (r *Recommender) Samples(ctx context.Context, namespace, name string, containers ...string) (counts []int, err error) {
	for _, c := range containers {
		var checkpoint struct {
			Status struct {
				Total int `json:"totalSamplesCount"`
			} `json:"status"`
		}
		if _, err := r.get(ctx, "verticalpodautoscalercheckpoints", namespace, name+"-"+c, &checkpoint); err != nil {
			return nil, err
		}
		counts = append(counts, checkpoint.Status.Total)
	}
	return counts, nil
}

// get returns an object as YAML, too.
func (r *Recommender) get(ctx context.Context, resource, namespace, name string, into any) (string, error) {
	kind := schema.GroupVersionResource{Group: "autoscaling.k8s.io", Version: "v1", Resource: resource}
	o, err := r.objects.Resource(kind).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	o.SetManagedFields(nil)
	text, err := yaml.Marshal(o)
	if err != nil {
		return "", err
	}
	return string(text), yaml.Unmarshal(text, into)
}

// String is the whole object as YAML.
func (o *Object) String() string { return o.text }

// Provided has an error while there is no recommendation.
func (o *Object) Provided() error {
	for _, c := range o.Status.Conditions {
		if c.Type == "RecommendationProvided" && c.Status == metav1.ConditionTrue && len(o.Status.Recommendation.Containers) > 0 {
			return nil
		}
	}
	return fmt.Errorf("there is no recommendation:\n%s", o)
}

// Check has an error if what is recommended is not between the bounds that are given with
// it, or was capped.
func (r *Recommendation) Check() error {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		target, low, high, uncapped := r.Target[name], r.LowerBound[name], r.UpperBound[name], r.UncappedTarget[name]
		if target.IsZero() || low.Cmp(target) > 0 || high.Cmp(target) < 0 || uncapped.Cmp(target) != 0 {
			return fmt.Errorf("%s of %s: %s is recommended, between %s and %s, and without caps %s", name, r.Name, &target, &low, &high, &uncapped)
		}
	}
	return nil
}
