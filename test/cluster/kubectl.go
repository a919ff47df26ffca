// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kubectl runs kubectl of the cluster's version as a cluster administrator and
// returns its standard output. The error has its standard error.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.runKubectl(ctx, c.AdminKubeconfig(), nil, args)
}

// KubectlAs is Kubectl with another kubeconfig, such as one written by
// WriteKubeconfig.
func (c *Cluster) KubectlAs(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	return c.runKubectl(ctx, kubeconfig, nil, args)
}

// Apply creates or updates the objects of a YAML manifest.
func (c *Cluster) Apply(ctx context.Context, manifest string) error {
	_, err := c.runKubectl(ctx, c.AdminKubeconfig(), strings.NewReader(manifest), []string{"apply", "--server-side", "--force-conflicts", "-f", "-"})
	return err
}

// KubectlPath returns the path of kubectl, for people to run. It is in the cache
// and outlives the cluster.
func (c *Cluster) KubectlPath() string {
	return c.binaries.path("kubectl")
}

// KubectlCommand is for commands that do not end by themselves: it returns
// kubectl, run as Kubectl does, to be started. Its standard input, output and
// error are free to set.
func (c *Cluster) KubectlCommand(ctx context.Context, args ...string) (*exec.Cmd, error) {
	return c.kubectlCommand(ctx, c.AdminKubeconfig(), args)
}

func (c *Cluster) kubectlCommand(ctx context.Context, kubeconfig string, args []string) (*exec.Cmd, error) {
	return c.commandOf(ctx, c.KubectlPath(), kubeconfig, args)
}

// commandOf is for kubectl of any version.
func (c *Cluster) commandOf(ctx context.Context, kubectl, kubeconfig string, args []string) (*exec.Cmd, error) {
	if err := c.checkRunning(); err != nil {
		return nil, fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	cmd := exec.CommandContext(ctx, kubectl, append([]string{"--kubeconfig=" + kubeconfig}, args...)...)
	// Neither the settings of the user nor the discovery cache of another
	// cluster on the same port may have a say.
	home := filepath.Join(c.dir, "home")
	cmd.Env = append(os.Environ(), "HOME="+home, "KUBECACHEDIR="+filepath.Join(home, "cache"), "KUBERC=off")
	c.watchdog.adopt(cmd)
	return cmd, nil
}

func (c *Cluster) runKubectl(ctx context.Context, kubeconfig string, stdin io.Reader, args []string) (string, error) {
	cmd, err := c.kubectlCommand(ctx, kubeconfig, args)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
