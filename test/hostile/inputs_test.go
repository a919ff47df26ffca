// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"compress/gzip"
	"math"
	"strings"
	"time"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// input is something that a kubelet may send.
type input struct {
	name   string
	faults []kubeletsim.Fault
	// reasons are those with which scrapes fail; empty if they succeed. With several,
	// it depends on who is first which one it is.
	reasons []string
	// rejected is why samples are left out, "" if none are.
	rejected string
	// withheld is why pods are not served, "" if all are.
	withheld string
	// node tells whether the hostile node's own usage is served, and pods how many of
	// its pods are.
	node bool
	pods int
	// nodes is how many nodes are hostile, hostileNodes if it is 0.
	nodes int
	// claims has each hostile node report a pod of a healthy one, too.
	claims bool
	// family has a value in the first container of each node.
	family string
	value  float64
}

const (
	cpuFamily    = "container_cpu_usage_seconds_total"
	memoryFamily = "container_memory_working_set_bytes"

	status   = "HTTP/1.1 200 OK\r\n"
	text     = status + "Content-Type: text/plain; version=0.0.4\r\n"
	textHead = text + "\r\n"
	chunked  = text + "Transfer-Encoding: chunked\r\n\r\n"
	jsonHead = status + "Content-Type: application/json\r\n\r\n"

	mebibyte = 1 << 20
)

func inputs() []input {
	raw := func(r kubeletsim.RawResponse) []kubeletsim.Fault {
		return []kubeletsim.Fault{kubeletsim.Raw("raw response", r)}
	}
	one := func(f kubeletsim.Fault) []kubeletsim.Fault { return []kubeletsim.Fault{f} }
	summary := func(r kubeletsim.RawResponse) []kubeletsim.Fault {
		return append(raw(r), kubeletsim.ResourceMetricsNotFound())
	}
	bomb := compressed(mebibyte, 1024)
	return []input{
		// Too much.
		{name: "endless body", faults: one(kubeletsim.EndlessBody()), reasons: []string{"too_large", "timeout"}},
		{name: "100 GB announced", faults: raw(kubeletsim.RawResponse{Head: text + "Content-Length: 100000000000\r\n\r\n", Hang: true}), reasons: []string{"too_large"}},
		{name: "20,000 containers", faults: one(kubeletsim.ExtraContainers(20_000)), reasons: []string{"decode_too_large", "timeout"}, nodes: 4},
		{name: "16,000 containers that no pod has", faults: one(kubeletsim.ExtraContainers(16_000)), rejected: "not_listed", node: true, pods: podsPerNode, nodes: 4},
		{name: "5 million series of another family", faults: raw(kubeletsim.RawResponse{Head: textHead, Piece: "x 1\n", Times: 5e6}), reasons: []string{"decode_too_large", "timeout"}},
		{name: "label of 100 KB", faults: one(kubeletsim.HugeLabels(100_000)), rejected: "labels", node: true, pods: podsPerNode},
		{name: "line of 8 MiB", faults: raw(kubeletsim.RawResponse{Head: textHead, Piece: "x", Times: 8 * mebibyte, Tail: " 1\n"}), reasons: []string{"decode_too_large", "timeout"}},
		{name: "gzip of 1 GiB, unasked", faults: raw(kubeletsim.RawResponse{Head: text + "Content-Encoding: gzip\r\n\r\n", Tail: bomb}), reasons: []string{"content_type"}},
		{name: "gzip of 1 GiB, not called so", faults: raw(kubeletsim.RawResponse{Head: textHead, Tail: bomb}), reasons: []string{"decode_too_large", "timeout"}},
		{name: "JSON with 10 million pods", faults: summary(kubeletsim.RawResponse{Head: jsonHead + `{"pods":[{}`, Piece: ",{}", Times: 1e7, Tail: "]}"}), reasons: []string{"decode_too_large", "timeout"}},
		{name: "JSON with 250,000 pods", faults: summary(kubeletsim.RawResponse{Head: jsonHead + `{"pods":[{}`, Piece: ",{}", Times: 250_000, Tail: "]}"}), reasons: []string{"decode_empty"}},
		{name: "JSON 1 million deep", faults: summary(kubeletsim.RawResponse{Head: jsonHead, Piece: `{"node":`, Times: 1e6}), reasons: []string{"decode_syntax", "timeout"}},
		// Too slowly.
		{name: "no answer", faults: one(kubeletsim.Hang()), reasons: []string{"timeout"}},
		{name: "a byte a second", faults: one(kubeletsim.Drip(1, time.Second)), reasons: []string{"timeout"}},
		{name: "24 MiB, and no end", faults: raw(kubeletsim.RawResponse{Head: textHead, Piece: "#", Times: 24 * mebibyte, Hang: true}), reasons: []string{"timeout"}},
		// Not HTTP, or not as it should be.
		{name: "endless headers", faults: raw(kubeletsim.RawResponse{Head: status, Piece: "X-A: b\r\n", Times: -1}), reasons: []string{"too_large"}},
		{name: "endless header", faults: raw(kubeletsim.RawResponse{Head: status + "X-A: ", Piece: "b", Times: -1}), reasons: []string{"too_large"}},
		{name: "endless 103 Early Hints", faults: raw(kubeletsim.RawResponse{Piece: "HTTP/1.1 103 Early Hints\r\n\r\n", Times: -1}), reasons: []string{"connection"}},
		{name: "endless chunks of a byte", faults: raw(kubeletsim.RawResponse{Head: chunked, Piece: "1\r\n#\r\n", Times: -1}), reasons: []string{"body"}},
		{name: "endless trailers", faults: raw(kubeletsim.RawResponse{Head: chunked + "0\r\n", Piece: "X-A: b\r\n", Times: -1}), reasons: []string{"body"}},
		{name: "chunk without a size", faults: raw(kubeletsim.RawResponse{Head: chunked + "size\r\n"}), reasons: []string{"body"}},
		{name: "Content-Length too small", faults: raw(kubeletsim.RawResponse{Head: text + "Content-Length: 99\r\n\r\n", Sound: true}), reasons: []string{"decode_truncated"}},
		{name: "Content-Length too large", faults: raw(kubeletsim.RawResponse{Head: text + "Content-Length: 99999\r\n\r\n", Sound: true}), reasons: []string{"body"}},
		{name: "two Content-Lengths", faults: raw(kubeletsim.RawResponse{Head: text + "Content-Length: 99\r\nContent-Length: 100\r\n\r\n", Sound: true}), reasons: []string{"connection"}},
		{name: "a body cut short", faults: one(kubeletsim.TruncatedConnection()), reasons: []string{"body"}},
		{name: "another protocol", faults: raw(kubeletsim.RawResponse{Head: "SSH-2.0-OpenSSH_9.2\r\n"}), reasons: []string{"connection"}},
		{name: "connection reset", faults: one(kubeletsim.ConnectionReset()), reasons: []string{"connection"}},
		{name: "redirect", faults: raw(kubeletsim.RawResponse{Head: "HTTP/1.1 302 Found\r\nLocation: https://169.254.169.254/latest/meta-data\r\nContent-Length: 0\r\n\r\n"}), reasons: []string{"http_status"}},
		{name: "web page", faults: one(kubeletsim.HTMLBody()), reasons: []string{"content_type"}},
		{name: "100 KB of random bytes", faults: one(kubeletsim.RandomBody(100_000, 1)), reasons: []string{"decode_truncated", "decode_syntax"}},
		// Untrue.
		{name: "CPU is NaN", family: cpuFamily, value: math.NaN(), rejected: "value", withheld: "incomplete", node: true, pods: podsPerNode - 1},
		{name: "CPU is negative", family: cpuFamily, value: -1, rejected: "value", withheld: "incomplete", node: true, pods: podsPerNode - 1},
		{name: "CPU is infinite", family: cpuFamily, value: math.Inf(1), rejected: "value", withheld: "incomplete", node: true, pods: podsPerNode - 1},
		{name: "memory is 1e18 bytes", family: memoryFamily, value: 1e18, rejected: "value", withheld: "incomplete", node: true, pods: podsPerNode - 1},
		{name: "samples of tomorrow", faults: one(kubeletsim.ClockSkew(24 * time.Hour)), rejected: "timestamp", withheld: "stale"},
		{name: "samples of yesterday", faults: one(kubeletsim.ClockSkew(-24 * time.Hour)), rejected: "timestamp", withheld: "stale"},
		{name: "times before 1970", faults: raw(kubeletsim.RawResponse{Head: textHead, Sound: true, Tail: "node_cpu_usage_seconds_total 1 -5\n"}), rejected: "timestamp", node: true, pods: podsPerNode},
		{name: "duplicates", faults: raw(kubeletsim.RawResponse{Head: textHead, Sound: true, Piece: "node_memory_working_set_bytes 5\n", Times: 1000}), node: true, pods: podsPerNode},
		{name: "another node's pods", faults: one(kubeletsim.ClockSkew(5 * time.Second)), claims: true, rejected: "other_node", node: true, pods: podsPerNode},
	}
}

// compressed are zeros, count times size of them.
func compressed(size, count int) string {
	var b bytes.Buffer
	// Writing to a bytes.Buffer does not fail.
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	zeros := strings.Repeat("\x00", size)
	for range count {
		_, _ = z.Write([]byte(zeros))
	}
	_ = z.Close()
	return b.String()
}
