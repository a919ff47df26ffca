// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
	"github.com/kubemeter/metrics-server/test/stubcluster"
)

// crew is what servers are tried with.
type crew struct {
	group            *cluster.ProcessGroup
	server           string
	args             []string
	kubelets         *kubeletsim.Simulation
	healthy, hostile []*kubeletsim.Node
	metrics          metricsclient.Interface
	client           *http.Client
	url              string
	starts           int
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newCrew(t *testing.T) *crew {
	t.Helper()
	around := must[*stubcluster.Cluster](t)(stubcluster.Start(context.WithoutCancel(t.Context()), nil, kubeletsim.Options{
		NodeSampleInterval: time.Millisecond, // so that all has a window after two scrapes
	}))
	t.Cleanup(around.Stop)
	c := &crew{group: around.Group, kubelets: around.Kubelets}
	c.addNodes(t, around.Stub)
	c.args = append(around.Args, "--metric-resolution=10s", "--kubelet-request-timeout=4s", "--kubelet-per-node-metrics")
	c.server = must[string](t)(localcluster.BuildPlainServer(t.Context()))

	admin := around.Admin
	admin.QPS = -1
	c.url = admin.Host
	c.metrics = must[*metricsclient.Clientset](t)(metricsclient.NewForConfig(admin))
	c.client = must[*http.Client](t)(rest.HTTPClientFor(admin))
	return c
}

// addNodes adds all nodes with their pods, to the kubelets and to the API.
func (c *crew) addNodes(t *testing.T, stub *corestub.Stub) {
	t.Helper()
	var nodes []*kubeletsim.Node
	for i := range healthyNodes + hostileNodes {
		name := fmt.Sprint("healthy-", i)
		if i >= healthyNodes {
			name = fmt.Sprint("hostile-", i-healthyNodes)
		}
		n := must[*kubeletsim.Node](t)(c.kubelets.AddNode(name))
		nodes = append(nodes, n)
		for p := range podsPerNode {
			if err := n.AddPod(pod(podName(n, p), cores)); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.healthy, c.hostile = nodes[:healthyNodes], nodes[healthyNodes:]
	port := int32(c.kubelets.Port())
	stub.SetContents(corestub.Contents{
		Nodes: len(nodes), Node: func(i int) *corev1.Node { return cluster.NewNode(nodes[i].Name(), nodes[i].Address(), port, nil) },
		Pods: podsPerNode * len(nodes), Pod: func(i int) *corev1.Pod {
			n := nodes[i/podsPerNode]
			p := cluster.NewPod(namespace, podName(n, i%podsPerNode), n.Name(), nil, container)
			p.UID = types.UID(p.Name)
			return p
		},
	})
}

func podName(n *kubeletsim.Node, i int) string { return fmt.Sprint(n.Name(), "-pod-", i) }

func pod(name string, cores float64) kubeletsim.Pod {
	return kubeletsim.Pod{Namespace: namespace, Name: name, Containers: []kubeletsim.Container{{
		Name: container, Start: time.Now().Add(-time.Hour), CPU: kubeletsim.Constant(cores), Memory: kubeletsim.Constant(bytes64Mi),
	}}}
}
