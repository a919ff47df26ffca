// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package overload asks a metrics server for more than it can serve.
package overload

import (
	"crypto/tls"
	"fmt"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
	"github.com/kubemeter/metrics-server/test/stubcluster"
)

const (
	nodes = 300
	pods  = 30000
	// podsPerApplication share their labels.
	podsPerApplication = 100
	resolution         = 15 * time.Second
	// memoryLimit is enough for what the server does without reads, and a fraction of
	// what the lists of all readers take.
	memoryLimit = 160 << 20
	// patience is how long a test waits for what takes two intervals at most.
	patience = 8 * time.Minute
)

// site is a metrics server with a memory limit, between a stub of the core API and
// simulated kubelets.
type site struct {
	server *cluster.Process
	admin  *rest.Config
	tls    *tls.Config
}

func startSite(t *testing.T) *site {
	t.Helper()
	t.Setenv("GOMEMLIMIT", strconv.Itoa(memoryLimit))
	c, err := stubcluster.Start(t.Context(), nil, kubeletsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	binary, err := localcluster.BuildPlainServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	populate(t, c)
	s := &site{admin: c.Admin}
	s.admin.QPS = -1
	if s.tls, err = rest.TLSConfigFor(s.admin); err != nil {
		t.Fatal(err)
	}
	if s.server, err = c.Group.StartProcess("metrics-server", binary, append(c.Args, "--metric-resolution="+resolution.String(), "--v=1"), nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// populate adds all nodes with their pods, to the kubelets and to the API.
func populate(t *testing.T, c *stubcluster.Cluster) {
	t.Helper()
	all := make([]*kubeletsim.Node, nodes)
	for i := range all {
		var err error
		if all[i], err = c.Kubelets.AddNode(fmt.Sprint("node-", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range pods {
		err := all[i%nodes].AddPod(kubeletsim.Pod{Namespace: namespace, Name: podName(i), Containers: []kubeletsim.Container{{
			Name: "main", CPU: kubeletsim.Constant(0.01), Memory: kubeletsim.Constant(32 << 20),
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Stub.SetContents(corestub.Contents{
		Nodes: nodes, Node: func(i int) *corev1.Node {
			return cluster.NewNode(all[i].Name(), all[i].Address(), int32(c.Kubelets.Port()), nil)
		},
		Pods: pods, Pod: func(i int) *corev1.Pod { return apiPod(i, all[i%nodes].Name()) },
	})
}

const namespace = "default"

func podName(i int) string {
	return fmt.Sprintf("app-%d-7d4b9c6f5d-%05d", i/podsPerApplication, i)
}

func apiPod(i int, node string) *corev1.Pod {
	labels := map[string]string{"app": fmt.Sprint("app-", i/podsPerApplication), "pod-template-hash": "7d4b9c6f5d"}
	p := cluster.NewPod(namespace, podName(i), node, labels, "main")
	p.UID = types.UID(p.Name)
	return p
}
