// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"os/exec"
)

var kubectlSet = set{"kubectl", []string{"k8s.io/kubernetes/cmd/kubectl"}}

// KubectlOfVersion is KubectlCommand with the kubectl of another version, a folder of
// test/controlplane such as v1.34. It is built unless it is in the user's cache folder,
// which takes minutes. Standard input, output and error are free to set.
func (c *Cluster) KubectlOfVersion(ctx context.Context, minor string, args ...string) (*exec.Cmd, error) {
	module, err := moduleOf(minor)
	if err != nil {
		return nil, err
	}
	source, err := newControlPlane(module, kubectlSet)
	if err != nil {
		return nil, err
	}
	b, err := source.binaries(ctx, c.log)
	if err != nil {
		return nil, err
	}
	return c.commandOf(ctx, b.path("kubectl"), c.AdminKubeconfig(), args)
}
