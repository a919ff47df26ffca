// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"

	testcluster "github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
	"github.com/kubemeter/metrics-server/test/process"
)

// cluster is what servers need around them: the stub of a control plane, and
// simulated kubelets.
type cluster struct {
	workload
	group    *testcluster.ProcessGroup
	stub     *corestub.Stub
	kubelets *kubeletsim.Simulation
	nodes    []*kubeletsim.Node
	args     []string     // of each server
	admin    *rest.Config // leads to the server
}

// newCluster starts all but a server. Observe is told of each scrape.
func newCluster(ctx context.Context, o *Options, w workload, observe func(*kubeletsim.Node, kubeletsim.Request)) (c *cluster, err error) {
	if err := process.RaiseFileLimit(w.nodes); err != nil {
		return nil, err
	}
	c = &cluster{workload: w}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.group, err = testcluster.StartProcessGroup(ctx, o.Log); err != nil {
		return nil, err
	}
	ca, err := testcluster.NewCertificateAuthority("kubemeter-ca")
	if err != nil {
		return nil, err
	}
	if err := c.start(ca, o.Log, observe); err != nil {
		return nil, err
	}
	if err := c.populate(); err != nil {
		return nil, err
	}
	port, err := testcluster.FreePort()
	if err != nil {
		return nil, err
	}
	if c.args, err = localcluster.ServerFlags(c.group.Dir(), ca, c.stub.Config(), port); err != nil {
		return nil, err
	}
	c.args = append(c.args, o.flags()...)
	if c.admin, err = corestub.AdminConfig(ca, port); err != nil {
		return nil, err
	}
	c.admin.ContentType = runtime.ContentTypeProtobuf
	c.admin.QPS = -1 // no limit
	return c, nil
}

// start starts the stub and the kubelets.
func (c *cluster) start(ca *testcluster.CertificateAuthority, log io.Writer, observe func(*kubeletsim.Node, kubeletsim.Request)) error {
	token := rand.Text()
	kubeletCA, err := kubeletsim.NewCA("kubelet CA")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.group.Dir(), localcluster.KubeletCAFile), kubeletCA.PEM(), 0o600); err != nil {
		return err
	}
	if c.stub, err = corestub.Start(corestub.Options{CA: ca, Token: token, Log: log}); err != nil {
		return err
	}
	c.kubelets, err = kubeletsim.Start(kubeletsim.Options{
		CA: kubeletCA, Authenticate: func(t string) bool { return t == token }, Observe: observe,
	})
	return err
}

func (c *cluster) populate() error {
	for i := range c.workload.nodes {
		n, err := c.kubelets.AddNode(nodeName(i))
		if err != nil {
			return err
		}
		if err := n.SetOverhead(kubeletsim.Constant(overhead.cores), kubeletsim.Constant(float64(overhead.bytes))); err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	for pod := range c.pods() {
		if err := c.nodes[c.node(pod)].AddPod(c.simulated(pod, 1)); err != nil {
			return err
		}
	}
	port := int32(c.kubelets.Port())
	c.stub.SetContents(corestub.Contents{
		Nodes: len(c.nodes),
		Node: func(i int) *corev1.Node {
			return testcluster.NewNode(c.nodes[i].Name(), c.nodes[i].Address(), port, nil)
		},
		Pods: c.pods(), Pod: c.apiPod,
	})
	return nil
}

func (c *cluster) close() {
	if c.group != nil {
		c.group.Stop()
	}
	if c.stub != nil {
		c.stub.Close()
	}
	if c.kubelets != nil {
		c.kubelets.Close()
	}
}

// server is one that runs.
type server struct {
	process *testcluster.Process
	client  v1beta1.MetricsV1beta1Interface // of the version that all servers serve
}

// withServer runs a server while f does, with a log in the folder of the options.
func (c *cluster) withServer(o *Options, b localcluster.Binary, scenario string, f func(*server) error) (err error) {
	log, err := os.Create(filepath.Join(o.Out, b.Name+"-"+scenario+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	client, err := v1beta1.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	process, err := c.group.StartProcess("metrics-"+b.Name, b.Path, c.args, log)
	if err != nil {
		return err
	}
	defer func() {
		if stopped := process.Stop(); err == nil {
			err = stopped
		}
	}()
	return f(&server{process, client})
}
