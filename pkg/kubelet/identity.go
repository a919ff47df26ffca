// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"crypto/x509"
	"slices"
	"strings"
)

const (
	// nodeUserPrefix and nodesGroup are a kubelet's user and group, which the API
	// server takes from the common name and organization of a certificate
	// (https://kubernetes.io/docs/reference/access-authn-authz/node/).
	nodeUserPrefix = "system:node:"
	nodesGroup     = "system:nodes"
)

// owns tells whether a certificate is the node's. Its signer is trusted already.
//
// It need not be for the address that is dialled: any identity that the Node object
// states will do. A kubelet may write the status of its own Node and of no other
// (NodeRestriction), so one that turned bad can only change who answers for itself:
//
//   - If it states the address of a good node, we dial that one. What the good
//     kubelet shows is refused by its subject, or else its usage is served as that of
//     the bad node, which could have made up any. Our credentials are the good
//     kubelet's to see anyway.
//   - If it got that address into a certificate, by a signer that goes by the Node, and
//     takes the good node's connections, its subject gives it away: the API server lets
//     a kubelet ask for its own only. So a subject is never outweighed by other names.
//
// All of this needs a connection to be used for the node that it was verified for, and
// for no other at the same address.
func (n *Node) owns(c *x509.Certificate) bool {
	switch name := nodeOf(c); {
	case name == n.Name && slices.Contains(c.Subject.Organization, nodesGroup):
		return true
	case name != "" && name != n.Name:
		return false
	}
	return slices.ContainsFunc(n.names(), func(name string) bool { return c.VerifyHostname(name) == nil })
}

// nodeOf returns which node a certificate is for by its subject, "" if that does not say.
func nodeOf(c *x509.Certificate) string {
	name, ok := strings.CutPrefix(c.Subject.CommonName, nodeUserPrefix)
	if !ok {
		return ""
	}
	return name
}

// names are what a certificate of the node may be for. Where a cloud provider sets the
// addresses, the hostname may be in the label only.
func (n *Node) names() []string {
	names := make([]string, 0, len(n.Addresses)+2)
	for _, a := range n.Addresses {
		names = append(names, a.Address)
	}
	for _, name := range []string{n.Name, n.Hostname} {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}
