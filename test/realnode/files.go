// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"embed"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubemeter/metrics-server/test/cluster"
)

//go:embed node.sh init.sh containerd.toml kubelet.yaml kube-proxy.yaml cni.conflist
var files embed.FS

// writeFiles fills the templates in.
func (n *Node) writeFiles() error {
	for _, folder := range []string{"logs", "cni"} {
		if err := os.MkdirAll(n.path(folder), 0o700); err != nil {
			return err
		}
	}
	values := map[string]any{
		"Dir": n.dir, "Image": WorkloadImage, "Address": n.network.node, "Pods": n.network.pods,
		"CgroupRoot": "/" + n.cgroup, "Name": Name, "CacheTTL": n.options.WebhookCacheTTL,
	}
	for source, target := range map[string]string{
		"node.sh": "node.sh", "init.sh": "init.sh", "containerd.toml": "containerd.toml",
		"kubelet.yaml": "kubelet.yaml", "kube-proxy.yaml": "kube-proxy.yaml", "cni.conflist": "cni/10-kubemeter.conflist",
	} {
		text, err := files.ReadFile(source)
		if err != nil {
			return err
		}
		if !strings.HasSuffix(source, ".sh") {
			if text, err = fill(string(text), values); err != nil {
				return err
			}
		}
		if err := os.WriteFile(n.path(target), text, 0o600); err != nil {
			return err
		}
	}
	// Pods have no names to resolve.
	if err := os.WriteFile(n.path("resolv.conf"), nil, 0o600); err != nil {
		return err
	}
	return os.WriteFile(n.path("ca.crt"), n.CA().CertPEM(), 0o600)
}

func fill(text string, values any) ([]byte, error) {
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	err = t.Execute(&b, values)
	return []byte(b.String()), err
}

// writeKubeconfig writes one for a process in the node's network, where the API server
// is at an address that its certificate does not have.
func (n *Node) writeKubeconfig(name, user string, groups ...string) error {
	config, err := n.ClientFor(user, groups...)
	if err != nil {
		return err
	}
	path := filepath.Join(n.dir, name+".kubeconfig")
	if err := cluster.WriteKubeconfig(path, config); err != nil {
		return err
	}
	kubeconfig, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return err
	}
	for _, c := range kubeconfig.Clusters {
		c.Server, c.TLSServerName = strings.Replace(c.Server, "127.0.0.1", n.network.host.String(), 1), "localhost"
	}
	return clientcmd.WriteToFile(*kubeconfig, path)
}
