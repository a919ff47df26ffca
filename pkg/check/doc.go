// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package check walks the way of metrics through a cluster, from the API server to
// the kubelets, and says what is wrong on it, why that matters, and which command
// mends it. It changes nothing: it reads, asks what is allowed, and forwards a port.
//
// It goes by what can be had, and says what could not: by what the metrics server
// itself knows (its /status), by the metrics API, and by kubelets, which it asks
// through the API server or, within a pod of the metrics server, as that does.
package check
