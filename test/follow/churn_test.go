// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	churnPeriod = 125 * time.Millisecond // between two changes
	faultPeriod = 6 * time.Second        // between two kubelets that begin to fail
	maxFailing  = 3
	// guestStay is how long a node that joins stays: until it has been served,
	// and some time more.
	guestStay = 25 * time.Second
)

// serial is in names and labels. No test uses one again.
var serial int

// churn changes the cluster.
type churn struct {
	t      *testing.T
	random *rand.Rand
	counts map[string]int

	pods  []localcluster.Workload // those that the API server has
	stale []localcluster.Workload // those that only a kubelet still has
	nodes []*kubeletsim.Node

	failing   map[*kubeletsim.Node]time.Time // until when
	nextFault time.Time
	guest     *kubeletsim.Node // a node that has joined, nil if there is none
	leaves    time.Time
}

func newChurn(t *testing.T, seed uint64) *churn {
	c := &churn{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), counts: map[string]int{},
		pods: slices.Clone(local.Workload), failing: map[*kubeletsim.Node]time.Time{},
	}
	for i := range nodeCount {
		n, ok := local.Kubelets.Node(fmt.Sprint("node-", i))
		if !ok {
			t.Fatalf("there is no node-%d", i)
		}
		c.nodes = append(c.nodes, n)
	}
	return c
}

// run changes something every churnPeriod until the end, or until the test has
// failed.
func (c *churn) run(end time.Time) {
	for next := time.Now(); next.Before(end) && !c.t.Failed(); next = next.Add(churnPeriod) {
		time.Sleep(time.Until(next))
		c.failKubelets()
		c.guests()
		c.step()
		if len(c.stale) > 0 && c.random.IntN(2) == 0 {
			c.unreport(c.stale[0])
		}
	}
}

// step makes one change.
func (c *churn) step() {
	switch n := c.random.IntN(100); {
	case n < 45:
		c.relabelPod()
	case n < 75 && len(c.pods) < podCount:
		c.createPod(fmt.Sprint("new-", nextSerial()), c.anyPod().Namespace)
	case n < 75:
		c.deletePod(c.random.IntN(len(c.pods)))
	case n < 88: // a pod moves, and keeps its name
		w := c.deletePod(c.random.IntN(len(c.pods)))
		c.createPod(w.Name, w.Namespace)
	case n < 94:
		c.restartContainer()
	default:
		c.relabelNode()
	}
}

func nextSerial() int {
	serial++
	return serial
}

func (c *churn) anyPod() localcluster.Workload { return c.pods[c.random.IntN(len(c.pods))] }

// do counts a change.
func (c *churn) do(what string, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Errorf("%s: %v", what, err)
	}
	c.counts[what]++
}

func (c *churn) relabelPod() {
	w := c.anyPod()
	patch := fmt.Sprintf(`{"metadata":{"labels":{"tier":%q,"serial":"%d"}}}`, string(rune('a'+c.random.IntN(3))), nextSerial())
	_, err := local.Client().CoreV1().Pods(w.Namespace).Patch(c.t.Context(), w.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	c.do("pod relabelled", err)
}

func (c *churn) relabelNode() {
	patch := fmt.Sprintf(`{"metadata":{"labels":{"serial":"%d"}}}`, nextSerial())
	n := c.nodes[c.random.IntN(len(c.nodes))]
	_, err := local.Client().CoreV1().Nodes().Patch(c.t.Context(), n.Name(), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	c.do("node relabelled", err)
}

// createPod has the API server or the kubelet know it first.
func (c *churn) createPod(name, namespace string) {
	like := c.anyPod()
	w := localcluster.Workload{
		Node: c.nodes[c.random.IntN(len(c.nodes))],
		Pod:  kubeletsim.Pod{Namespace: namespace, Name: name, Containers: slices.Clone(like.Containers)},
		Labels: map[string]string{
			"app": like.Labels["app"], "tier": string(rune('a' + c.random.IntN(3))),
		},
	}
	var containers []string
	for i := range w.Containers {
		w.Containers[i].Start = time.Time{} // now
		containers = append(containers, w.Containers[i].Name)
	}
	c.unreport(w) // a pod of this name that was there before
	kubelet := func() error { return w.Node.AddPod(w.Pod) }
	apiServer := func() error {
		return local.CreatePod(c.t.Context(), namespace, name, w.Node.Name(), w.Labels, containers...)
	}
	first, second := apiServer, kubelet
	if c.random.IntN(2) == 0 {
		first, second = kubelet, apiServer
	}
	err := first()
	if err == nil {
		err = second()
	}
	c.do("pod created", err)
	c.pods = append(c.pods, w)
}

// deletePod has the kubelet report it for a little longer, or not.
func (c *churn) deletePod(i int) localcluster.Workload {
	w := c.pods[i]
	c.pods = slices.Delete(c.pods, i, i+1)
	c.stale = append(c.stale, w)
	if c.random.IntN(2) == 0 {
		c.unreport(w)
	}
	c.do("pod deleted", local.Client().CoreV1().Pods(w.Namespace).Delete(c.t.Context(), w.Name, metav1.DeleteOptions{}))
	return w
}

// unreport has a kubelet forget a pod.
func (c *churn) unreport(w localcluster.Workload) {
	w.Node.RemovePod(w.Namespace, w.Name)
	c.stale = slices.DeleteFunc(c.stale, func(s localcluster.Workload) bool {
		return s.Node == w.Node && s.Namespace == w.Namespace && s.Name == w.Name
	})
}

func (c *churn) restartContainer() {
	w := c.anyPod()
	c.do("container restarted", w.Node.RestartContainer(w.Namespace, w.Name, w.Containers[0].Name, time.Now()))
}

// failKubelets has some fail for so long that what they have reported expires.
func (c *churn) failKubelets() {
	now := time.Now()
	for n, until := range c.failing {
		if now.After(until) {
			c.do("kubelet recovers", n.SetFaults())
			delete(c.failing, n)
		}
	}
	if now.Before(c.nextFault) || len(c.failing) == maxFailing {
		return
	}
	c.nextFault = now.Add(faultPeriod)
	faults := []kubeletsim.Fault{kubeletsim.ConnectionReset(), kubeletsim.Status(http.StatusInternalServerError), kubeletsim.Hang()}
	n := c.nodes[c.random.IntN(nodeCount)]
	if _, ok := c.failing[n]; ok {
		return
	}
	c.do("kubelet fails", n.SetFaults(faults[c.random.IntN(len(faults))]))
	c.failing[n] = now.Add(maxAge + 2*time.Second + time.Duration(c.random.Int64N(int64(8*time.Second))))
}

// guests has a node join and leave again, with its pods.
func (c *churn) guests() {
	switch {
	case c.guest == nil:
		c.join()
	case time.Now().After(c.leaves):
		c.leave()
	}
}

func (c *churn) join() {
	n, err := local.Kubelets.AddNode(fmt.Sprint("guest-", nextSerial()))
	if err != nil {
		c.t.Error(err)
		return
	}
	c.do("node joins", local.CreateNode(c.t.Context(), n.Name(), n.Address(), int32(local.Kubelets.Port()), nil))
	c.guest, c.leaves = n, time.Now().Add(guestStay)
	c.nodes = append(c.nodes, n)
}

func (c *churn) leave() {
	if c.guest == nil {
		return
	}
	c.nodes = c.nodes[:nodeCount]
	c.do("node leaves", local.Client().CoreV1().Nodes().Delete(c.t.Context(), c.guest.Name(), metav1.DeleteOptions{}))
	for i := len(c.pods) - 1; i >= 0; i-- {
		if c.pods[i].Node == c.guest {
			c.deletePod(i)
		}
	}
	local.Kubelets.RemoveNode(c.guest.Name())
	c.guest = nil
}

// settle ends what has begun, and waits until everything is served.
func (c *churn) settle(t *testing.T) {
	c.leave()
	for n := range c.failing {
		c.do("kubelet recovers", n.SetFaults())
	}
	for _, w := range slices.Clone(c.stale) {
		c.unreport(w)
	}
	local.Workload = c.pods
	client, err := metricsclient.NewForConfig(local.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		pods, err := client.MetricsV1().PodMetricses("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		nodes, err := client.MetricsV1().NodeMetricses().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(pods.Items) == len(c.pods) && len(nodes.Items) == nodeCount {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d pods and %d of %d nodes are served", len(pods.Items), len(c.pods), len(nodes.Items), nodeCount)
		}
	}
}

func (c *churn) String() string { return countsText(c.counts) }
