// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// pod is a v1 Pod of which only what is used is decoded. The node is in the
// specification, and so not in the metadata that an API server would serve alone.
// To decode whole pods with corev1.Pod costs ten times as much time and memory: see
// BenchmarkDecodePod.
type pod struct {
	metav1.TypeMeta
	metav1.ObjectMeta // Namespace, Name, UID, ResourceVersion, Labels, Annotations of bookmarks
	node              string
}

// Field numbers of the messages of k8s.io/api/core/v1 and of
// k8s.io/apimachinery/pkg/apis/meta/v1 (generated.proto).
const (
	podMetadataField, podSpecField         = 1, 2
	specNodeNameField                      = 10
	metaNameField, metaNamespaceField      = 1, 3
	metaUIDField, metaResourceVersionField = 5, 6
	metaLabelsField, metaAnnotationsField  = 11, 12
	entryKeyField, entryValueField         = 1, 2
)

// Unmarshal implements what a protobuf serializer asks for. The bytes are not kept.
func (p *pod) Unmarshal(b []byte) error {
	err := fieldsOf(b, func(number protowire.Number, value []byte) (err error) {
		switch number {
		case podMetadataField:
			return unmarshalMeta(&p.ObjectMeta, value)
		case podSpecField:
			return fieldsOf(value, func(number protowire.Number, value []byte) error {
				if number == specNodeNameField {
					p.node = string(value)
				}
				return nil
			})
		}
		return nil
	})
	if p.Name != "" {
		p.Annotations = nil
	}
	return err
}

func unmarshalMeta(m *metav1.ObjectMeta, b []byte) error {
	return fieldsOf(b, func(number protowire.Number, value []byte) (err error) {
		switch number {
		case metaNameField:
			m.Name = string(value)
		case metaNamespaceField:
			m.Namespace = string(value)
		case metaUIDField:
			m.UID = types.UID(value)
		case metaResourceVersionField:
			m.ResourceVersion = string(value)
		case metaLabelsField:
			m.Labels, err = addEntry(m.Labels, value)
		case metaAnnotationsField:
			// Those of pods can be long. A bookmark has one, which says that the
			// initial events are over, and no name.
			if m.Name == "" {
				m.Annotations, err = addEntry(m.Annotations, value)
			}
		}
		return err
	})
}

func addEntry(m map[string]string, b []byte) (map[string]string, error) {
	if m == nil {
		m = make(map[string]string)
	}
	var key, value string
	err := fieldsOf(b, func(number protowire.Number, b []byte) error {
		switch number {
		case entryKeyField:
			key = string(b)
		case entryValueField:
			value = string(b)
		}
		return nil
	})
	m[key] = value
	return m, err
}

// fieldsOf calls f with each field of a message that is a string or a message, as
// all are that are used.
func fieldsOf(b []byte, f func(number protowire.Number, value []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("pod in protobuf: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return fmt.Errorf("pod in protobuf: %w", protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return fmt.Errorf("pod in protobuf: %w", protowire.ParseError(n))
		}
		if err := f(number, value); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Reset is called before Unmarshal.
func (p *pod) Reset() { *p = pod{} }

// DeepCopyObject implements runtime.Object.
func (p *pod) DeepCopyObject() runtime.Object {
	return &pod{p.TypeMeta, *p.DeepCopy(), p.node}
}

// NewPodClient returns a client of the API server that decodes pods so. It takes
// nothing but protobuf, which every API server has. The error is of the config.
func NewPodClient(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypeWithName(corev1.SchemeGroupVersion.WithKind("Pod"), &pod{})
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	c := rest.CopyConfig(config)
	if c.UserAgent == "" {
		c.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	c.APIPath, c.GroupVersion = "/api", &corev1.SchemeGroupVersion
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf
	return rest.RESTClientFor(c)
}
