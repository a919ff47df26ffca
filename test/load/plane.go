// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
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

// stubPlane is what a plane without a control plane consists of.
type stubPlane struct {
	group    *cluster.ProcessGroup
	stub     *corestub.Stub
	kubelets *kubeletsim.Simulation
}

func newStubPlane(ctx context.Context, o *Options, w *workload, observe func(*kubeletsim.Node, kubeletsim.Request)) (p *plane, err error) {
	var s stubPlane
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.group, err = cluster.StartProcessGroup(ctx, o.Log); err != nil {
		return nil, err
	}
	ca, err := cluster.NewCertificateAuthority("kubemeter-ca")
	if err != nil {
		return nil, err
	}
	token := rand.Text()
	if s.stub, err = corestub.Start(corestub.Options{CA: ca, Token: token, Log: o.Log}); err != nil {
		return nil, err
	}
	kubeletCA, err := kubeletsim.NewCA("kubelet CA")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(s.group.Dir(), localcluster.KubeletCAFile), kubeletCA.PEM(), 0o600); err != nil {
		return nil, err
	}
	if s.kubelets, err = kubeletsim.Start(kubeletsim.Options{
		CA: kubeletCA, Authenticate: func(t string) bool { return t == token }, Observe: observe,
	}); err != nil {
		return nil, err
	}
	port, err := cluster.FreePort()
	if err != nil {
		return nil, err
	}
	args, err := localcluster.ServerFlags(s.group.Dir(), ca, s.stub.Config(), port)
	if err != nil {
		return nil, err
	}
	admin, err := corestub.AdminConfig(ca, port)
	if err != nil {
		return nil, err
	}
	return &plane{
		ProcessGroup: s.group, kind: "stub of the core API", serverArgs: append(args, o.flags()...),
		admin: admin, populate: func(context.Context) error { return s.populate(w) }, close: s.close,
	}, nil
}

func (s *stubPlane) populate(w *workload) error {
	nodes := make([]*kubeletsim.Node, w.nodes)
	for i := range nodes {
		var err error
		if nodes[i], err = s.kubelets.AddNode(w.nodeName(i)); err != nil {
			return err
		}
	}
	for i := range w.pods() {
		if err := nodes[w.node(i)].AddPod(w.simulated(i)); err != nil {
			return err
		}
	}
	port := s.kubelets.Port()
	s.stub.SetContents(corestub.Contents{
		Nodes: w.nodes, Node: func(i int) *corev1.Node { return apiNode(nodes[i], port) },
		Pods: w.pods(), Pod: w.apiPod,
	})
	return nil
}

func (s *stubPlane) close() {
	if s.group != nil {
		s.group.Stop()
	}
	if s.stub != nil {
		s.stub.Close()
	}
	if s.kubelets != nil {
		s.kubelets.Close()
	}
}

// startServer starts a binary with the flags that all servers get.
func (p *plane) startServer(b localcluster.Binary, log io.Writer) (*cluster.Process, error) {
	return p.StartProcess("metrics-"+b.Name, b.Path, p.serverArgs, log)
}
