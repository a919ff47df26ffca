// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster runs a real Kubernetes control plane on one machine, for
// tests and for trying things out: etcd, kube-apiserver and
// kube-controller-manager, built from source, on loopback, on free ports, in a
// temporary folder, with certificates of their own. It needs no root, no
// container runtime and no kubelet: nodes and pods are objects that a caller
// creates, usually together with simulated kubelets that answer for them.
//
// Everything that a cluster starts dies with it and its folder is removed: on
// Stop, when the context of Start ends, and when the calling process exits for
// any reason, SIGKILL included.
package cluster
