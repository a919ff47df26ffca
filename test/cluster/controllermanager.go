// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// disabledControllers are those that act on the absence of kubelets. No kubelet
// renews a lease or confirms a pod here, so the first would declare all nodes
// lost and their pods not ready, the second would evict these pods, and the
// third would delete pods that are created before their nodes.
var disabledControllers = []string{
	"node-lifecycle-controller",
	"taint-eviction-controller",
	"pod-garbage-collector-controller",
}

// startControllerManager returns when the service accounts exist without which
// no pod is admitted.
func (c *Cluster) startControllerManager(ctx context.Context) error {
	healthy, err := newProbe("https://"+loopback(c.ports.controllerManager)+"/healthz", c.pki.path("ca.crt"), "", "")
	if err != nil {
		return err
	}
	_, err = c.startComponent(ctx, "kube-controller-manager", c.controllerManagerArgs(), func(ctx context.Context) error {
		if err := healthy(ctx); err != nil {
			return err
		}
		for _, namespace := range []string{"default", "kube-system"} {
			if _, err := c.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

func (c *Cluster) controllerManagerKubeconfig() string {
	return filepath.Join(c.dir, "kube-controller-manager.kubeconfig")
}

func (c *Cluster) controllerManagerArgs() []string {
	return []string{
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports.controllerManager),
		"--tls-cert-file=" + c.pki.path("kube-controller-manager.crt"),
		"--tls-private-key-file=" + c.pki.path("kube-controller-manager.key"),
		"--kubeconfig=" + c.controllerManagerKubeconfig(),
		"--authentication-kubeconfig=" + c.controllerManagerKubeconfig(),
		"--authorization-kubeconfig=" + c.controllerManagerKubeconfig(),
		// Each controller has the rights of its own role, as in a real cluster:
		// the HorizontalPodAutoscaler's decide what it may read.
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + c.pki.path("service-account.key"),
		"--root-ca-file=" + c.pki.path("ca.crt"),
		"--cluster-signing-cert-file=" + c.pki.path("ca.crt"),
		"--cluster-signing-key-file=" + c.pki.path("ca.key"),
		"--leader-elect=false",
		"--controllers=*,-" + strings.Join(disabledControllers, ",-"),
		// The defaults (20 and 30) delay the start by the tokens of all
		// controllers.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}
}
