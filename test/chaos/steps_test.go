// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	namespace = "chaos"
	// stepEvery is the most that is between two steps.
	stepEvery = 1500 * time.Millisecond
	// cycle has each of the great disturbances once.
	cycle = 90 * time.Second
	// longest is how long a kubelet fails at most: longer than points are kept.
	longest = maxAge + resolution
	// maxSkew is how wrong a clock is at most that is a little off.
	maxSkew = 15 * time.Second
)

var applications = []string{"web", "cart", "index"}

// serial is in names, and in what pods use: no two use the same.
var serial int

func nextSerial() int {
	serial++
	return serial
}

// describe is the i-th pod of the beginning.
func describe(i int) localcluster.Workload {
	app := applications[i%len(applications)]
	return localcluster.Workload{
		Pod:    kubeletsim.Pod{Namespace: namespace, Name: fmt.Sprintf("%s-%d", app, i), Containers: newContainers(time.Now().Add(-time.Hour))},
		Labels: map[string]string{"app": app},
	}
}

// newContainers use what swings, so that the rate of each window is another. The zero
// start is when their pod joins its node.
func newContainers(start time.Time) (all []kubeletsim.Container) {
	n := nextSerial()
	for i, name := range []string{"main", "proxy"}[:1+n%2] {
		cores, bytes := 0.05*float64(1+i)+float64(n%1000)*1e-4, float64((64+n%1000)<<20)
		all = append(all, kubeletsim.Container{
			Name: name, Start: start,
			CPU:    kubeletsim.Wave{Mean: cores, Amplitude: 0.8 * cores, Period: time.Duration(20+n%17) * time.Second},
			Memory: kubeletsim.Wave{Mean: bytes, Amplitude: bytes / 4, Period: time.Duration(30+n%13) * time.Second},
		})
	}
	return all
}

// chaos changes the cluster.
type chaos struct {
	t      *testing.T
	m      *model
	random *rand.Rand
	counts map[string]int
	// bad are the nodes that do not work, until when.
	bad map[*node]time.Time
	// strangers are pods that a lying node reports.
	strangers map[*node]*pod
	// ghosts are pods that are deleted, and that their kubelet still reports, until
	// when.
	ghosts map[*pod]time.Time
}

func newChaos(t *testing.T, m *model, seed uint64) *chaos {
	return &chaos{
		t: t, m: m, random: rand.New(rand.NewPCG(seed, 1)), counts: map[string]int{},
		bad: map[*node]time.Time{}, strangers: map[*node]*pod{}, ghosts: map[*pod]time.Time{},
	}
}

func (c *chaos) String() string { return countsText(c.counts) }

// do counts a step, and logs what it was about.
func (c *chaos) do(what string, about any, err error) {
	c.t.Helper()
	c.t.Logf("%s %s: %v", time.Now().Format(time.TimeOnly), what, about)
	if err != nil {
		c.t.Errorf("%s: %v: %v", what, about, err)
	}
	c.counts[what]++
}

// run makes steps until the time is over. Between the great disturbances there is time
// for what they have broken to come back.
func (c *chaos) run() {
	end := time.Now().Add(*duration)
	for time.Now().Before(end) && !c.t.Failed() {
		great := []func(){c.terminate, c.kill, c.killAPIServer}
		c.random.Shuffle(len(great), func(i, j int) { great[i], great[j] = great[j], great[i] })
		for _, disturb := range great {
			part := time.Now().Add(cycle / time.Duration(len(great)))
			at := time.Now().Add(c.upTo(cycle / 12))
			for time.Now().Before(part) && time.Now().Before(end) && !c.t.Failed() {
				if disturb != nil && time.Now().After(at) {
					disturb()
					disturb = nil
				}
				time.Sleep(c.upTo(stepEvery))
				c.recoverNodes(false)
				c.unreport(func(_ *pod, until time.Time) bool { return time.Now().After(until) })
				c.step()
			}
		}
	}
}

func (c *chaos) upTo(d time.Duration) time.Duration { return time.Duration(c.random.Int64N(int64(d))) }

func (c *chaos) step() {
	switch n := c.random.IntN(100); {
	case n < 30:
		c.fail()
	case n < 40:
		c.lie()
	case n < 47:
		c.changeCertificate()
	case n < 60:
		c.createPod(fmt.Sprint("new-", nextSerial()), c.anyNode())
	case n < 68:
		c.deletePod(c.anyPod())
	case n < 80: // it moves, and keeps its name
		p := c.anyPod()
		c.deletePod(p)
		c.createPod(p.name, c.anyNode())
	case n < 88:
		c.restartContainer()
	case n < 91:
		c.createNode()
	case n < 93:
		c.deleteNode()
	case n < 96:
		c.cordon()
	default:
		c.moveNode()
	}
}

func (c *chaos) anyNode() *node {
	c.m.mu.RLock()
	defer c.m.mu.RUnlock()
	all := c.m.allNodes()
	return all[c.random.IntN(len(all))]
}

func (c *chaos) anyPod() *pod {
	c.m.mu.RLock()
	defer c.m.mu.RUnlock()
	all := c.m.allPods()
	return all[c.random.IntN(len(all))]
}

// goodNode is one that works, and will not be missed: most have to be healthy.
func (c *chaos) goodNode() *node {
	n := c.anyNode()
	if _, bad := c.bad[n]; bad || 5*len(c.bad) > 2**nodeCount {
		return nil
	}
	return n
}

// spoil gives a node faults. Those that concern values can make a server drop what it
// had.
func (c *chaos) spoil(n *node, what string, values bool, faults ...kubeletsim.Fault) {
	c.m.change(func(now time.Time) {
		n.sound = time.Time{}
		if values {
			n.unsettled, n.lying = now, true
		}
	})
	c.do(what, fmt.Sprint(n.Name(), " ", faults), n.SetFaults(faults...))
	c.bad[n] = time.Now().Add(time.Second + c.upTo(longest))
}

func (c *chaos) fail() {
	n := c.goodNode()
	if n == nil {
		return
	}
	faults := []kubeletsim.Fault{
		kubeletsim.Hang(), kubeletsim.ConnectionReset(), kubeletsim.Status(http.StatusInternalServerError),
		kubeletsim.Status(http.StatusUnauthorized), kubeletsim.Slow(2 * time.Second), kubeletsim.RandomFailure(0.5, c.random.Uint64()),
		kubeletsim.HTMLBody(), kubeletsim.RandomBody(8<<10, c.random.Uint64()), kubeletsim.TruncatedBody(), kubeletsim.TruncatedConnection(),
		kubeletsim.Drip(100, 100*time.Millisecond), kubeletsim.WrongName(), kubeletsim.WrongCA(), kubeletsim.Expired(), kubeletsim.Frozen(),
	}
	c.spoil(n, "kubelet fails", false, faults[c.random.IntN(len(faults))])
}

// lie has a kubelet answer what is not so.
func (c *chaos) lie() {
	n := c.goodNode()
	if n == nil {
		return
	}
	c.m.mu.RLock()
	all := c.m.allPods()
	c.m.mu.RUnlock()
	own := slices.IndexFunc(all, func(p *pod) bool { return p.node == n })
	other := slices.IndexFunc(all, func(p *pod) bool { return p.node != n })
	if own < 0 || other < 0 {
		return
	}
	ref := kubeletsim.ContainerRef{Namespace: all[own].namespace, Pod: all[own].name, Container: all[own].containers[0].Name}
	switch c.random.IntN(6) {
	case 0:
		value := []float64{math.NaN(), math.Inf(1), -1}[c.random.IntN(3)]
		c.spoil(n, "bad values", true, kubeletsim.BadValue("container_cpu_usage_seconds_total", ref, value),
			kubeletsim.BadValue("node_memory_working_set_bytes", kubeletsim.ContainerRef{}, value))
	case 1:
		c.spoil(n, "counter reset", true, kubeletsim.CounterReset(ref))
	case 2:
		c.spoil(n, "clock a little off", true, kubeletsim.ClockSkew(c.upTo(2*maxSkew)-maxSkew))
	case 3:
		c.spoil(n, "clock far off", true, kubeletsim.ClockSkew([]time.Duration{-time.Hour, time.Hour}[c.random.IntN(2)]))
	case 4:
		c.spoil(n, "metrics missing", true, kubeletsim.MissingFamilies("container_memory_working_set_bytes"))
	default:
		c.claim(n, all[other])
	}
}

// claim has a node report another's pod, too: that may change nothing.
func (c *chaos) claim(n *node, other *pod) {
	if _, there := n.Pod(other.namespace, other.name); there || c.strangers[n] != nil {
		return
	}
	c.do("another node's pod claimed", fmt.Sprint(other.name, " by ", n.Name()), n.AddPod(kubeletsim.Pod{Namespace: other.namespace, Name: other.name, Containers: newContainers(time.Now().Add(-time.Hour))}))
	c.strangers[n] = other
}

// changeCertificate is no failure: the next one is as good.
func (c *chaos) changeCertificate() {
	n := c.goodNode()
	if n == nil {
		return
	}
	kinds := []kubeletsim.Fault{kubeletsim.SubjectOnly(), kubeletsim.NameOnly()}
	c.m.change(func(now time.Time) { n.sound = now }) // a scrape can have been cut off
	c.do("certificate changed", n.Name(), n.SetFaults(kinds[c.random.IntN(len(kinds))]))
}

// recoverNodes ends failures whose time is over, or all.
func (c *chaos) recoverNodes(all bool) {
	for n, until := range c.bad {
		if !all && time.Now().Before(until) {
			continue
		}
		c.do("kubelet recovers", n.Name(), n.SetFaults())
		c.m.change(func(now time.Time) {
			n.sound = now
			if n.lying {
				// Until then there may be samples of a clock that was ahead.
				n.unsettled, n.lying = now.Add(maxSkew), false
			}
		})
		delete(c.bad, n)
	}
}

func (c *chaos) unclaim(n *node) {
	if p := c.strangers[n]; p != nil {
		n.RemovePod(p.namespace, p.name)
		delete(c.strangers, n)
	}
}

// createPod has the API server or the kubelet know it first.
func (c *chaos) createPod(name string, n *node) {
	if s := c.strangers[n]; s != nil && s.name == name {
		c.unclaim(n)
	}
	c.unreport(func(p *pod, _ time.Time) bool { return p.node == n && p.name == name })
	app := applications[c.random.IntN(len(applications))]
	containers := newContainers(time.Time{})
	var names []string
	for _, k := range containers {
		names = append(names, k.Name)
	}
	p := &pod{namespace: namespace, name: name, app: app, node: n, containers: containers}
	key := namespace + "/" + name
	c.m.change(func(now time.Time) {
		p.born = now
		c.m.pods[key] = append(c.m.pods[key], p)
	})
	kubelet := func() error {
		return n.AddPod(kubeletsim.Pod{Namespace: namespace, Name: name, Containers: containers})
	}
	apiServer := func() error {
		return local.CreatePod(c.t.Context(), namespace, name, n.Name(), map[string]string{"app": app}, names...)
	}
	first, second := apiServer, kubelet
	if c.random.IntN(2) == 0 {
		first, second = kubelet, apiServer
	}
	err := first()
	if err == nil {
		err = second()
	}
	c.do("pod created", fmt.Sprint(name, " on ", n.Name()), err)
	c.m.change(func(now time.Time) { p.unsettled = now })
}

// deletePod has the kubelet report it for longer than it may be served, or not.
func (c *chaos) deletePod(p *pod) {
	c.m.change(func(now time.Time) { p.gone = now })
	if c.random.IntN(2) == 0 {
		c.ghosts[p] = time.Now().Add(stale + c.upTo(2*resolution))
	} else {
		p.node.RemovePod(p.namespace, p.name)
	}
	c.do("pod deleted", fmt.Sprint(p.name, " on ", p.node.Name()), local.Client().CoreV1().Pods(p.namespace).Delete(c.t.Context(), p.name, metav1.DeleteOptions{}))
}

// unreport has kubelets forget some of the pods that are deleted.
func (c *chaos) unreport(which func(p *pod, until time.Time) bool) {
	for p, until := range c.ghosts {
		if which(p, until) {
			p.node.RemovePod(p.namespace, p.name)
			delete(c.ghosts, p)
		}
	}
}

func (c *chaos) restartContainer() {
	p := c.anyPod()
	c.m.change(func(now time.Time) { p.unsettled = now })
	c.do("container restarted", p.name, p.node.RestartContainer(p.namespace, p.name, p.containers[0].Name, time.Now()))
	c.m.change(func(now time.Time) { p.unsettled = now })
}

func (c *chaos) createNode() {
	k, err := local.Kubelets.AddNode(fmt.Sprint("new-", nextSerial()))
	if err != nil {
		c.t.Error(err)
		return
	}
	n := &node{Node: k}
	c.m.change(func(now time.Time) {
		n.born, n.sound = now, now
		c.m.nodes[k.Name()] = []*node{n}
	})
	c.do("node created", k.Name(), local.CreateNode(c.t.Context(), k.Name(), k.Address(), int32(local.Kubelets.Port()), nil))
	for range podsPerNode {
		c.createPod(fmt.Sprint("new-", nextSerial()), n)
	}
}

// deleteNode deletes one that has joined.
func (c *chaos) deleteNode() {
	c.m.mu.RLock()
	all := c.m.allNodes()
	c.m.mu.RUnlock()
	if len(all) <= *nodeCount {
		return
	}
	n := all[c.random.IntN(len(all))]
	c.m.change(func(now time.Time) { n.gone = now })
	delete(c.bad, n)
	delete(c.strangers, n)
	c.do("node deleted", n.Name(), local.Client().CoreV1().Nodes().Delete(c.t.Context(), n.Name(), metav1.DeleteOptions{}))
	for _, p := range c.podsOf(n) {
		c.deletePod(p)
	}
	local.Kubelets.RemoveNode(n.Name())
}

func (c *chaos) podsOf(n *node) (own []*pod) {
	c.m.mu.RLock()
	defer c.m.mu.RUnlock()
	for _, p := range c.m.allPods() {
		if p.node == n {
			own = append(own, p)
		}
	}
	return own
}

func (c *chaos) cordon() {
	n := c.anyNode()
	n.cordoned = !n.cordoned
	patch := fmt.Sprintf(`{"spec":{"unschedulable":%v}}`, n.cordoned)
	_, err := local.Client().CoreV1().Nodes().Patch(c.t.Context(), n.Name(), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	c.do("node cordoned or not", n.Name(), err)
}

// moveNode has a node come back from a reboot with another address: all its containers
// have started anew.
func (c *chaos) moveNode() {
	n := c.goodNode()
	if n == nil {
		return
	}
	own := c.podsOf(n)
	c.m.change(func(now time.Time) {
		n.sound, n.unsettled = time.Time{}, now
		for _, p := range own {
			p.unsettled = now
		}
	})
	c.unclaim(n)
	c.unreport(func(p *pod, _ time.Time) bool { return p.node == n })
	local.Kubelets.RemoveNode(n.Name())
	k, err := local.Kubelets.AddNode(n.Name())
	for i := 0; err == nil && i < len(own); i++ {
		err = k.AddPod(kubeletsim.Pod{Namespace: own[i].namespace, Name: own[i].name, Containers: own[i].again()})
	}
	if err != nil {
		c.t.Error(err)
		return
	}
	c.m.change(func(time.Time) { n.Node = k })
	api, err := local.Client().CoreV1().Nodes().Get(c.t.Context(), n.Name(), metav1.GetOptions{})
	if err == nil {
		for i := range api.Status.Addresses {
			if api.Status.Addresses[i].Type == corev1.NodeInternalIP {
				api.Status.Addresses[i].Address = k.Address()
			}
		}
		_, err = local.Client().CoreV1().Nodes().UpdateStatus(c.t.Context(), api, metav1.UpdateOptions{})
	}
	c.do("node has another address", n.Name(), err)
	c.m.change(func(now time.Time) {
		n.sound, n.unsettled = now, now
		for _, p := range own {
			p.unsettled = now
		}
	})
}

// again are the containers of a pod that start now.
func (p *pod) again() []kubeletsim.Container {
	all := slices.Clone(p.containers)
	for i := range all {
		all[i].Start = time.Time{}
	}
	return all
}

// terminate has the server end as in a rollout, and start again.
func (c *chaos) terminate() {
	c.restart("server terminated", func() error {
		if err := local.Server.Stop(); err != nil {
			return err
		}
		return local.Server.Wait()
	})
}

func (c *chaos) kill() {
	c.restart("server killed", local.Server.Kill)
}

func (c *chaos) restart(what string, end func() error) {
	c.m.change(func(now time.Time) { c.m.serverUp, c.m.ended = time.Time{}, now })
	c.do(what, "", end())
	c.m.change(func(now time.Time) {
		c.m.ended = now
		c.m.run++
		record.Forget()
	})
	time.Sleep(c.upTo(2 * time.Second))
	err := local.StartServer()
	c.do("server started", "", err)
	c.m.change(func(now time.Time) { c.m.serverUp = now })
}

// killAPIServer lets the server go on for a while with what it knows.
func (c *chaos) killAPIServer() {
	c.m.change(func(now time.Time) { c.m.apiUp, c.m.ended = time.Time{}, now })
	c.do("API server killed", "", local.StopAPIServer())
	c.m.change(func(now time.Time) { c.m.ended = now })
	time.Sleep(c.upTo(resolution))
	c.do("API server started", "", local.StartAPIServer(c.t.Context()))
	c.m.change(func(now time.Time) { c.m.apiUp = now })
}

// calm ends all that has begun.
func (c *chaos) calm() {
	c.recoverNodes(true)
	c.unreport(func(*pod, time.Time) bool { return true })
	for n := range c.strangers {
		c.unclaim(n)
	}
}
