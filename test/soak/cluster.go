// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"context"
	"time"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/ledger"
	"github.com/kubemeter/metrics-server/test/process"
	"github.com/kubemeter/metrics-server/test/stubcluster"
)

// cluster is what the server needs around it.
type cluster struct {
	*stubcluster.Cluster
	ledger *ledger.Ledger
	truth  *truth
}

// start starts all but the server.
func (o *Options) start(ctx context.Context) (*cluster, error) {
	if err := process.RaiseFileLimit(2*o.Nodes + 10*(o.Readers+o.Watchers)); err != nil {
		return nil, err
	}
	// A server may serve a sample for four intervals, and its window is as long as two
	// when a scrape has failed.
	c := &cluster{ledger: ledger.New(8*o.Resolution + time.Minute), truth: newTruth(o)}
	var err error
	if c.Cluster, err = stubcluster.Start(ctx, o.Log, kubeletsim.Options{Record: c.ledger.Record}); err != nil {
		return nil, err
	}
	c.Args = append(c.Args, o.flags()...)
	return c, nil
}
