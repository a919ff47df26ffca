// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// chooseAddress returns the first address of the first type in types that the
// node has.
func chooseAddress(addresses []corev1.NodeAddress, types []corev1.NodeAddressType) (string, error) {
	for _, t := range types {
		for _, a := range addresses {
			if a.Type == t && a.Address != "" {
				return a.Address, nil
			}
		}
	}
	return "", fmt.Errorf("the node has %s, and --kubelet-preferred-address-types allows only %s",
		listAddresses(addresses), listTypes(types))
}

func listAddresses(addresses []corev1.NodeAddress) string {
	if len(addresses) == 0 {
		return "no address"
	}
	names := make([]string, 0, len(addresses))
	for _, a := range addresses {
		names = append(names, string(a.Type)+"="+a.Address)
	}
	return "the addresses " + list(names)
}

func listTypes(types []corev1.NodeAddressType) string {
	names := make([]string, 0, len(types))
	for _, t := range types {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}
