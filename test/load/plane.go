// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
	"github.com/kubemeter/metrics-server/test/stubcluster"
)

// plane is what servers need around them: a control plane, or the stub of one, and
// simulated kubelets.
type plane struct {
	*cluster.ProcessGroup
	kind       string // for the report
	serverArgs []string
	// admin is an administrator's configuration, and leads to the server.
	admin *rest.Config
	// populate creates nodes and pods: before, there are none.
	populate func(context.Context) error
	close    func()
}

// newPlane starts what o asks for, for a cluster of this size.
func newPlane(ctx context.Context, o *Options, w *workload, observe func(*kubeletsim.Node, kubeletsim.Request)) (*plane, error) {
	if w.nodes > o.StubAbove {
		return newStubPlane(ctx, o, w, observe)
	}
	return newRealPlane(ctx, o, w, observe)
}

func newRealPlane(ctx context.Context, o *Options, w *workload, observe func(*kubeletsim.Node, kubeletsim.Request)) (*plane, error) {
	l, err := localcluster.Prepare(ctx, localcluster.Options{
		ServerFlags: o.flags(), Nodes: w.nodes, Pods: w.pods(), Describe: w.describe,
		TrustServer: true, Observe: observe, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	admin := l.AdminConfig()
	admin.Host = l.ServerURL()
	return &plane{
		ProcessGroup: l.ProcessGroup,
		kind:         "control plane " + l.Version(),
		serverArgs:   l.ServerArgs(),
		admin:        admin,
		populate: func(ctx context.Context) error {
			defer func() { l.Workload = nil }() // no more needed, and large
			return l.CreateWorkload(ctx)
		},
		close: l.Stop,
	}, nil
}

func newStubPlane(ctx context.Context, o *Options, w *workload, observe func(*kubeletsim.Node, kubeletsim.Request)) (*plane, error) {
	c, err := stubcluster.Start(ctx, o.Log, kubeletsim.Options{Observe: observe})
	if err != nil {
		return nil, err
	}
	return &plane{
		ProcessGroup: c.Group, kind: "stub of the core API", serverArgs: append(c.Args, o.flags()...),
		admin: c.Admin, populate: func(context.Context) error { return w.populate(c) }, close: c.Stop,
	}, nil
}

func (w *workload) populate(c *stubcluster.Cluster) error {
	nodes := make([]*kubeletsim.Node, w.nodes)
	for i := range nodes {
		var err error
		if nodes[i], err = c.Kubelets.AddNode(w.nodeName(i)); err != nil {
			return err
		}
	}
	for i := range w.pods() {
		if err := nodes[w.node(i)].AddPod(w.simulated(i)); err != nil {
			return err
		}
	}
	port := c.Kubelets.Port()
	c.Stub.SetContents(corestub.Contents{
		Nodes: w.nodes, Node: func(i int) *corev1.Node { return apiNode(nodes[i], port) },
		Pods: w.pods(), Pod: w.apiPod,
	})
	return nil
}

// startServer starts a binary with the flags that all servers get.
func (p *plane) startServer(b localcluster.Binary, log io.Writer) (*cluster.Process, error) {
	return p.StartProcess("metrics-"+b.Name, b.Path, p.serverArgs, log)
}
