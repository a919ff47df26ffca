// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"

	testcluster "github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
	"github.com/kubemeter/metrics-server/test/process"
	"github.com/kubemeter/metrics-server/test/stubcluster"
)

// cluster is what servers need around them.
type cluster struct {
	workload
	*stubcluster.Cluster
	nodes []*kubeletsim.Node
}

// newCluster starts all but a server. Observe is told of each scrape.
func newCluster(ctx context.Context, o *Options, w workload, observe func(*kubeletsim.Node, kubeletsim.Request)) (*cluster, error) {
	if err := process.RaiseFileLimit(w.nodes); err != nil {
		return nil, err
	}
	around, err := stubcluster.Start(ctx, o.Log, kubeletsim.Options{Observe: observe})
	if err != nil {
		return nil, err
	}
	c := &cluster{workload: w, Cluster: around}
	if err := c.populate(); err != nil {
		c.Stop()
		return nil, err
	}
	c.Args = append(c.Args, o.flags()...)
	c.Admin.ContentType = runtime.ContentTypeProtobuf
	c.Admin.QPS = -1 // no limit
	return c, nil
}

func (c *cluster) populate() error {
	for i := range c.workload.nodes {
		n, err := c.Kubelets.AddNode(nodeName(i))
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
	port := int32(c.Kubelets.Port())
	c.Stub.SetContents(corestub.Contents{
		Nodes: len(c.nodes),
		Node: func(i int) *corev1.Node {
			return testcluster.NewNode(c.nodes[i].Name(), c.nodes[i].Address(), port, nil)
		},
		Pods: c.pods(), Pod: c.apiPod,
	})
	return nil
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
	client, err := v1beta1.NewForConfig(c.Admin)
	if err != nil {
		return err
	}
	process, err := c.Group.StartProcess("metrics-"+b.Name, b.Path, c.Args, log)
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
