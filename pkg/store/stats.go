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

// Stats walks the whole store, one object's lock at a time.
func (s *Store) Stats() Stats {
	s.Expire()
	stats := Stats{NodesWithheld: map[Reason]int{}, PodsWithheld: map[Reason]int{}}
	e := s.epoch()
	for _, n := range s.allNodes() {
		n.mu.Lock()
		if n.usage.last.time != 0 {
			stats.NodePoints++
		}
		if n.public {
			stats.NodesServed++
		} else {
			stats.NodesWithheld[n.withheldNow(e)]++
		}
		n.mu.Unlock()
	}
	for p := range s.catalog.walk("", Key{}) {
		p.shard.mu.RLock()
		stats.ContainerPoints += p.points()
		if p.from != nil {
			stats.PodsServed++
		} else if p.listed {
			_, reason := p.withheldNow(e)
			stats.PodsWithheld[reason]++
		}
		p.shard.mu.RUnlock()
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
	s.Expire()
	for _, n := range s.allNodes() {
		n.mu.Lock()
		public := n.public
		n.mu.Unlock()
		if public {
			return true
		}
	}
	return false
}
