// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	testcluster "github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

const (
	podsPerApplication = 3
	podsPerNamespace   = 300 * podsPerApplication
	applicationLabel   = "app.kubernetes.io/name"
)

// containers of each pod.
var containers = [...]string{"web", "proxy"}

// node is one that there is, or was.
type node struct {
	*kubeletsim.Node
	born, gone time.Time // gone is zero as long as it is there
	// sound is since when it does not fail, zero while it does.
	sound time.Time
}

// pod is one that there is, or was. Its slot is its place in the cluster, which the
// next one takes when it is gone.
type pod struct {
	serial, slot int
	node         *node
	born, gone   time.Time
}

// truth is all that there is, and what was there a short while ago.
type truth struct {
	mu     sync.RWMutex
	serial int
	nodes  []*node // by slot
	pods   []*pod  // by slot
	byName map[string]*pod
	known  map[string]*node
	past   []*pod // that are gone, the oldest first
	left   []*node
}

func newTruth(o *Options) *truth {
	return &truth{
		nodes: make([]*node, o.Nodes), pods: make([]*pod, o.Nodes*o.PodsPerNode),
		byName: map[string]*pod{}, known: map[string]*node{},
	}
}

// nextSerial is for a new node or pod. Only one goroutine changes the truth.
func (t *truth) nextSerial() int {
	t.serial++
	return t.serial
}

// addNode puts a node into a slot.
func (t *truth) addNode(slot int, n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nodes[slot], t.known[n.Name()] = n, n
}

func (t *truth) addPod(p *pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pods[p.slot], t.byName[p.name()] = p, p
}

// end notes that a node, or nil, and pods are gone now.
func (t *truth) end(n *node, pods ...*pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if n != nil {
		n.gone = now
		t.left = append(t.left, n)
	}
	for _, p := range pods {
		p.gone = now
	}
	t.past = append(t.past, pods...)
}

// setSound notes that a node fails, or works again.
func (t *truth) setSound(n *node, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.sound = since
}

// remembered is for how long it is known what is gone.
const remembered = 5 * time.Minute

// forget drops what has been gone for long.
func (t *truth) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for len(t.past) > 0 && now.Sub(t.past[0].gone) > remembered {
		delete(t.byName, t.past[0].name())
		t.past = t.past[1:]
	}
	for len(t.left) > 0 && now.Sub(t.left[0].gone) > remembered {
		delete(t.known, t.left[0].Name())
		t.left = t.left[1:]
	}
}

// pod finds one by its names; it is a copy.
func (t *truth) pod(namespace, name string) (p pod, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	found := t.byName[name]
	if found == nil || found.namespace() != namespace {
		return pod{}, false
	}
	return *found, true
}

func (t *truth) node(name string) (n node, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	found := t.known[name]
	if found == nil {
		return node{}, false
	}
	return *found, true
}

// due calls f with the names of all nodes that had to be served all the time from one
// time to another, and podDue likewise.
func (t *truth) due(since time.Time, f func(node string), podDue func(namespace, name, node string)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	isDue := func(n *node) bool { return n.born.Before(since) && !n.sound.IsZero() && n.sound.Before(since) }
	for _, n := range t.nodes {
		if isDue(n) {
			f(n.Name())
		}
	}
	for _, p := range t.pods {
		if p.born.Before(since) && p.gone.IsZero() && isDue(p.node) {
			podDue(p.namespace(), p.name(), p.node.Name())
		}
	}
}

func (p *pod) name() string        { return fmt.Sprintf("pod-%07d", p.serial) }
func (p *pod) namespace() string   { return fmt.Sprint("namespace-", p.slot/podsPerNamespace) }
func (p *pod) application() string { return fmt.Sprint("app-", p.slot/podsPerApplication) }

// simulated is what a kubelet knows of the pod. The usage swings, so that the rate of
// each window is another.
func (p *pod) simulated() kubeletsim.Pod {
	s := kubeletsim.Pod{Namespace: p.namespace(), Name: p.name()}
	for i, name := range containers {
		cores := 0.01*float64(1+i) + float64(p.serial%5000)*1e-5
		bytes := float64(32*(1+i)<<20 + p.serial%100_000<<8)
		s.Containers = append(s.Containers, kubeletsim.Container{
			Name: name, Start: p.born,
			CPU:    kubeletsim.Wave{Mean: cores, Amplitude: cores / 2, Period: 97 * time.Second},
			Memory: kubeletsim.Wave{Mean: bytes, Amplitude: bytes / 4, Period: 61 * time.Second},
		})
	}
	return s
}

// api is what the API says of the pod.
func (p *pod) api() *corev1.Pod {
	o := testcluster.NewPod(p.namespace(), p.name(), p.node.Name(), map[string]string{applicationLabel: p.application()}, containers[:]...)
	o.UID = types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", p.serial))
	o.CreationTimestamp = metav1.NewTime(p.born)
	return o
}

func (n *node) api(port int) *corev1.Node {
	return testcluster.NewNode(n.Name(), n.Address(), int32(port), nil)
}
