// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import "testing"

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if port < firstPort || port > lastPort {
			t.Errorf("port %d is out of range", port)
		}
		if seen[port] {
			t.Errorf("port %d comes twice", port)
		}
		seen[port] = true
	}
}
