// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/debian"
)

// Name is the node's.
const Name = "real"

// readyWithin is generous: machines of continuous integration are slow.
const readyWithin = 3 * time.Minute

// Options say how the node runs.
type Options struct {
	// WebhookCacheTTL is how long the kubelet goes by an answer of the API server about
	// who may read.
	WebhookCacheTTL time.Duration
	// Log gets the progress.
	Log io.Writer
}

// Node is a cluster whose one node is real.
type Node struct {
	*cluster.Cluster
	options Options
	network network
	dir     string
	// cgroup is the name of the node's control group.
	cgroup  string
	remover *cgroupRemover
	process *cluster.Process
	stop    func() error
}

// Check has an error that says what to do if this machine cannot run a node.
func Check() error {
	if os.Geteuid() != 0 {
		return errors.New("a node with real containers needs root: run this as root")
	}
	return debian.Missing("containerd", "runc", "containernetworking-plugins", "nftables", "iproute2")
}

// Start starts a control plane and a node, and returns when the node is ready and its
// kubelet has a certificate of the cluster. Stop ends it; so does the end of the calling
// process.
func Start(ctx context.Context, o Options) (*Node, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	network, err := chooseNetwork()
	if err != nil {
		return nil, err
	}
	c, err := cluster.Start(ctx, cluster.Options{Log: o.Log, APIServerFlags: []string{
		// The node and its pods reach it from their own networks, through the Service
		// as well.
		"--bind-address=0.0.0.0", "--advertise-address=" + network.host.String(), "--endpoint-reconciler-type=lease",
	}})
	if err != nil {
		return nil, err
	}
	n := &Node{Cluster: c, options: o, network: network, dir: filepath.Join(c.Dir(), "node"), cgroup: network.link}
	n.stop = sync.OnceValue(n.tearDown)
	if err := n.start(ctx); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

// Stop ends the node and the control plane. Its error says what is left of them.
func (n *Node) Stop() error { return n.stop() }

func (n *Node) tearDown() (err error) {
	if n.process != nil {
		err = n.process.Kill()
	}
	n.Cluster.Stop()
	if n.remover != nil {
		err = errors.Join(err, n.remover.close())
	}
	return errors.Join(err, n.network.remove())
}

func (n *Node) start(ctx context.Context) error {
	bin, err := n.NodeBinaries(ctx)
	if err != nil {
		return err
	}
	if err := n.writeFiles(); err != nil {
		return err
	}
	if err := os.Symlink(bin, n.path("bin")); err != nil {
		return err
	}
	if err := errors.Join(
		n.writeKubeconfig("kubelet", "system:node:"+Name, "system:nodes"),
		n.writeKubeconfig("kube-proxy", "system:kube-proxy"),
		n.writeKubeconfig("kube-scheduler", "system:kube-scheduler"),
	); err != nil {
		return err
	}
	if _, err := buildWorkloadImage(ctx, n.dir); err != nil {
		return err
	}
	kubeconfig := n.path("kube-scheduler.kubeconfig")
	if _, err := n.StartProcess("kube-scheduler", filepath.Join(bin, "kube-scheduler"), []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--leader-elect=false", "--secure-port=0",
	}, nil); err != nil {
		return err
	}
	if n.remover, err = startCgroupRemover(n.cgroup); err != nil {
		return err
	}
	if err := n.startProcess(); err != nil {
		return err
	}
	return n.waitReady(ctx)
}

func (n *Node) startProcess() error {
	w := n.network
	env := []string{"NODE_NAME=" + Name, "NODE_ADDRESS=" + w.node.String()}
	args := append(env, "unshare", "--net", "--mount", "bash", n.path("node.sh"),
		n.dir, strconv.Itoa(os.Getpid()), w.link, w.host.String(), w.node.String(), w.pods.String(), n.cgroup)
	var err error
	n.process, err = n.StartProcess("node", "env", args, n.options.Log)
	return err
}

// RouteService has this machine reach the address of a Service through the node, whose
// kube-proxy leads it on. So can the API server, which has no kube-proxy beside it.
func (n *Node) RouteService(ctx context.Context, clusterIP string) error {
	out, err := exec.CommandContext(ctx, "ip", "route", "add", clusterIP+"/32", "via", n.Address()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("route %s to the node: %w: %s", clusterIP, err, out)
	}
	return nil
}

// Address is the node's.
func (n *Node) Address() string { return n.network.node.String() }

func (n *Node) path(name string) string { return filepath.Join(n.dir, name) }

// waitReady approves the requests for a serving certificate meanwhile.
func (n *Node) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := n.checkReady(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-n.process.Exited():
			return fmt.Errorf("the node ended: %w\n%s", err, n.logs())
		case <-ctx.Done():
			return fmt.Errorf("the node is not ready: %w\n%s", err, n.logs())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (n *Node) checkReady(ctx context.Context) error {
	if err := n.approveCertificate(ctx); err != nil {
		return err
	}
	node, err := n.Client().CoreV1().Nodes().Get(ctx, Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return nil
		}
		err = errors.Join(err, fmt.Errorf("%s is %s: %s", c.Type, c.Status, c.Message))
	}
	return errors.Join(errors.New("the kubelet has not reported to be ready"), err)
}

// logs are the last lines of all parts.
func (n *Node) logs() string {
	var all strings.Builder
	for _, name := range []string{"logs/containerd.log", "logs/kubelet.log", "logs/kube-proxy.log"} {
		text, err := os.ReadFile(n.path(name))
		if err != nil {
			fmt.Fprintln(&all, err)
			continue
		}
		fmt.Fprintf(&all, "%s ends with:\n%s\n", name, text[max(0, len(text)-3000):])
	}
	return all.String()
}
