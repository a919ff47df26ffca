// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"

	testcluster "github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/ledger"
	"github.com/kubemeter/metrics-server/test/localcluster"
	"github.com/kubemeter/metrics-server/test/process"
)

// cluster is what the server needs around it: the stub of a control plane, and
// simulated kubelets.
type cluster struct {
	group    *testcluster.ProcessGroup
	stub     *corestub.Stub
	kubelets *kubeletsim.Simulation
	ledger   *ledger.Ledger
	truth    *truth
	args     []string     // of the server
	admin    *rest.Config // leads to the server
}

// start starts all but the server.
func (o *Options) start(ctx context.Context) (c *cluster, err error) {
	if err := process.RaiseFileLimit(2*o.Nodes + 10*(o.Readers+o.Watchers)); err != nil {
		return nil, err
	}
	// A server may serve a sample for four intervals, and its window is as long as two
	// when a scrape has failed.
	c = &cluster{ledger: ledger.New(8*o.Resolution + time.Minute), truth: newTruth(o)}
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
	if err := c.startKubelets(o, ca); err != nil {
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
	c.admin, err = corestub.AdminConfig(ca, port)
	return c, err
}

// startKubelets starts the stub, too, which knows the same token.
func (c *cluster) startKubelets(o *Options, ca *testcluster.CertificateAuthority) error {
	token := rand.Text()
	kubeletCA, err := kubeletsim.NewCA("kubelet CA")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.group.Dir(), localcluster.KubeletCAFile), kubeletCA.PEM(), 0o600); err != nil {
		return err
	}
	if c.stub, err = corestub.Start(corestub.Options{CA: ca, Token: token, Log: o.Log}); err != nil {
		return err
	}
	c.kubelets, err = kubeletsim.Start(kubeletsim.Options{
		CA: kubeletCA, Authenticate: func(t string) bool { return t == token }, Record: c.ledger.Record,
	})
	return err
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
