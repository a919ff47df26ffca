// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// whole is a pod about as large as they are in clusters.
func whole() *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "checkout", Name: "cart-7d4b9c6f5d-x2x7k", UID: "ab0c7f8e-5a53-4a2f-9e55-9f6a53f7b3a1", ResourceVersion: "123456",
			Labels:      map[string]string{"app.kubernetes.io/name": "cart", "app.kubernetes.io/instance": "cart-1", "pod-template-hash": "7d4b9c6f5d"},
			Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", 300)},
			ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kube-controller-manager", FieldsV1: metav1.NewFieldsV1(strings.Repeat("x", 900))},
				{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(strings.Repeat("x", 700))},
			},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "cart-7d4b9c6f5d"}},
		},
		Spec: corev1.PodSpec{NodeName: "node-17.example.com", ServiceAccountName: "cart"},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.1.2.3", HostIP: "10.0.0.17", QOSClass: corev1.PodQOSBurstable,
			Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled}, {Type: corev1.PodInitialized}, {Type: corev1.ContainersReady}, {Type: corev1.PodReady}},
		},
	}
	for _, name := range []string{"web", "proxy"} {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{
			Name: name, Image: "registry.example.com/team/" + name,
			Env:          []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}, {Name: "PORT", Value: "8080"}},
			VolumeMounts: []corev1.VolumeMount{{Name: "token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
		})
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: name, Ready: true, Image: "registry.example.com/team/" + name, ContainerID: "containerd://" + strings.Repeat("0", 64),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		})
	}
	return p
}

// used is what is taken of the library's pod.
func used(p *corev1.Pod) *pod {
	u := &pod{node: p.Spec.NodeName, ObjectMeta: metav1.ObjectMeta{
		Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion, Labels: p.Labels,
	}}
	if p.Name == "" {
		u.Annotations = p.Annotations
	}
	return u
}

func marshal(t testing.TB, o interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := o.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodePod(t *testing.T) {
	for name, p := range map[string]*corev1.Pod{
		"whole":    whole(),
		"empty":    {},
		"bookmark": {ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}},
		"no value": {ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"a": "", "": "b"}}},
	} {
		got := &pod{}
		if err := got.Unmarshal(marshal(t, p)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := used(p); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
		if copied := got.DeepCopyObject(); !reflect.DeepEqual(copied, runtime.Object(got)) {
			t.Errorf("%s: a copy is %+v", name, copied)
		}
	}
}

// What both this and the library decode is the same, and this decodes all that the
// library encodes. The library takes malformed bytes as well.
func FuzzDecodePod(f *testing.F) {
	f.Add(marshal(f, whole()))
	f.Add(marshal(f, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := &corev1.Pod{}
		if want.Unmarshal(b) != nil {
			return
		}
		for i, b := range [][]byte{b, marshal(t, want)} {
			got := &pod{}
			err := got.Unmarshal(b)
			if err != nil && i == 1 {
				t.Fatalf("the library has encoded it: %v", err)
			}
			if want := used(want); err == nil && want.Name != "" && !reflect.DeepEqual(got, want) {
				t.Fatalf("\n got %+v\nwant %+v", got, want)
			}
		}
	})
}

// BenchmarkDecodePod compares with the library.
func BenchmarkDecodePod(b *testing.B) {
	encoded := marshal(b, whole())
	for name, o := range map[string]interface {
		Reset()
		Unmarshal([]byte) error
	}{"what is used": &pod{}, "whole": &corev1.Pod{}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(encoded)))
			b.ReportAllocs()
			for b.Loop() {
				o.Reset()
				if err := o.Unmarshal(encoded); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
