// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package load measures what metrics servers cost: CPU, memory and the time of
// reads, of one server or of two side by side on the same cluster. It starts a
// control plane and simulated kubelets, runs one server after the other with the
// same flags, and works with any that is compatible: nothing is taken from what a
// server says of itself.
//
// All runs on one machine and shares its CPUs: times are longer than those of a
// server that has a machine of its own, and so compare servers of one run.
package load
