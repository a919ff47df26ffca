// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
)

// network is the addresses of one node: of the range for benchmarks (RFC 2544), which
// no machine has by itself.
type network struct {
	// link is the machine's end of the cable to the node.
	link string
	// host and node are the ends' addresses.
	host, node netip.Addr
	// pods are reached through the node.
	pods netip.Prefix
}

// chooseNetwork takes one that no other node on this machine has.
func chooseNetwork() (network, error) {
	used, err := net.InterfaceAddrs()
	if err != nil {
		return network{}, fmt.Errorf("list the machine's addresses: %w", err)
	}
	for range 1000 {
		n := newNetwork(byte(rand.IntN(256)))
		if !hasAddress(used, n.host) {
			return n, nil
		}
	}
	return network{}, fmt.Errorf("all of 198.18.0.0/16 is in use: remove the interfaces kubemeter*")
}

func newNetwork(i byte) network {
	return network{
		link: fmt.Sprint("kubemeter", i),
		host: netip.AddrFrom4([4]byte{198, 18, i, 1}), node: netip.AddrFrom4([4]byte{198, 18, i, 2}),
		pods: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 19, i, 0}), 24),
	}
}

func hasAddress(all []net.Addr, address netip.Addr) bool {
	for _, a := range all {
		if strings.HasPrefix(a.String(), address.String()+"/") {
			return true
		}
	}
	return false
}
