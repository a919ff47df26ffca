// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"encoding/json"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	applyv1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// fieldManager is the owner of what is written.
const fieldManager = "metrics-server"

var apiServiceResource = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

// secret is what matters of the Secret.
type secret struct {
	resourceVersion string
	data            map[string][]byte
}

// cluster is what is read and written. What is read is what was written last, by
// whomever. A write fails with a conflict unless the resourceVersion is the latest.
type cluster interface {
	// readSecret makes an empty one if there is none.
	readSecret(ctx context.Context) (secret, error)
	writeSecret(ctx context.Context, s secret) error
	// readAPIServices leaves out those that do not exist or that no Service serves.
	readAPIServices(ctx context.Context) ([]*apiService, error)
	writeBundle(ctx context.Context, s *apiService, bundle []byte) error
}

// apiServer implements cluster.
type apiServer struct {
	name        string
	secrets     corev1client.SecretInterface
	apiServices dynamic.ResourceInterface
	namespace   string
}

func newAPIServer(client kubernetes.Interface, dynamicClient dynamic.Interface, name types.NamespacedName) *apiServer {
	return &apiServer{
		name: name.Name, namespace: name.Namespace,
		secrets:     client.CoreV1().Secrets(name.Namespace),
		apiServices: dynamicClient.Resource(apiServiceResource),
	}
}

func (a *apiServer) readSecret(ctx context.Context) (secret, error) {
	object, err := a.secrets.Get(ctx, a.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		// Unlike a POST, this can be allowed for one name only. When another was
		// faster it changes nothing.
		object, err = a.secrets.Apply(ctx, applyv1.Secret(a.name, a.namespace), metav1.ApplyOptions{FieldManager: fieldManager})
	}
	if err != nil {
		return secret{}, err
	}
	return secret{resourceVersion: object.ResourceVersion, data: object.Data}, nil
}

func (a *apiServer) writeSecret(ctx context.Context, s secret) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": s.resourceVersion},
		"data":     s.data,
	})
	if err != nil {
		return err
	}
	_, err = a.secrets.Patch(ctx, a.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}

func (a *apiServer) readAPIServices(ctx context.Context) (all []*apiService, err error) {
	var errs []error
	for _, name := range apiServiceNames {
		object, err := a.apiServices.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		service, err := newAPIService(object)
		if err != nil {
			errs = append(errs, err)
		} else if service != nil {
			all = append(all, service)
		}
	}
	return all, errors.Join(errs...)
}

func (a *apiServer) writeBundle(ctx context.Context, s *apiService, bundle []byte) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": s.resourceVersion},
		"spec":     map[string]any{"caBundle": bundle},
	})
	if err != nil {
		return err
	}
	_, err = a.apiServices.Patch(ctx, s.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}
