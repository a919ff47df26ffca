// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package realnode runs a real Kubernetes node beside the control plane of package
// cluster: kubelet, kube-proxy and kube-scheduler built from source, and containerd,
// runc and the CNI plugins of the machine. Its tests hold what the metrics server says
// of real containers against what they do.
//
// It needs root. The node lives in network, mount and process namespaces of its own and
// keeps its files in the cluster's folder: when it is stopped, or the calling process
// ends for any reason, the kernel ends all of its processes and takes its mounts,
// interfaces and rules away.
package realnode
