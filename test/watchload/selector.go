// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"fmt"
	"net/url"

	"k8s.io/apimachinery/pkg/types"
)

// Kind is what a selector goes by.
type Kind string

// The kinds of selectors.
const (
	ByLabel     Kind = "label"
	ByNamespace Kind = "namespace"
	ByNode      Kind = "node"
	ByName      Kind = "name"
	// ByPresence asks that pods have a label, whatever its value.
	ByPresence Kind = "a label's presence"
	// ByPopular asks for a label that many pods have, and for the presence of
	// another.
	ByPopular Kind = "a popular label and another's presence"
)

// kinds in the order in which they are printed.
var kinds = []Kind{ByLabel, ByNamespace, ByNode, ByName, ByPresence, ByPopular}

// Selector is what a watch of pods asks for. The zero value is all pods.
type Selector struct {
	Kind           Kind
	Namespace      string
	Labels, Fields string
}

// path of a list, or of a watch, of the pods that match.
func (s Selector) path(watch bool) string {
	path := "/apis/metrics.k8s.io/v1/"
	if s.Namespace != "" {
		path += "namespaces/" + s.Namespace + "/"
	}
	query := url.Values{}
	if watch {
		query.Set("watch", "true")
	}
	if s.Labels != "" {
		query.Set("labelSelector", s.Labels)
	}
	if s.Fields != "" {
		query.Set("fieldSelector", s.Fields)
	}
	return path + "pods?" + query.Encode()
}

// Scene is what there is to ask for.
type Scene struct {
	// Teams have a namespace and a label each, which their pods have and no others.
	Teams int
	// Nodes are named node-0 and up.
	Nodes int
	// Pods that can be asked for by name.
	Pods []types.NamespacedName
}

func teamNamespace(i int) string { return fmt.Sprintf("team-%d", i) }
func teamLabel(i int) string     { return fmt.Sprintf("service-%d", i) }

// Matching returns distinct selectors that few pods match each: of every kind the
// same number, as far as there are things to ask for.
func (s Scene) Matching(n int) ([]Selector, error) {
	var all []Selector
	for i := 0; len(all) < n; i++ {
		before := len(all)
		if i < s.Teams {
			all = append(all,
				Selector{Kind: ByLabel, Labels: "app=" + teamLabel(i)},
				Selector{Kind: ByNamespace, Namespace: teamNamespace(i)})
		}
		if i < s.Nodes {
			all = append(all, Selector{Kind: ByNode, Fields: fmt.Sprintf("spec.nodeName=node-%d", i)})
		}
		if i < len(s.Pods) {
			all = append(all, byName(s.Pods[i]))
		}
		if len(all) == before {
			return nil, fmt.Errorf("%d watchers cannot all ask for something else: there are %d teams, %d nodes and %d pods",
				n, s.Teams, s.Nodes, len(s.Pods))
		}
	}
	return all[:n], nil
}

func byName(pod types.NamespacedName) Selector {
	return Selector{Kind: ByName, Namespace: pod.Namespace, Fields: "metadata.name=" + pod.Name}
}

// Absent returns distinct selectors of the same kinds that nothing matches.
func Absent(n int) []Selector {
	all := make([]Selector, n)
	for i := range all {
		name := fmt.Sprintf("absent-%d", i)
		switch i % 4 {
		case 0:
			all[i] = Selector{Kind: ByLabel, Labels: "app=" + name}
		case 1:
			all[i] = Selector{Kind: ByNamespace, Namespace: name}
		case 2:
			all[i] = Selector{Kind: ByNode, Fields: "spec.nodeName=" + name}
		case 3:
			all[i] = byName(types.NamespacedName{Namespace: "checkout", Name: name})
		}
	}
	return all
}

// AbsentLabels returns distinct selectors that nothing matches and that name no
// value by which a server could find them.
func AbsentLabels(n int) []Selector {
	all := make([]Selector, n)
	for i := range all {
		all[i] = Selector{Kind: ByPresence, Labels: fmt.Sprintf("absent-%d", i)}
	}
	return all
}

// popular labels are those of the local cluster's own pods.
var popular = []string{"web", "cart", "index", "query", "ledger", "agent"}

// AbsentOfPopular returns distinct selectors that nothing matches, though many pods
// match the half of each that names a value.
func AbsentOfPopular(n int) []Selector {
	all := make([]Selector, n)
	for i := range all {
		all[i] = Selector{Kind: ByPopular, Labels: fmt.Sprintf("app=%s,absent-%d", popular[i%len(popular)], i)}
	}
	return all
}
