// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
)

// StartAPIServer starts kube-apiserver, on the same port if it ran before, and
// returns when it is ready. Clients and kubeconfigs made earlier stay valid.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	p, err := c.startComponent(ctx, "kube-apiserver", c.apiServerArgs(), c.apiServerReady)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.apiServer = p
	c.mu.Unlock()
	return nil
}

// StopAPIServer kills kube-apiserver without warning, as when its machine is
// lost: connections break, nothing is drained.
func (c *Cluster) StopAPIServer() error {
	c.mu.Lock()
	p := c.apiServer
	c.mu.Unlock()
	return p.Kill()
}

func (c *Cluster) apiServerReady(ctx context.Context) error {
	body, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	return nil
}

func (c *Cluster) apiServerURL() string {
	return "https://" + loopback(c.ports.apiServer)
}

func (c *Cluster) apiServerArgs() []string {
	args := []string{
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports.apiServer),
		"--tls-cert-file=" + c.pki.path("kube-apiserver.crt"),
		"--tls-private-key-file=" + c.pki.path("kube-apiserver.key"),
		"--client-ca-file=" + c.pki.path("ca.crt"),

		"--etcd-servers=" + c.etcdURL(),
		"--etcd-cafile=" + c.pki.path("etcd-ca.crt"),
		"--etcd-certfile=" + c.pki.path("etcd-client.crt"),
		"--etcd-keyfile=" + c.pki.path("etcd-client.key"),

		"--authorization-mode=Node,RBAC",
		"--allow-privileged",
		"--service-cluster-ip-range=" + serviceIPRange,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + c.pki.path("service-account.key"),
		"--service-account-key-file=" + c.pki.path("service-account.key"),

		// How aggregated API servers know that a request comes from here.
		"--proxy-client-cert-file=" + c.pki.path("front-proxy-client.crt"),
		"--proxy-client-key-file=" + c.pki.path("front-proxy-client.key"),
		"--requestheader-client-ca-file=" + c.pki.path("front-proxy-ca.crt"),
		"--requestheader-allowed-names=" + frontProxyName,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",

		// Endpoints may not have loopback addresses: the API server would fail
		// for ever to publish its own.
		"--endpoint-reconciler-type=none",
		// It taints new nodes as not ready until the node lifecycle controller,
		// which does not run here, finds them ready.
		"--disable-admission-plugins=TaintNodesByCondition",
	}
	return append(args, c.apiServerFlags...)
}
