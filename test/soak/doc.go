// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package soak runs a metrics server for a long time on a cluster of which a part is
// replaced all the time, while readers and watchers come and go, and some kubelets
// fail. It looks whether the server grows, and whether all that it serves is true and
// whole.
package soak
