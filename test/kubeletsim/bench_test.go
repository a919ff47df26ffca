// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// benchmarkPods are as many as a usual node has; half of them vary.
func benchmarkPods(start time.Time) []Pod {
	pods := make([]Pod, 30)
	for i := range pods {
		pods[i] = Pod{Namespace: fmt.Sprintf("namespace-%d", i%7), Name: fmt.Sprintf("deployment-%d-6d4cf56db6-x7k2p", i)}
		for j := range 2 {
			c := Container{Name: fmt.Sprintf("container-%d", j), Start: start, CPU: Constant(0.0123), Memory: Constant(123 << 20)}
			if i%2 == 0 {
				c.CPU.Amplitude, c.CPU.Period = 0.01, 5*time.Minute
			}
			pods[i].Containers = append(pods[i].Containers, c)
		}
	}
	return pods
}

func benchmarkRendering(b *testing.B, render func(*Node, *rendering) error) {
	s := startSimulation(b, Options{})
	n := addNode(b, s, "node-1")
	if err := n.SetPods(benchmarkPods(time.Now().Add(-time.Hour))); err != nil {
		b.Fatal(err)
	}
	var buffers rendering
	b.ReportAllocs()
	for b.Loop() {
		if err := render(n, &buffers); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(buffers.body)), "bytes")
}

func BenchmarkText(b *testing.B) {
	benchmarkRendering(b, func(n *Node, buffers *rendering) error {
		buffers.body = n.renderMetrics(buffers, false)
		return nil
	})
}

func BenchmarkProtobuf(b *testing.B) {
	benchmarkRendering(b, func(n *Node, buffers *rendering) error {
		buffers.body = n.renderMetrics(buffers, true)
		return nil
	})
}

func BenchmarkSummary(b *testing.B) {
	benchmarkRendering(b, func(n *Node, buffers *rendering) error {
		body, err := n.renderSummary(buffers)
		buffers.body = body
		return err
	})
}

// BenchmarkRequest is a whole request over TLS. The client's part is small.
func BenchmarkRequest(b *testing.B) {
	ca := newCA(b)
	s := startSimulation(b, Options{CA: ca})
	n := addNode(b, s, "node-1")
	if err := n.SetPods(benchmarkPods(time.Now().Add(-time.Hour))); err != nil {
		b.Fatal(err)
	}
	conn, err := tls.Dial("tcp", fmt.Sprintf("%s:%d", n.Address(), s.Port()), &tls.Config{RootCAs: ca.Pool()})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	request := strings.Join([]string{
		"GET /metrics/resource HTTP/1.1", "Host: " + n.Address(), "Authorization: Bearer " + goodToken,
		"Accept: " + wantDelimited, "", "",
	}, "\r\n")
	answers := bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(conn, request); err != nil {
			b.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status, err)
		}
		resp.Body.Close()
	}
}
