// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/test/tcpproxy"
)

// Every connection lives for a time between these.
const shortestLife, longestLife = 200 * time.Millisecond, 3 * time.Second

// proxy hands bytes on to a server, and cuts every connection at a random time.
type proxy struct {
	address, target string
	cut             atomic.Int64

	mu     sync.Mutex
	random *rand.Rand
}

func newProxy(t *testing.T, server string, seed uint64) *proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: u.Host, random: rand.New(rand.NewPCG(seed, 2))}
	p.address = tcpproxy.Start(t, p.serve).String()
	return p
}

func (p *proxy) url() string { return "https://" + p.address }

// draw returns how long a connection lives, and whether it then ends as if a
// machine had crashed, in the middle of whatever is being sent.
func (p *proxy) draw() (life time.Duration, reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return shortestLife + time.Duration(p.random.Int64N(int64(longestLife-shortestLife))), p.random.IntN(2) == 0
}

func (p *proxy) serve(ctx context.Context, client net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	life, reset := p.draw()
	timer := time.AfterFunc(life, func() {
		p.cut.Add(1)
		if reset {
			// The error is that the connection is gone already.
			_ = client.(*net.TCPConn).SetLinger(0)
		}
		cancel()
	})
	defer timer.Stop()
	tcpproxy.Join(ctx, client, p.target)
}
