// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/eventually"
)

const (
	scaledNamespace = "scaled"
	// worker is the container whose load changes.
	worker = "worker"
	// requestedMillicores are those of each container, and so 100 % of an HPA.
	requestedMillicores = 100
)

// target is a Deployment whose containers use what they are told.
type target struct{ name string }

// load is what one container is told to use.
type load struct{ millicores, mebibytes int }

// startTarget returns when the first pod of it is ready.
func startTarget(t *testing.T, name string, containers ...string) target {
	t.Helper()
	folder := node.path("load")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app": name}
	p := pod("", followers(containers)...)
	p.Spec.Volumes = []corev1.Volume{{Name: "load", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: folder}}}}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: scaledNamespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: p.Spec},
		},
	}
	must[*appsv1.Deployment](t)(node.Client().AppsV1().Deployments(scaledNamespace).Create(t.Context(), d, metav1.CreateOptions{}))
	deleteAtEnd(t, "--namespace="+scaledNamespace, "deployment", name)
	must[string](t)(node.Kubectl(t.Context(), "rollout", "status", "--namespace="+scaledNamespace, "deployment", name, "--timeout="+patience.String()))
	return target{name}
}

func followers(names []string) (all []corev1.Container) {
	for _, name := range names {
		c := container(name, "follow", "/load/$(POD)-"+name)
		c.Env = []corev1.EnvVar{{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}
		c.VolumeMounts = []corev1.VolumeMount{{Name: "load", MountPath: "/load"}}
		c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(requestedMillicores, resource.DecimalSI)}
		all = append(all, c)
	}
	return all
}

// pods are the running ones, the oldest first.
func (d target) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	list := must[*corev1.PodList](t)(node.Client().CoreV1().Pods(scaledNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + d.name}))
	running := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil
	})
	slices.SortFunc(running, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return running
}

// setLoad has the containers of this name in the oldest pod use so much, and those in
// the others nothing: the average of all is what counts.
func (d target) setLoad(t *testing.T, container string, l load) {
	t.Helper()
	for _, p := range d.pods(t) {
		file := node.path(filepath.Join("load", p.Name+"-"+container))
		// The container makes the file, and may not have done so yet.
		eventually.Succeeds(t, patience, func() error { return writeLoad(file, l) })
		l = load{}
	}
}

// writeLoad writes over what is there: the file is read at any time.
func writeLoad(file string, l load) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%08d %08d", l.millicores, l.mebibytes)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
