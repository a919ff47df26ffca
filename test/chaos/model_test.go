// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

const (
	// recovery is how long it may take, at most, until what works is served: an
	// interval, three scrapes of a warm-up, and the slowness of a machine that does
	// much else.
	recovery = resolution + 11*time.Second + 14*time.Second
	// relist is how long it may take, besides, until the server asks an API server that
	// has returned.
	relist = 12 * time.Second
	// stale is how long what the server has been told is gone may be served.
	stale = 10 * time.Second
	// freshness is how old a sample of a healthy node may be.
	freshness = 2*resolution + 15*time.Second
	// margin is for clocks and requests that cross.
	margin = 3 * time.Second
	// maxProblems are printed: the rest tells no more.
	maxProblems = 20
)

// node is one that the API has or had.
type node struct {
	*kubeletsim.Node
	born, gone time.Time
	// sound is since when it works, zero while it does not.
	sound time.Time
	// unsettled is when its samples were last such that a server may drop what it had.
	unsettled time.Time
	// lying is that they are such now.
	lying    bool
	cordoned bool
	seen
}

// pod is one that the API has or had: another one of the same name has another UID.
type pod struct {
	namespace, name, app string
	node                 *node
	containers           []kubeletsim.Container
	born, gone           time.Time
	unsettled            time.Time
	seen
}

// seen is that something was served, from a sample since it was last unsettled, by
// which run of the server.
type seen struct {
	at  time.Time
	run int
}

// model knows what there is, and what has to be served.
type model struct {
	t *testing.T

	mu    sync.RWMutex
	nodes map[string][]*node // by name, the newest last
	pods  map[string][]*pod  // by namespace/name, likewise
	// run counts the starts of the server.
	run int
	// serverUp and apiUp are since when they are, zero while they are not. ended is
	// when the one or the other has last ended.
	serverUp, apiUp, ended time.Time

	problems []string
	counts   map[string]int
}

func newModel(t *testing.T) *model {
	now := time.Now()
	m := &model{t: t, nodes: map[string][]*node{}, pods: map[string][]*pod{}, serverUp: now, apiUp: now, counts: map[string]int{}}
	for i := range *nodeCount {
		k, ok := local.Kubelets.Node(fmt.Sprint("node-", i))
		if !ok {
			t.Fatalf("there is no node-%d", i)
		}
		m.nodes[k.Name()] = []*node{{Node: k, born: now, sound: now}}
	}
	for _, w := range local.Workload {
		m.pods[w.Namespace+"/"+w.Name] = []*pod{{
			namespace: w.Namespace, name: w.Name, app: w.Labels["app"], node: m.nodes[w.Node.Name()][0], containers: w.Containers, born: now,
		}}
	}
	return m
}

// change is for whoever changes what there is.
func (m *model) change(f func(now time.Time)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(time.Now())
}

// there is the newest of some, if it is not gone.
func thereNode(all []*node) *node {
	if n := all[len(all)-1]; n.gone.IsZero() {
		return n
	}
	return nil
}

func therePod(all []*pod) *pod {
	if p := all[len(all)-1]; p.gone.IsZero() {
		return p
	}
	return nil
}

// allNodes and allPods are those that there are, sorted. The caller may hold the lock.
func (m *model) allNodes() (all []*node) {
	for _, name := range slices.Sorted(maps.Keys(m.nodes)) {
		if n := thereNode(m.nodes[name]); n != nil {
			all = append(all, n)
		}
	}
	return all
}

func (m *model) allPods() (all []*pod) {
	for _, key := range slices.Sorted(maps.Keys(m.pods)) {
		if p := therePod(m.pods[key]); p != nil {
			all = append(all, p)
		}
	}
	return all
}

// checkPod holds what was served between two times against the samples.
func (m *model) checkPod(o *metrics.PodMetrics, from, to time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts["pod values"]++
	key := o.Namespace + "/" + o.Name
	var problem error
	for _, p := range slices.Backward(m.pods[key]) {
		if p.born.After(to) || !m.mayServe(p.gone, from) {
			continue
		}
		err := record.CheckPod(p.node.Name(), o)
		if err == nil {
			m.checkAge(key, o.Timestamp.Time, from, p.node, p.born, p.unsettled)
			if p.gone.IsZero() && !p.node.lying && o.Timestamp.After(latest(p.unsettled, p.node.unsettled)) {
				p.seen = seen{to, m.run}
			}
			return
		}
		problem = errors.Join(problem, err)
	}
	if problem == nil {
		problem = fmt.Errorf("there is no such pod, or not any more: %s", m.life(key))
	}
	m.problem("%s is served: %v", key, problem)
}

// checkNode is like checkPod.
func (m *model) checkNode(o *metrics.NodeMetrics, from, to time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts["node values"]++
	for _, n := range slices.Backward(m.nodes[o.Name]) {
		if n.born.After(to) || !m.mayServe(n.gone, from) {
			continue
		}
		if err := record.CheckNode(o); err != nil {
			m.problem("node %s is served: %v", o.Name, err)
			return
		}
		m.checkAge("node "+o.Name, o.Timestamp.Time, from, n, n.born, n.unsettled)
		if n.gone.IsZero() && !n.lying && o.Timestamp.After(n.unsettled) {
			n.seen = seen{to, m.run}
		}
		return
	}
	m.problem("node %s is served, and there is none, or not any more", o.Name)
}

// mayServe tells whether the server may not have heard yet that something is gone.
func (m *model) mayServe(gone, at time.Time) bool {
	return gone.IsZero() || m.apiUp.IsZero() || at.Sub(latest(gone, m.apiUp.Add(relist))) < stale
}

// checkAge demands news of a healthy node, and nothing older than what is kept.
func (m *model) checkAge(what string, sample, at time.Time, n *node, changed ...time.Time) {
	age := at.Sub(sample)
	if age > maxAge+margin || age < -maxAge-margin {
		m.problem("%s: the sample is %s old", what, age)
	}
	if m.healthy(n, at, changed...) && age > freshness {
		m.problem("%s: the sample is %s old, of a node that is healthy since %s", what, age, n.sound.Format(time.TimeOnly))
	}
}

// healthy tells whether all has worked for so long that there is no excuse.
func (m *model) healthy(n *node, at time.Time, changed ...time.Time) bool {
	since := at.Add(-recovery)
	for _, t := range append(changed, n.born, n.unsettled, m.serverUp, m.apiUp.Add(relist)) {
		if t.After(since) {
			return false
		}
	}
	return n.gone.IsZero() && !n.sound.IsZero() && !n.sound.After(since) && !m.serverUp.IsZero() && !m.apiUp.IsZero()
}

// kept tells whether something was served before, and its last sample is not so old
// that it may be gone, nor so long after the one before that this had gone already.
func (m *model) kept(s seen, last, before, unsettled, from, to time.Time) bool {
	return s.run == m.run && !s.at.IsZero() && s.at.Before(from) && s.at.After(unsettled) &&
		!m.serverUp.IsZero() && to.Sub(last) < maxAge-margin && last.Sub(before) < maxAge-margin
}

// missing returns why a pod has to be served that was not, or nothing.
func (m *model) missing(p *pod, from, to time.Time) string {
	last, before := record.Last(p.node.Name(), p.namespace, p.name)
	switch {
	case !p.gone.IsZero() || !p.node.gone.IsZero():
		return ""
	case m.healthy(p.node, from, p.born, p.unsettled):
		return fmt.Sprintf("its node is healthy since %s", p.node.sound.Format(time.TimeOnly))
	case m.kept(p.seen, last, before, latest(p.unsettled, p.node.unsettled), from, to):
		return fmt.Sprintf("it was at %s, and its sample is not too old", p.at.Format(time.TimeOnly))
	}
	return ""
}

func (m *model) missingNode(n *node, from, to time.Time) string {
	last, before := record.LastOfNode(n.Name())
	switch {
	case !n.gone.IsZero():
		return ""
	case m.healthy(n, from):
		return fmt.Sprintf("it is healthy since %s", n.sound.Format(time.TimeOnly))
	case m.kept(n.seen, last, before, n.unsettled, from, to):
		return fmt.Sprintf("it was at %s, and its sample is not too old", n.at.Format(time.TimeOnly))
	}
	return ""
}

// checkAllPods is for a list of those that wanted selects.
func (m *model) checkAllPods(list []metrics.PodMetrics, wanted func(*pod) bool, from, to time.Time) {
	served := map[string]bool{}
	for i := range list {
		key := list[i].Namespace + "/" + list[i].Name
		if served[key] {
			m.change(func(time.Time) { m.problem("%s is twice in a list", key) })
		}
		served[key] = true
		m.checkPod(&list[i], from, to)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.allPods() {
		key := p.namespace + "/" + p.name
		if !wanted(p) || served[key] {
			continue
		}
		if why := m.missing(p, from, to); why != "" {
			m.problem("%s is not in a list of %s: %s; %s", key, from.Format(time.TimeOnly), why, m.life(key))
		}
	}
}

func (m *model) checkAllNodes(list []metrics.NodeMetrics, from, to time.Time) {
	served := map[string]bool{}
	for i := range list {
		served[list[i].Name] = true
		m.checkNode(&list[i], from, to)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.allNodes() {
		if served[n.Name()] {
			continue
		}
		if why := m.missingNode(n, from, to); why != "" {
			m.problem("node %s is not in a list of %s: %s", n.Name(), from.Format(time.TimeOnly), why)
		}
	}
}

// failed notes a request without an answer: it has an excuse while the server or the
// API server is away, and until the aggregation layer has noticed their return.
func (m *model) failed(what string, direct bool, from time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts["requests that failed"]++
	returned := m.serverUp
	if !direct {
		returned = latest(m.serverUp, m.apiUp)
		if m.apiUp.IsZero() {
			return
		}
	}
	if m.serverUp.IsZero() || from.Sub(returned) < recovery || m.ended.After(from) {
		return
	}
	m.problem("%s failed: %v", what, err)
}

// life tells what has happened to a pod's name.
func (m *model) life(key string) string {
	var all []string
	for _, p := range m.pods[key] {
		text := fmt.Sprintf("on %s since %s", p.node.Name(), p.born.Format(time.TimeOnly))
		if !p.gone.IsZero() {
			text += " until " + p.gone.Format(time.TimeOnly)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// problem notes what must not be. The lock is held.
func (m *model) problem(format string, args ...any) {
	text := time.Now().Format(time.TimeOnly) + " " + fmt.Sprintf(format, args...)
	if m.counts["problems"]++; len(m.problems) < maxProblems {
		m.problems = append(m.problems, text)
		m.t.Error(text)
	}
}

func (m *model) count(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[what]++
}

// waitWhole waits until all is served that there is, now that all works.
func (m *model) waitWhole(t *testing.T, r *reader) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		pods, nodes, err := r.all()
		if err != nil {
			return err
		}
		m.mu.RLock()
		defer m.mu.RUnlock()
		if want, there := len(m.allPods()), len(m.allNodes()); len(pods) != want || len(nodes) != there {
			return fmt.Errorf("%d of %d pods and %d of %d nodes are served", len(pods), want, len(nodes), there)
		}
		return nil
	})
}

// requireAll fails the test if something has not been read at all.
func (m *model) requireAll(t *testing.T) {
	t.Helper()
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, what := range []string{"pod values", "node values", "lists", "lists by label", "gets", "watches that led to the list", "events"} {
		if m.counts[what] == 0 {
			t.Errorf("there were no %s", what)
		}
	}
}

func (m *model) String() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return countsText(m.counts)
}

func countsText(counts map[string]int) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%s %d", k, counts[k]))
	}
	return strings.Join(all, ", ")
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
