// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
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

// remove deletes the link to the node. It goes with the node's network, but a connection that was cut off
// can keep that for minutes.
func (n network) remove() error {
	out, err := exec.Command("ip", "link", "delete", n.link).CombinedOutput()
	if _, statErr := os.Stat("/sys/class/net/" + n.link); errors.Is(statErr, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ip link delete %s: %w: %s", n.link, err, out)
	}
	return nil
}

func hasAddress(all []net.Addr, address netip.Addr) bool {
	for _, a := range all {
		if strings.HasPrefix(a.String(), address.String()+"/") {
			return true
		}
	}
	return false
}
