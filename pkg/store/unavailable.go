// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"time"
)

// Reason is why a node or pod is not served.
type Reason string

const (
	// NotListed: the API server does not list it (a pod: not as Running).
	NotListed Reason = "not_listed"
	// NotScraped: no kubelet has reported it yet.
	NotScraped Reason = "not_scraped"
	// Incomplete: CPU or memory is missing in the newest answer.
	Incomplete Reason = "incomplete"
	// NoWindow: there is one point only, so that there is no rate yet.
	NoWindow Reason = "no_window"
	// Stale: the newest point is older than the maximum age.
	Stale Reason = "stale"
	// NoneRunning: none of the pod's containers runs.
	NoneRunning Reason = "none_running"
)

// WithheldReasons are the reasons for which something listed is not served.
func WithheldReasons() []Reason {
	return []Reason{NotScraped, Incomplete, NoWindow, Stale, NoneRunning}
}

// Unavailable is the error for a node or pod that is not served.
type Unavailable struct {
	Reason  Reason
	Message string // a clause that explains the reason to a person
}

func (u *Unavailable) Error() string { return u.Message }

// withholding is what explain needs to know, copied so that no lock is held.
type withholding struct {
	reason    Reason
	container string // of a pod, "" if the pod as a whole or a node is meant
	last      int64  // time of the last point, Unix nanoseconds
	node      *node  // nil if the node where the pod runs does not report it
	runsOn    string // name of that node
}

// withholding returns why the pod is not served. The shard's lock is held.
func (p *pod) withholding(e epoch) withholding {
	r, reason := p.withheldNow(e)
	w := withholding{reason: reason}
	if p.listed {
		w.runsOn = p.runsOn.Value()
	}
	if r == nil {
		return w
	}
	w.node = r.node
	for i := range r.containers {
		c := &r.containers[i]
		if c.state == notRunning {
			continue
		}
		found := c.withheld(e) == reason
		if found || w.container == "" { // none may be found for Stale: see withheldNow
			w.container, w.last = c.name.Value(), c.last.time
		}
		if found {
			break
		}
	}
	return w
}

// explainPod says in a clause why a pod is withheld. No lock is held.
func (s *Store) explainPod(w withholding, e epoch) string {
	switch w.reason {
	case NotListed:
		return "no such pod is running"
	case NoneRunning:
		return fmt.Sprintf("none of its containers on node %q is running", w.node.name)
	case NotScraped:
		n := s.node(w.runsOn)
		if n == nil {
			return fmt.Sprintf("it runs on node %q, which is not scraped: it is gone, or the server's --node-selector leaves it out", w.runsOn)
		}
		return fmt.Sprintf("node %q has not reported it yet", n.name) + n.explainFailure()
	}
	return fmt.Sprintf("container %q on node %q: ", w.container, w.node.name) + explain(w.reason, w.last, e) + w.node.explainFailure()
}

// explain says in a clause why a usage with its last point at a time, in Unix
// nanoseconds, is withheld.
func explain(reason Reason, last int64, e epoch) string {
	switch reason {
	case Incomplete:
		return "the kubelet's newest answer lacks its CPU or memory"
	case NoWindow:
		return "there is one sample so far, and usage needs two"
	case Stale:
		return fmt.Sprintf("its last sample is of %s, and samples are served for %s (--metric-max-age)",
			time.Unix(0, last).UTC().Format(time.RFC3339), time.Duration(e.maxAge))
	}
	return "not scraped yet"
}

// explainFailure adds why the node's newest scrape failed, if it did.
func (n *node) explainFailure() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failureClause()
}

// failureClause is explainFailure with the lock held.
func (n *node) failureClause() string {
	if n.failure == nil {
		return ""
	}
	return fmt.Sprintf("; the last scrape failed: %v", n.failure)
}
