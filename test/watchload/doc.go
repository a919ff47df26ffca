// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package watchload measures what watches cost a metrics server: it opens many,
// reads all that they tell, and compares the server's own CPU time and memory
// with those of the same server without watches.
package watchload
