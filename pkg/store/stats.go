// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

// Stats counts what the store holds.
type Stats struct {
	// NodePoints and ContainerPoints count the nodes and containers with at
	// least one point.
	NodePoints, ContainerPoints int
	// NodesServed and PodsServed can be read from the API now.
	NodesServed, PodsServed int
	// NodesWithheld and PodsWithheld are listed by the API server, but cannot be
	// served now.
	NodesWithheld, PodsWithheld map[Reason]int
}

// Stats walks the whole store, one shard's lock at a time.
func (s *Store) Stats() Stats {
	stats := Stats{NodesWithheld: map[Reason]int{}, PodsWithheld: map[Reason]int{}}
	e := s.epoch()
	for _, n := range s.allNodes() {
		n.mu.Lock()
		if n.usage.last.time != 0 {
			stats.NodePoints++
		}
		if reason := n.withheld(e); reason == "" {
			stats.NodesServed++
		} else {
			stats.NodesWithheld[reason]++
		}
		n.mu.Unlock()
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		for _, p := range sh.pods {
			stats.ContainerPoints += p.points()
			if !p.listed {
				continue
			}
			if _, reason := p.serve(e); reason == "" {
				stats.PodsServed++
			} else {
				stats.PodsWithheld[reason]++
			}
		}
		sh.mu.RUnlock()
	}
	return stats
}

func (p *pod) points() int {
	n := 0
	for r := p.reports; r != nil; r = r.next {
		for i := range r.containers {
			if r.containers[i].last.time != 0 {
				n++
			}
		}
	}
	return n
}

// Ready tells whether there is anything to serve.
func (s *Store) Ready() bool {
	e := s.epoch()
	for _, n := range s.allNodes() {
		n.mu.Lock()
		reason := n.withheld(e)
		n.mu.Unlock()
		if reason == "" {
			return true
		}
	}
	return false
}
