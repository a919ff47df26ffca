// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stubcluster is what metrics servers need around them, without a control
// plane: the stub of the core API, and simulated kubelets that know the same token.
package stubcluster

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

// Cluster is one that runs.
type Cluster struct {
	// Group starts servers. Its folder has the files that they need.
	Group    *cluster.ProcessGroup
	Stub     *corestub.Stub
	Kubelets *kubeletsim.Simulation
	// Args are the flags that a server cannot do without.
	Args []string
	// Admin is an administrator's configuration, and leads to the server.
	Admin *rest.Config
}

// Start starts all but a server, without nodes and pods. CA and Authenticate of the
// kubelets' options are set here. Log may be nil. Stop ends it.
func Start(ctx context.Context, log io.Writer, kubelets kubeletsim.Options) (c *Cluster, err error) {
	c = &Cluster{}
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	if c.Group, err = cluster.StartProcessGroup(ctx, log); err != nil {
		return nil, err
	}
	ca, err := cluster.NewCertificateAuthority("kubemeter-ca")
	if err != nil {
		return nil, err
	}
	token := rand.Text()
	if c.Stub, err = corestub.Start(corestub.Options{CA: ca, Token: token, Log: log}); err != nil {
		return nil, err
	}
	kubeletCA, err := kubeletsim.NewCA("kubelet CA")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(c.Group.Dir(), localcluster.KubeletCAFile), kubeletCA.PEM(), 0o600); err != nil {
		return nil, err
	}
	kubelets.CA = kubeletCA
	kubelets.Authenticate = func(t string) bool { return t == token }
	if c.Kubelets, err = kubeletsim.Start(kubelets); err != nil {
		return nil, err
	}
	port, err := cluster.FreePort()
	if err != nil {
		return nil, err
	}
	if c.Args, err = localcluster.ServerFlags(c.Group.Dir(), ca, c.Stub.Config(), port); err != nil {
		return nil, err
	}
	c.Admin, err = corestub.AdminConfig(ca, port)
	return c, err
}

// Stop ends all, the servers first.
func (c *Cluster) Stop() {
	if c.Group != nil {
		c.Group.Stop()
	}
	if c.Stub != nil {
		c.Stub.Close()
	}
	if c.Kubelets != nil {
		c.Kubelets.Close()
	}
}
