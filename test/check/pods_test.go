// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"math"
	"strings"
	"testing"

	"github.com/kubemeter/metrics-server/pkg/check"
	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

func TestPods(t *testing.T) {
	w := local.Workload[nodeCount-1]
	name := "pod/" + w.Name + " -n " + w.Namespace
	args := []string{"--pod=" + w.Namespace + "/" + w.Name}
	ref := kubeletsim.ContainerRef{Namespace: w.Namespace, Pod: w.Name, Container: w.Containers[0].Name}
	incomplete := func(t *testing.T) {
		setFaults(t, w.Node, kubeletsim.BadValue("container_memory_working_set_bytes", ref, math.NaN()))
		t.Cleanup(func() { setFaults(t, w.Node) })
	}
	for _, b := range []breakage{
		{name: "pod with a container without memory", code: "pod-incomplete", object: name, seen: "lacks its CPU or memory", mend: "systemctl restart containerd kubelet", args: args, breakIt: incomplete},
		{name: "the same, among all pods", code: "pod-incomplete", object: name, seen: "lacks its CPU or memory", mend: "systemctl restart containerd kubelet", breakIt: incomplete},
		{name: "pod that its kubelet does not report", code: "pod-not-reported", object: "pod/unheard -n default", seen: "has not reported it yet", mend: "--pod=default/unheard",
			breakIt: func(t *testing.T) {
				if err := local.CreatePod(t.Context(), "default", "unheard", w.Node.Name(), nil, "c"); err != nil {
					t.Fatal(err)
				}
				remove(t, "pod/unheard", "--force")
			}},
		{name: "pod that does not run", code: "pod-not-running", object: "pod/pending -n default", seen: "its phase is Pending", mend: "describe pod pending", args: []string{"--pod=default/pending"},
			breakIt: func(t *testing.T) {
				p := cluster.NewPod("default", "pending", "", nil, "c")
				p.Status.Phase = "Pending"
				if err := local.CreatePods(t.Context(), one(p)); err != nil {
					t.Fatal(err)
				}
				remove(t, "pod/pending", "--force")
			}},
		{name: "no such pod", code: "pod-not-found", object: "pod/nobody -n default", seen: "there is no pod", mend: "get pods", args: []string{"--pod=default/nobody"}, breakIt: func(*testing.T) {}},
	} {
		t.Run(b.name, b.test)
	}
	t.Run("a pod that is served", func(t *testing.T) {
		eventually.Succeeds(t, patience, func() error {
			r := runCheck(t, args...)
			step := r.Steps[len(r.Steps)-1]
			if r.code != 0 || !strings.Contains(strings.Join(step.Facts, "\n"), "it is served, as of ") {
				return errText(r.stdout)
			}
			return nil
		})
	})
}

type errText string

func (e errText) Error() string { return string(e) }

func one[T any](value T) func(func(T) bool) {
	return func(yield func(T) bool) { yield(value) }
}

const autoscaler = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: scaled, namespace: autoscaled}
spec:
  replicas: 0
  selector: {matchLabels: {app: scaled}}
  template:
    metadata: {labels: {app: scaled}}
    spec: {containers: [{name: c, image: pause}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaled, namespace: autoscaled}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: TARGET}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
`

// autoscaled makes an autoscaler, and a Deployment whose pods are not created: no replica
// set of it makes any that could be scheduled.
func autoscaled(t *testing.T, target string) {
	t.Helper()
	if err := local.EnsureNamespace(t.Context(), "autoscaled"); err != nil {
		t.Fatal(err)
	}
	remove(t, "-n", "autoscaled", "hpa/scaled", "deployment/scaled")
	remove(t, "-n", "autoscaled", "pod", "--all", "--force")
	apply(t, strings.Replace(autoscaler, "TARGET", target, 1))
}

func TestAutoscalers(t *testing.T) {
	const object = "hpa/scaled -n autoscaled"
	for _, b := range []breakage{
		{name: "autoscaler of nothing", code: "hpa-no-target", object: object, seen: "FailedGetScale", mend: "get deployment/nothing",
			breakIt: func(t *testing.T) { autoscaled(t, "nothing") }},
		{name: "autoscaler of pods without requests", code: "hpa-no-requests", object: object, seen: "missing request for cpu", mend: "set resources deployment/scaled --requests=cpu=100m",
			breakIt: func(t *testing.T) {
				autoscaled(t, "scaled")
				kubectl(t, "-n", "autoscaled", "scale", "deployment/scaled", "--replicas=1")
				p := cluster.NewPod("autoscaled", "scaled-0", "node-20", map[string]string{"app": "scaled"}, "c")
				p.Spec.Containers[0].Resources.Requests = nil
				n := simulated(t, 20)
				if err := n.AddPod(kubeletsim.Pod{Namespace: "autoscaled", Name: "scaled-0", Containers: []kubeletsim.Container{{
					Name: "c", Start: n.SampleTime(p.Status.StartTime.Time), CPU: kubeletsim.Constant(0.1), Memory: kubeletsim.Constant(1 << 20),
				}}}); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { n.RemovePod("autoscaled", "scaled-0") })
				if err := local.CreatePods(t.Context(), one(p)); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "autoscaler of pods without metrics", code: "hpa-no-metrics", object: object, seen: "FailedGetResourceMetric", mend: "--pod=autoscaled/POD",
			breakIt: func(t *testing.T) {
				autoscaled(t, "scaled")
				kubectl(t, "-n", "autoscaled", "scale", "deployment/scaled", "--replicas=1")
			}},
	} {
		t.Run(b.name, b.test)
	}
}

// What is found is in the list of codes, which is documented.
func TestCodes(t *testing.T) {
	codes, why := check.Codes()
	for _, code := range codes {
		if why[code] == "" {
			t.Errorf("%s is not explained", code)
		}
	}
	for _, row := range table.all {
		if why[check.Code(row.code)] == "" {
			t.Errorf("%s is not listed", row.code)
		}
	}
}
