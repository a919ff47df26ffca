// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tcpproxy hands connections on, where tests put something between a client
// and a server.
package tcpproxy

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Start hands each connection to an ephemeral port of 127.0.0.1 to serve, until the
// test ends, and returns the address. Then the context of serve ends, and all calls of
// it are waited for.
func Start(t *testing.T, serve func(context.Context, net.Conn)) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			connections.Go(func() { serve(ctx, client) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		connections.Wait()
	})
	return l.Addr().(*net.TCPAddr)
}

// Join copies between a client and the server at an address until either closes, or ctx
// ends, and closes both. A client whose server cannot be reached is closed at once.
func Join(ctx context.Context, client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
	defer stop()
	var copies sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		copies.Go(func() {
			// However it ends, the other direction ends with it. Copied in memory: for
			// two TCP connections Go takes pipes, which it keeps open for the next.
			_, _ = io.Copy(struct{ io.Writer }{way[0]}, struct{ io.Reader }{way[1]})
			client.Close()
			server.Close()
		})
	}
	copies.Wait()
}
