// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// BenchmarkFetch fetches 36 KB, about what a node with 30 pods of 2 containers
// answers, over a kept-alive TLS connection, and compares with net/http. The
// server's share is in it, as small as can be.
func BenchmarkFetch(b *testing.B) {
	const size = 36 << 10
	response := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nDate: Tue, 06 Jan 2026 10:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
		delimitedType, size, strings.Repeat("x", size)))
	port, pem := serveRaw(b, func(r *bufio.Reader, conn net.Conn) error {
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return err
			}
			if len(line) == len("\r\n") {
				break
			}
		}
		_, err := conn.Write(response)
		return err
	})
	for name, proxy := range map[string]func(*http.Request) (*url.URL, error){"direct": nil, "net-http": noProxy} {
		b.Run(name, func(b *testing.B) {
			c := testConfig(port)
			c.Client.CAData, c.Client.Proxy = pem, proxy
			c.Client.BearerToken = strings.Repeat("t", 1000)
			client, err := NewClient(c)
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			endpoint, err := client.Endpoint(Node{
				Name:      "n1",
				Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
			})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			b.ReportAllocs()
			b.SetBytes(size)
			for b.Loop() {
				answer, err := client.Fetch(ctx, endpoint)
				if err != nil {
					b.Fatal(err)
				}
				answer.Release()
			}
		})
	}
}

// noProxy is a configured proxy that is none: requests then go through net/http.
func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// serveRaw answers each request on a TLS connection with respond, until that
// fails.
func serveRaw(tb testing.TB, respond func(*bufio.Reader, net.Conn) error) (port int, ca []byte) {
	tb.Helper()
	authority := newAuthority(tb, "cluster CA")
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{authority.issue(tb, "node", nil).tls(tb)},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); respond(r, conn) == nil; {
				}
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port, authority.pem
}
