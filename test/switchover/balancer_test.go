// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package switchover

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/kubemeter/metrics-server/test/tcpproxy"
)

// balancer is in place of kube-proxy, which needs a machine of its own: it hands each
// new connection to the server that is routed to then.
type balancer struct {
	port    int
	address atomic.Value // string
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	b := &balancer{}
	b.address.Store("")
	b.port = tcpproxy.Start(t, func(ctx context.Context, client net.Conn) {
		tcpproxy.Join(ctx, client, b.address.Load().(string))
	}).Port
	return b
}

func (b *balancer) route(address string) { b.address.Store(address) }
