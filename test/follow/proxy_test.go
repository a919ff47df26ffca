// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Every connection lives for a time between these.
const shortestLife, longestLife = 200 * time.Millisecond, 3 * time.Second

// proxy hands bytes on to a server, and cuts every connection at a random time.
type proxy struct {
	listener net.Listener
	target   string
	cut      atomic.Int64

	mu     sync.Mutex
	random *rand.Rand
}

func newProxy(t *testing.T, server string, seed uint64) *proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: u.Host, random: rand.New(rand.NewPCG(seed, 2))}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			connections.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		connections.Wait()
	})
	return p
}

func (p *proxy) url() string { return "https://" + p.listener.Addr().String() }

// draw returns how long a connection lives, and whether it then ends as if a
// machine had crashed, in the middle of whatever is being sent.
func (p *proxy) draw() (life time.Duration, reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return shortestLife + time.Duration(p.random.Int64N(int64(longestLife-shortestLife))), p.random.IntN(2) == 0
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return // the client sees that its connection is closed
	}
	defer server.Close()
	life, reset := p.draw()
	timer := time.AfterFunc(life, func() {
		p.cut.Add(1)
		if reset {
			// The error is that the connection is gone already.
			_ = client.(*net.TCPConn).SetLinger(0)
		}
		client.Close()
		server.Close()
	})
	defer timer.Stop()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			// However it ends, the other direction ends with it.
			_, _ = io.Copy(way[0], way[1])
			client.Close()
			server.Close()
		})
	}
	both.Wait()
}
