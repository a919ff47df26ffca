// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are drawn from below the range from which Linux (32768 and up) and
// macOS (49152 and up) take the local ports of outgoing connections. A port of
// that range could be taken by any connection while its server restarts, and a
// client that redials it on loopback can even connect to itself.
const (
	firstPort = 20000
	lastPort  = 32767
)

// FreePort returns a TCP port of 127.0.0.1 on which nothing listens. Nothing
// reserves it: it is meant to be listened on at once.
func FreePort() (int, error) {
	ports, err := freePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}

// freePorts returns n different free ports.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		// All stay open until the last is found, so that they differ.
		defer l.Close()
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("no %d free ports found between %d and %d on 127.0.0.1: end the processes that listen there", n, firstPort, lastPort)
}

// loopback is the address of a port on 127.0.0.1.
func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
