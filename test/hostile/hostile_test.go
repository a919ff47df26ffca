// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hostile tests what kubelets can do that mean harm, or are broken: a server
// is started for each input, with some nodes that are sound and many that send it.
// Every fourth input is tested, which takes two minutes, and all with
//
//	go test -v ./hostile -args -all
package hostile

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"
)

var all = flag.Bool("all", false, "test all inputs, and not only every fourth")

const (
	healthyNodes = 4
	hostileNodes = 32
	podsPerNode  = 3

	namespace = "apps"
	container = "c"
	cores     = 0.2
	bytes64Mi = 64 << 20

	// patience is how long a test waits for what takes one interval.
	patience = 90 * time.Second

	// maxGrowth is how much more memory a server may take at its peak, with however
	// many hostile nodes: six bodies of 32 MiB, what was their buffers as they grew,
	// and Go's share of garbage.
	maxGrowth = 384 << 20
	// maxGrowthPerNode is for what the store keeps of a node that names as many
	// containers as it may.
	maxGrowthPerNode = 32 << 20
)

func TestHostileKubelets(t *testing.T) {
	c := newCrew(t)
	table := []string{"| input | more memory at the peak | a scrape took | served of a hostile node | counted | logged |", "| --- | --- | --- | --- | --- | --- |"}
	quiet := c.run(t, &input{name: "nothing", node: true, pods: podsPerNode})
	t.Logf("with sound nodes only, the server takes %d MiB at its peak", quiet.peak/mebibyte)
	for i, in := range inputs() {
		if i%4 != 0 && !*all {
			t.Logf("left out without -all: %s", in.name)
			continue
		}
		t.Run(in.name, func(t *testing.T) {
			r := c.run(t, &in)
			limit := uint64(maxGrowth)
			if len(in.reasons) == 0 && in.nodes > 0 {
				limit = uint64(in.nodes) * maxGrowthPerNode
			}
			growth := r.peak - min(r.peak, quiet.peak)
			if growth > limit {
				t.Errorf("the server takes %d MiB more than with sound nodes, want at most %d", growth/mebibyte, limit/mebibyte)
			}
			row := fmt.Sprintf("| %s | %d MiB | %d ms | %s | %s | %s |", in.name, growth/mebibyte, r.scrape.Milliseconds(), r.served, r.counted, r.logged)
			t.Log(row)
			table = append(table, row)
		})
	}
	t.Log("\n" + strings.Join(table, "\n"))
}
