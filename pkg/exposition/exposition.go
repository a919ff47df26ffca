// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package exposition turns what a kubelet answers into samples of CPU, memory
// and swap: the Prometheus text format, the delimited protobuf format (both of
// /metrics/resource), and the JSON of /stats/summary.
//
// A Decoder is reused from scrape to scrape, so that a steady cluster is
// decoded without allocating.
package exposition

// Fields says which values of a Usage were reported.
type Fields uint8

const (
	HasCPU Fields = 1 << iota
	HasMemory
	HasSwap
	HasStart
)

// Usage is what one answer says of a node or a container.
type Usage struct {
	// Time of the CPU sample (of the memory sample where there is no CPU
	// sample), in nanoseconds since the Unix epoch. A sample without a time
	// has the time at which the request was sent. 0 where there is neither a
	// CPU nor a memory sample.
	Time int64
	// Start is when the container started, in nanoseconds since the Unix epoch.
	Start int64
	// CPU is the cumulative CPU time consumed, in nanoseconds.
	CPU uint64
	// Memory is the working set, in bytes.
	Memory uint64
	// Swap is the swap in use, in bytes.
	Swap uint64
	// Has tells which of Start, CPU, Memory and Swap were reported.
	Has Fields
}

// Container is the usage of one container. Its names are views into the bytes
// that were decoded or into the Decoder: they hold until the next Decode.
type Container struct {
	Namespace, Pod, Name []byte
	Usage
}

// Samples is the content of one answer.
type Samples struct {
	// Node is the usage of the whole node. Has is 0 if the answer has none.
	Node Usage
	// Containers lists each container once, in the order in which the answer
	// first names it. Duplicate series: the last one counts. A container whose
	// samples were all rejected for their value or timestamp is listed with Has
	// 0, so that its pod is not mistaken for one without it.
	Containers []Container
	// Rejected counts samples that were left out because their value, timestamp
	// or labels cannot be true, by reason, and what the store has left out.
	Rejected [NumRejections]int
	example  example
}

// Format is the encoding of an answer.
type Format uint8

const (
	// Text is the Prometheus text format, version 0.0.4.
	Text Format = iota
	// Delimited is a sequence of io.prometheus.client.MetricFamily messages,
	// each after its length as a varint.
	Delimited
	// Summary is the JSON of the kubelet's /stats/summary
	// (k8s.io/kubelet/pkg/apis/stats/v1alpha1).
	Summary
)
