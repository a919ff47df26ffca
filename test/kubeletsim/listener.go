// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"net"
	"net/netip"
	"sync"
)

// listener accepts connections for all nodes and tells them apart by the address
// that the client dialled.
type listener struct {
	net.Listener
	simulation *Simulation
}

// Accept resets connections to addresses without a node, and to nodes that are
// to reset them.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp := c.(*net.TCPConn)
		if conn := l.simulation.admit(tcp); conn != nil {
			return conn, nil
		}
		reset(tcp)
	}
}

// reset drops a connection with an RST instead of a FIN. Its errors mean that
// the connection is gone already.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// nodeConn is a connection to one node.
type nodeConn struct {
	*net.TCPConn
	node *Node

	// What the client certificate says.
	verify   sync.Once
	user     User
	verified bool
}

func (c *nodeConn) Close() error {
	c.node.forget(c)
	return c.TCPConn.Close()
}

// admit finds the node of a connection; it is nil if there is none or if the
// node takes no connections.
func (s *Simulation) admit(c *net.TCPConn) *nodeConn {
	address := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.byAddress[address]
	if node == nil || s.closed {
		return nil
	}
	conn := node.connect(c)
	if conn != nil {
		s.active.Add(1) // until ConnState says that it is closed
	}
	return conn
}

func (n *Node) connect(c *net.TCPConn) *nodeConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accepted++
	if n.faults.resetConnections {
		return nil
	}
	conn := &nodeConn{TCPConn: c, node: n}
	if n.connections == nil {
		n.connections = make(map[*nodeConn]struct{})
	}
	n.connections[conn] = struct{}{}
	return conn
}

func (n *Node) forget(c *nodeConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.connections, c)
}

// closeConnections resets the open connections. The server notices and closes
// them on its side, which forgets them.
func (n *Node) closeConnections() {
	for c := range n.connections {
		reset(c.TCPConn)
	}
}

// nodeAddress is the address of the i-th node: 127.16.0.0 and up.
func nodeAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(16 + i>>16), byte(i >> 8), byte(i)})
}

// maxNodes keeps addresses below 127.255.0.0, clear of the broadcast address.
const maxNodes = (255 - 16) << 16
