// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// churn replaces nodes and pods, and has kubelets fail. One goroutine runs it.
type churn struct {
	*cluster
	options *Options
	random  *rand.Rand
	failing map[*node]time.Time // until when
	changes []corestub.Change   // of this step
	// Nodes and Pods are how many have been replaced, those of replaced nodes
	// included, and Failures how often a kubelet has begun to fail.
	nodes, pods, failures int
}

func newChurn(c *cluster, o *Options) *churn {
	return &churn{cluster: c, options: o, random: rand.New(rand.NewPCG(o.Seed, 0)), failing: map[*node]time.Time{}}
}

// populate fills the cluster.
func (c *churn) populate() error {
	for slot := range c.options.Nodes {
		if _, err := c.newNode(slot); err != nil {
			return err
		}
	}
	c.Stub.SetContents(c.contents())
	return nil
}

// newNode adds a node with its pods to the kubelets.
func (c *churn) newNode(slot int) (*node, error) {
	k, err := c.Kubelets.AddNode(fmt.Sprintf("node-%06d", c.truth.nextSerial()))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	n := &node{Node: k, born: now, sound: now}
	c.truth.addNode(slot, n)
	for i := range c.options.PodsPerNode {
		if _, err := c.newPod(slot+i*c.options.Nodes, n); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (c *churn) newPod(slot int, n *node) (*pod, error) {
	p := &pod{serial: c.truth.nextSerial(), slot: slot, node: n, born: time.Now()}
	c.truth.addPod(p)
	return p, n.AddPod(p.simulated())
}

// contents is what there is now, for the stub.
func (c *churn) contents() corestub.Contents {
	nodes, pods, port := slices.Clone(c.truth.nodes), slices.Clone(c.truth.pods), c.Kubelets.Port()
	return corestub.Contents{
		Nodes: len(nodes), Node: func(i int) *corev1.Node { return nodes[i].api(port) },
		Pods: len(pods), Pod: func(i int) *corev1.Pod { return pods[i].api() },
	}
}

// step is the time between two changes.
const step = time.Second

// run changes the cluster until the end.
func (c *churn) run(ctx context.Context) error {
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	perStep := c.options.Churn * step.Minutes()
	var nodes, pods float64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		c.recover()
		if err := c.fail(); err != nil {
			return err
		}
		for nodes += perStep * float64(c.options.Nodes); nodes >= 1; nodes-- {
			if err := c.replaceNode(c.random.IntN(c.options.Nodes)); err != nil {
				return err
			}
		}
		for pods += perStep * float64(len(c.truth.pods)); pods >= 1; pods-- {
			if err := c.replacePod(c.random.IntN(len(c.truth.pods))); err != nil {
				return err
			}
		}
		c.Stub.Change(c.contents(), c.changes...)
		c.changes = nil
		c.truth.forget()
	}
}

// replacePod replaces one on the same node.
func (c *churn) replacePod(slot int) error {
	old := c.truth.pods[slot]
	c.truth.end(nil, old)
	old.node.RemovePod(old.namespace(), old.name())
	p, err := c.newPod(slot, old.node)
	if err != nil {
		return err
	}
	c.pods++
	c.changes = append(c.changes, corestub.Change{Type: watch.Deleted, Object: old.api()})
	c.changes = append(c.changes, corestub.Change{Type: watch.Added, Object: p.api()})
	return nil
}

// replaceNode replaces one, and all its pods.
func (c *churn) replaceNode(slot int) error {
	old := c.truth.nodes[slot]
	var pods []*pod
	for i := range c.options.PodsPerNode {
		pods = append(pods, c.truth.pods[slot+i*c.options.Nodes])
	}
	c.truth.end(old, pods...)
	delete(c.failing, old)
	for _, p := range pods {
		c.changes = append(c.changes, corestub.Change{Type: watch.Deleted, Object: p.api()})
	}
	port := c.Kubelets.Port()
	c.changes = append(c.changes, corestub.Change{Type: watch.Deleted, Object: old.api(port)})
	c.Kubelets.RemoveNode(old.Name())
	n, err := c.newNode(slot)
	if err != nil {
		return err
	}
	c.changes = append(c.changes, corestub.Change{Type: watch.Added, Object: n.api(port)})
	for i := range c.options.PodsPerNode {
		c.changes = append(c.changes, corestub.Change{Type: watch.Added, Object: c.truth.pods[slot+i*c.options.Nodes].api()})
	}
	c.nodes++
	c.pods += len(pods)
	return nil
}

// Failures last for between one of these and the other: some are over before a point
// gets too old, and some are not.
const shortest, longest = 10 * time.Second, 3 * time.Minute

// fail has as many kubelets fail as there should be.
func (c *churn) fail() error {
	for len(c.failing) < int(c.options.Failing*float64(c.options.Nodes)) {
		n := c.truth.nodes[c.random.IntN(c.options.Nodes)]
		if _, fails := c.failing[n]; fails {
			continue
		}
		faults := []kubeletsim.Fault{
			kubeletsim.Hang(), kubeletsim.ConnectionReset(), kubeletsim.Status(http.StatusInternalServerError),
			kubeletsim.RandomFailure(0.5, c.random.Uint64()), kubeletsim.TruncatedBody(), kubeletsim.WrongName(),
			kubeletsim.Drip(100, 100*time.Millisecond),
		}
		c.truth.setSound(n, time.Time{})
		if err := n.SetFaults(faults[c.random.IntN(len(faults))]); err != nil {
			return err
		}
		c.failing[n] = time.Now().Add(shortest + time.Duration(c.random.Int64N(int64(longest-shortest))))
		c.failures++
	}
	return nil
}

// recover ends failures whose time is over.
func (c *churn) recover() {
	now := time.Now()
	for n, until := range c.failing {
		if now.After(until) {
			_ = n.SetFaults() // none is always possible
			c.truth.setSound(n, time.Now())
			delete(c.failing, n)
		}
	}
}
