// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package switchover

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/kubemeter/metrics-server/test/tcpproxy"
)

// balancer is in place of kube-proxy, which needs a machine of its own: it hands new
// connections to the servers that are routed to then, in turn.
type balancer struct {
	port int

	mu       sync.Mutex
	replicas []*replica
	next     int
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	b := &balancer{}
	b.port = tcpproxy.Start(t, func(ctx context.Context, client net.Conn) {
		tcpproxy.Join(ctx, client, b.choose())
	}).Port
	return b
}

// route leaves out replicas that have not been started.
func (b *balancer) route(replicas []*replica) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replicas = slices.DeleteFunc(slices.Clone(replicas), func(r *replica) bool { return r == nil })
}

// choose returns an address, "" if there is none.
func (b *balancer) choose() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.replicas) == 0 {
		return ""
	}
	b.next++
	return b.replicas[b.next%len(b.replicas)].address
}
