// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package faults measures what metrics servers serve while kubelets fail: one
// server, or two, one after the other, on the same simulated cluster with the same
// faults. All usage in it is known, so that each value that is served is checked.
// It works with any server that is compatible: nothing is taken from what a server
// says of itself.
package faults
