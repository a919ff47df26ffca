// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// Workload is a pod that both the API server and a simulated kubelet know.
type Workload struct {
	Node *kubeletsim.Node
	kubeletsim.Pod
	Labels map[string]string
}

// applications are what the pods belong to: what each container burns, in
// millicores, and holds, in MiB. Every pod adds a little of its own, so that no
// two are alike.
var applications = []struct {
	namespace, name string
	containers      []container
}{
	{"checkout", "web", []container{{"web", 120, 90}, {"proxy", 15, 24}}},
	{"checkout", "cart", []container{{"cart", 60, 48}}},
	{"search", "index", []container{{"index", 350, 512}}},
	{"search", "query", []container{{"query", 200, 256}, {"proxy", 12, 24}}},
	{"payments", "ledger", []container{{"ledger", 45, 128}, {"audit", 5, 16}, {"proxy", 8, 24}}},
	{"monitoring", "agent", []container{{"agent", 20, 64}}},
}

type container struct {
	name           string
	millicores, mi float64
}

// CreateWorkload creates the nodes and pods, in the API and in the kubelets.
func (l *Local) CreateWorkload(ctx context.Context) error {
	l.say("creating %d nodes and %d pods", l.options.Nodes, l.options.Pods)
	nodes := make([]*kubeletsim.Node, l.options.Nodes)
	for i := range nodes {
		var err error
		if nodes[i], err = l.Kubelets.AddNode(fmt.Sprintf("node-%d", i)); err != nil {
			return err
		}
		if err := nodes[i].SetOverhead(kubeletsim.Constant(0.25), kubeletsim.Constant(1<<30)); err != nil {
			return err
		}
	}
	for i := range l.options.Pods {
		w := l.options.Describe(i)
		w.Node = nodes[i%len(nodes)]
		if err := w.Node.AddPod(w.Pod); err != nil {
			return err
		}
		l.Workload = append(l.Workload, w)
	}
	if err := l.CreateNodes(ctx, l.apiNodes(nodes)); err != nil {
		return err
	}
	return l.CreatePods(ctx, l.apiPods())
}

// workload describes the i-th pod.
func workload(i int, started time.Time) Workload {
	app := applications[i%len(applications)]
	w := Workload{
		Pod:    kubeletsim.Pod{Namespace: app.namespace, Name: fmt.Sprintf("%s-%d", app.name, i/len(applications))},
		Labels: map[string]string{"app": app.name},
	}
	for _, c := range app.containers {
		w.Containers = append(w.Containers, kubeletsim.Container{
			Name:   c.name,
			Start:  started,
			CPU:    kubeletsim.Constant((c.millicores + float64(i%40)) / 1000),
			Memory: kubeletsim.Constant((c.mi + float64(i%25)) * (1 << 20)),
			Swap:   kubeletsim.Constant(float64(i%4) * (1 << 20)), SwapLimit: 1 << 30,
		})
	}
	return w
}

func (l *Local) apiNodes(nodes []*kubeletsim.Node) func(func(*corev1.Node) bool) {
	return func(yield func(*corev1.Node) bool) {
		for i, n := range nodes {
			zone := map[string]string{corev1.LabelTopologyZone: string(rune('a' + i%3))}
			if !yield(cluster.NewNode(n.Name(), n.Address(), int32(l.Kubelets.Port()), zone)) {
				return
			}
		}
	}
}

func (l *Local) apiPods() func(func(*corev1.Pod) bool) {
	return func(yield func(*corev1.Pod) bool) {
		for _, w := range l.Workload {
			var names []string
			for _, c := range w.Containers {
				names = append(names, c.Name)
			}
			if !yield(cluster.NewPod(w.Namespace, w.Name, w.Node.Name(), w.Labels, names...)) {
				return
			}
		}
	}
}
