// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// recorder writes down what it is told.
type recorder struct{ calls []string }

func (r *recorder) SetNode(n kubelet.Node, labels map[string]string) {
	r.calls = append(r.calls, fmt.Sprint("set ", n, labels))
}
func (r *recorder) RemoveNode(name string) { r.calls = append(r.calls, "remove "+name) }
func (r *recorder) SetPod(m store.PodMetadata) {
	r.calls = append(r.calls, fmt.Sprint("set ", m))
}
func (r *recorder) RemovePod(namespace, name string) {
	r.calls = append(r.calls, "remove "+namespace+"/"+name)
}
func (r *recorder) SyncPods(pods []store.PodMetadata) {
	r.calls = append(r.calls, fmt.Sprint("sync ", pods))
}

// want checks the calls since the last time.
func (r *recorder) want(t *testing.T, calls ...string) {
	t.Helper()
	if !slices.Equal(r.calls, calls) {
		t.Errorf("\n got %q\nwant %q", r.calls, calls)
	}
	r.calls = nil
}

func node(name string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)}}
	for _, c := range change {
		c(n)
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNodeStoreHandsOnWhatIsUsed(t *testing.T) {
	r := &recorder{}
	s := &nodeStore{nodes: r, known: map[string]nodeState{}}
	full := node("a", func(n *corev1.Node) {
		n.Labels = map[string]string{"kubernetes.io/hostname": "h"}
		n.Annotations = map[string]string{"metrics.k8s.io/resource-metrics-path": "/metrics/nodes/a"}
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}}
		n.Status.DaemonEndpoints.KubeletEndpoint.Port = 10251
	})
	must(t, s.Add(full))
	r.want(t, "set {a uid-a [{InternalIP 10.0.0.1}] h 10251 /metrics/nodes/a} map[kubernetes.io/hostname:h]")

	// A heartbeat is no news, whatever is used is.
	heartbeat := full.DeepCopy()
	heartbeat.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Message: "again"}}
	must(t, s.Update(heartbeat))
	r.want(t)
	for _, change := range []func(*corev1.Node){
		func(n *corev1.Node) { n.UID = "uid-of-another" },
		func(n *corev1.Node) { n.Labels["zone"] = "y" },
		func(n *corev1.Node) { n.Labels["kubernetes.io/hostname"] = "other" },
		func(n *corev1.Node) { delete(n.Annotations, "metrics.k8s.io/resource-metrics-path") },
		func(n *corev1.Node) { n.Status.Addresses[0].Address = "10.0.0.2" },
		func(n *corev1.Node) { n.Status.DaemonEndpoints.KubeletEndpoint.Port = 10250 },
	} {
		full = full.DeepCopy()
		full.Labels = maps.Clone(full.Labels)
		change(full)
		must(t, s.Update(full))
		if len(r.calls) != 1 {
			t.Errorf("a change was not handed on: %q", r.calls)
		}
		r.calls = nil
	}
	must(t, s.Delete(full))
	r.want(t, "remove a")
	must(t, s.Delete(full))
	r.want(t)
}

func TestNodeStoreRelist(t *testing.T) {
	r := &recorder{}
	s := &nodeStore{nodes: r, known: map[string]nodeState{}}
	if s.synced.Load() {
		t.Error("synced before the first list")
	}
	must(t, s.Replace([]any{node("a"), node("b")}, "1"))
	r.want(t, "set {a uid-a []  0 } map[]", "set {b uid-b []  0 } map[]")
	if !s.synced.Load() {
		t.Error("not synced after the first list")
	}
	must(t, s.Replace([]any{node("b"), node("c")}, "2"))
	r.want(t, "set {c uid-c []  0 } map[]", "remove a")
}

func TestPodStore(t *testing.T) {
	r := &recorder{}
	s := &podStore{pods: r}
	of := func(name, app string) *pod {
		return &pod{node: "n", ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": app},
		}}
	}
	must(t, s.Replace([]any{of("a", "x"), of("b", "y")}, "1"))
	r.want(t, "sync [{ns a uid-a n map[app:x]} {ns b uid-b n map[app:y]}]")
	if !s.synced.Load() {
		t.Error("not synced after the first list")
	}
	must(t, s.Add(of("c", "z")))
	must(t, s.Update(of("c", "w")))
	must(t, s.Delete(of("a", "x")))
	r.want(t, "set {ns c uid-c n map[app:z]}", "set {ns c uid-c n map[app:w]}", "remove ns/a")
}

func TestNodeTransformerStripsWhatIsNotUsed(t *testing.T) {
	full := node("a", func(n *corev1.Node) {
		n.ResourceVersion = "7"
		n.Labels = map[string]string{"zone": "x"}
		n.Annotations = map[string]string{kubelet.MetricsPathAnnotation: "/p", "big": "value"}
		n.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m"}}
		n.Spec.PodCIDR = "10.0.0.0/24"
		n.Status.Images = []corev1.ContainerImage{{SizeBytes: 1}}
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}}
		n.Status.DaemonEndpoints.KubeletEndpoint.Port = 10250
	})
	whole, stripped := &recorder{}, &recorder{}
	must(t, (&nodeStore{nodes: whole, known: map[string]nodeState{}}).Add(full.DeepCopy()))
	s := &nodeStore{nodes: stripped, known: map[string]nodeState{}}
	got, err := s.Transformer()(full)
	must(t, err)
	must(t, s.Add(got))
	stripped.want(t, whole.calls...)
	n := got.(*corev1.Node)
	if n.ResourceVersion != "7" || len(n.Annotations) != 1 || n.ManagedFields != nil || n.Spec.PodCIDR != "" || n.Status.Images != nil {
		t.Errorf("left is %+v", n)
	}
}

func TestUnexpectedObjectsAreErrors(t *testing.T) {
	nodes := &nodeStore{nodes: &recorder{}, known: map[string]nodeState{}}
	pods := &podStore{pods: &recorder{}}
	wrong := &corev1.Service{}
	for i, err := range []error{
		nodes.Add(wrong), nodes.Delete(wrong), nodes.Replace([]any{wrong}, ""),
		pods.Add(wrong), pods.Delete(wrong), pods.Replace([]any{wrong}, ""),
	} {
		if err == nil {
			t.Errorf("call %d took a %T", i, wrong)
		}
	}
}
