// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// BenchmarkFetch fetches 30 KB, about what a node with 30 pods answers, over a
// kept-alive TLS connection. The server's share is in it.
func BenchmarkFetch(b *testing.B) {
	body := strings.Repeat("x", 30_000)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", delimitedType)
		io.WriteString(w, body)
	}))
	defer s.Close()
	c := testConfig(s.Listener.Addr().(*net.TCPAddr).Port)
	c.Client.Insecure = true
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
	var buf []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		answer, err := client.Fetch(context.Background(), endpoint, buf)
		if err != nil {
			b.Fatal(err)
		}
		buf = answer.Body
	}
}
