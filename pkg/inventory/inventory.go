// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inventory follows the API server's nodes and running pods, and hands
// on the little of them that is used. It keeps no objects: losing the API
// server changes nothing that was handed on.
package inventory

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// Nodes takes what happens to nodes. Calls do not overlap.
type Nodes interface {
	SetNode(n kubelet.Node, labels map[string]string)
	RemoveNode(name string)
}

// Pods takes what happens to running pods. Calls do not overlap.
type Pods interface {
	SetPod(store.PodMetadata)
	RemovePod(namespace, name string)
	// SyncPods is told all pods that run, at the start and after a gap.
	SyncPods([]store.PodMetadata)
}

// Inventory follows nodes and pods.
type Inventory struct {
	nodes *nodeStore
	pods  *podStore

	nodeReflector, podReflector *cache.Reflector
}

// New returns an inventory of the nodes that the selector matches, and of all
// pods in phase Running. The client should speak protobuf; that of pods is from
// NewPodClient.
func New(client kubernetes.Interface, podClient rest.Interface, selector labels.Selector, nodes Nodes, pods Pods) *Inventory {
	inv := &Inventory{
		nodes: &nodeStore{nodes: nodes, known: make(map[string]nodeState)},
		pods:  &podStore{pods: pods},
	}
	nodeClient := client.CoreV1().Nodes()
	selectNodes := func(o metav1.ListOptions) metav1.ListOptions {
		o.LabelSelector = selector.String()
		return o
	}
	inv.nodeReflector = newReflector("nodes", client, &corev1.Node{}, inv.nodes, cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return nodeClient.List(ctx, selectNodes(o))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return nodeClient.Watch(ctx, selectNodes(o))
		},
	})
	running := fields.OneTermEqualSelector("status.phase", string(corev1.PodRunning)).String()
	runningPods := func(o metav1.ListOptions) *rest.Request {
		o.FieldSelector = running
		return podClient.Get().Resource("pods").VersionedParams(&o, metav1.ParameterCodec)
	}
	inv.podReflector = newReflector("pods", podClient, &pod{}, inv.pods, cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return listPods(ctx, runningPods(o))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.Watch = true
			return runningPods(o).Watch(ctx)
		},
	})
	return inv
}

func newReflector(name string, client any, expected runtime.Object, s cache.ReflectorStore, lw cache.ListWatch) *cache.Reflector {
	// A client that streams lists says so through its own methods.
	return cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(&lw, client), expected, s,
		cache.ReflectorOptions{Name: name, Backoff: backoff()})
}

// backoff is between attempts to reach the API server: 12 s at most, as pods that are new
// are not served meanwhile. The library's goes up to a minute, for clusters in which each
// node has such clients: there are few metrics servers.
func backoff() *wait.Backoff {
	return &wait.Backoff{Duration: 800 * time.Millisecond, Factor: 2, Cap: 8 * time.Second, Steps: 10, Jitter: 0.5}
}

// Run follows until ctx is cancelled.
func (inv *Inventory) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { inv.nodeReflector.RunWithContext(ctx) })
	running.Go(func() { inv.podReflector.RunWithContext(ctx) })
	running.Wait()
}

// NodesSynced tells whether all nodes have been handed on once.
func (inv *Inventory) NodesSynced() bool { return inv.nodes.synced.Load() }

// PodsSynced tells whether all running pods have been handed on once.
func (inv *Inventory) PodsSynced() bool { return inv.pods.synced.Load() }
