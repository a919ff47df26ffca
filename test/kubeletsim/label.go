// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

type label struct{ name, value string }

// labels of the series of a container or a pod, by name.
func (id *identity) labels() []label {
	pod := []label{{"namespace", id.namespace}, {"pod", id.pod}}
	if id.container == "" {
		return pod
	}
	return append([]label{{"container", id.container}}, pod...)
}
