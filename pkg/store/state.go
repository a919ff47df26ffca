// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"
	"time"
	"unique"
)

// State is what is served and what is withheld at a time.
type State struct {
	Nodes []NodeState // ordered by name
	// PodsServed can be read from the API, PodsWithheld are listed by the API server
	// and cannot.
	PodsServed   int
	PodsWithheld map[Reason]int
	// Withheld are those of PodsWithheld that were asked for, Selected of them in all.
	Withheld []WithheldPod
	Selected int
	// Ages counts the pods that are served by the age of their sample: Ages[i] are
	// those up to the i-th bound and over the one before, the last those over all.
	Ages []int
	// Oldest is the greatest of these ages, 0 if nothing is served.
	Oldest time.Duration
}

// NodeState is whether a node's usage is served.
type NodeState struct {
	Name string
	// Sample is the time of the last point, zero if there is none.
	Sample time.Time
	// Reason is why the node is withheld, with a clause that explains it to a person;
	// "" if it is served.
	Reason      Reason
	Explanation string
	// PodsServed and PodsWithheld run there according to the API server.
	PodsServed, PodsWithheld int
}

// WithheldPod is a pod that runs according to the API server, and is not served.
type WithheldPod struct {
	Key
	Node        string // where it runs
	Reason      Reason
	Explanation string // a clause that explains the reason to a person
}

// StateQuery says what State is to tell beside totals.
type StateQuery struct {
	// Pods are the withheld pods that are wanted. nil is all.
	Pods func(k Key, node string, r Reason) bool
	// Limit is how many of them are explained, in the order of namespace and name.
	Limit int
	// Ages are the bounds of State.Ages, ascending.
	Ages []time.Duration
}

// State walks the whole store, one object's lock at a time.
func (s *Store) State(q StateQuery) State {
	s.Expire()
	e := s.epoch()
	state := State{PodsWithheld: map[Reason]int{}, Ages: make([]int, len(q.Ages)+1)}
	on := s.podStates(&state, q, e)
	for _, n := range s.allNodes() {
		state.Nodes = append(state.Nodes, n.state(on[n.name], e))
	}
	return state
}

// podCount is how many pods of a node are served and not.
type podCount struct{ served, withheld int }

// podStates fills in what is told of pods, and counts them by node.
func (s *Store) podStates(state *State, q StateQuery, e epoch) map[string]podCount {
	counts := map[unique.Handle[string]]*podCount{}
	var listed []*pod
	var why []withholding
	for p := range s.catalog.walk("", Key{}) {
		p.shard.mu.RLock()
		if !p.listed {
			p.shard.mu.RUnlock()
			continue
		}
		runsOn, served := p.runsOn, p.from != nil
		var age time.Duration
		var w withholding
		if served {
			age = time.Duration(e.now - p.from.earliest())
		} else {
			w = p.withholding(e)
		}
		p.shard.mu.RUnlock()

		count := counts[runsOn]
		if count == nil {
			count = new(podCount)
			counts[runsOn] = count
		}
		if served {
			count.served++
			state.PodsServed++
			state.Oldest = max(state.Oldest, age)
			state.Ages[bucketOf(q.Ages, age)]++
			continue
		}
		count.withheld++
		state.PodsWithheld[w.reason]++
		if q.Pods != nil && !q.Pods(p.key(), w.runsOn, w.reason) {
			continue
		}
		if state.Selected++; len(listed) < q.Limit {
			listed, why = append(listed, p), append(why, w)
		}
	}
	for i, p := range listed {
		state.Withheld = append(state.Withheld, WithheldPod{p.key(), why[i].runsOn, why[i].reason, s.explainPod(why[i], e)})
	}
	on := make(map[string]podCount, len(counts))
	for node, count := range counts {
		on[node.Value()] = *count
	}
	return on
}

func (n *node) state(pods podCount, e epoch) NodeState {
	n.mu.Lock()
	defer n.mu.Unlock()
	state := NodeState{Name: n.name, PodsServed: pods.served, PodsWithheld: pods.withheld}
	if n.usage.last.time != 0 {
		state.Sample = n.usage.timestamp()
	}
	if !n.public {
		state.Reason = n.withheldNow(e)
		state.Explanation = explain(state.Reason, n.usage.last.time, e)
	}
	return state
}

// bucketOf returns the index of the first bound that is not exceeded.
func bucketOf(bounds []time.Duration, d time.Duration) int {
	i, _ := slices.BinarySearch(bounds, d)
	return i
}
