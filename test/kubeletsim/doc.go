// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubeletsim simulates kubelets for tests and load runs. One process
// and one TLS listener serve many nodes; each has its own loopback address, its
// own serving certificate, and the stats endpoints of a real kubelet:
//
//	/metrics/resource                       Prometheus text or delimited protobuf, by the Accept header
//	/stats/summary?only_cpu_and_memory=true JSON, types of k8s.io/kubelet
//	/healthz
//
// What a node reports is a known function of time (see Container and Wave), so
// that a test can work out the right answer.
//
// # Sample times
//
// Samples are stamped as a kubelet on containerd stamps them: containers at the
// time of the request, nodes and pods at fixed intervals
// (Options.NodeSampleInterval, 10 s by default; a sample is taken at each whole
// multiple of it since the Unix epoch). A time is truncated to the millisecond
// before the counters are worked out, so that no precision is lost between a
// value and its timestamp. The JSON of /stats/summary has times in whole
// seconds, as a real kubelet's has: there the counters are up to one second
// ahead of their timestamps.
//
// # Addresses
//
// When the listener is bound to 0.0.0.0, node i answers at
// 127.(16+i>>16).(i>>8&255).(i&255), and no other address answers. When it is
// bound to one address, that address is the only node's.
package kubeletsim
