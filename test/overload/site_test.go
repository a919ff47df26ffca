// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package overload asks a metrics server for more than it can serve.
package overload

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	nodes = 300
	pods  = 30000
	// podsPerApplication share their labels.
	podsPerApplication = 100
	resolution         = 15 * time.Second
	// memoryLimit is enough for what the server does without reads, and a fraction of
	// what the lists of all readers take.
	memoryLimit = 160 << 20
	// patience is how long a test waits for what takes two intervals at most.
	patience = 3 * time.Minute
)

// site is a metrics server with a memory limit, between a stub of the core API and
// simulated kubelets.
type site struct {
	server *cluster.Process
	admin  *rest.Config
	tls    *tls.Config
}

func startSite(t *testing.T) *site {
	t.Helper()
	t.Setenv("GOMEMLIMIT", strconv.Itoa(memoryLimit))
	group, err := cluster.StartProcessGroup(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(group.Stop)
	binary, err := localcluster.BuildPlainServer(t.Context(), group.Dir())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := cluster.NewCertificateAuthority("kubemeter-ca")
	if err != nil {
		t.Fatal(err)
	}
	api := startCluster(t, ca, group.Dir())
	port, err := cluster.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	args, err := localcluster.ServerFlags(group.Dir(), ca, api, port)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{}
	if s.admin, err = corestub.AdminConfig(ca, port); err != nil {
		t.Fatal(err)
	}
	s.admin.QPS = -1
	if s.tls, err = rest.TLSConfigFor(s.admin); err != nil {
		t.Fatal(err)
	}
	if s.server, err = group.StartProcess("metrics-server", binary, append(args, "--metric-resolution="+resolution.String(), "--v=1"), nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// startCluster starts what the server asks, and returns the configuration of its
// client.
func startCluster(t *testing.T, ca *cluster.CertificateAuthority, dir string) *rest.Config {
	t.Helper()
	token := rand.Text()
	stub, err := corestub.Start(corestub.Options{CA: ca, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stub.Close)
	kubeletCA, err := kubeletsim.NewCA("kubelet CA")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, localcluster.KubeletCAFile), kubeletCA.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	kubelets, err := kubeletsim.Start(kubeletsim.Options{CA: kubeletCA, Authenticate: func(t string) bool { return t == token }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kubelets.Close)
	all := make([]*kubeletsim.Node, nodes)
	for i := range all {
		if all[i], err = kubelets.AddNode(fmt.Sprint("node-", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range pods {
		err := all[i%nodes].AddPod(kubeletsim.Pod{Namespace: namespace, Name: podName(i), Containers: []kubeletsim.Container{{
			Name: "main", CPU: kubeletsim.Constant(0.01), Memory: kubeletsim.Constant(32 << 20),
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	stub.SetContents(corestub.Contents{
		Nodes: nodes, Node: func(i int) *corev1.Node {
			return cluster.NewNode(all[i].Name(), all[i].Address(), int32(kubelets.Port()), nil)
		},
		Pods: pods, Pod: func(i int) *corev1.Pod { return apiPod(i, all[i%nodes].Name()) },
	})
	return stub.Config()
}

const namespace = "default"

func podName(i int) string {
	return fmt.Sprintf("app-%d-7d4b9c6f5d-%05d", i/podsPerApplication, i)
}

func apiPod(i int, node string) *corev1.Pod {
	labels := map[string]string{"app": fmt.Sprint("app-", i/podsPerApplication), "pod-template-hash": "7d4b9c6f5d"}
	p := cluster.NewPod(namespace, podName(i), node, labels, "main")
	p.UID = types.UID(p.Name)
	return p
}
