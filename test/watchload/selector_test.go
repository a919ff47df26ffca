// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

func TestPath(t *testing.T) {
	for name, test := range map[string]struct {
		selector Selector
		watch    bool
		want     string
	}{
		"all pods":           {Selector{}, true, "/apis/metrics.k8s.io/v1/pods?watch=true"},
		"a list":             {Selector{}, false, "/apis/metrics.k8s.io/v1/pods?"},
		"of a namespace":     {Selector{Namespace: "shop"}, true, "/apis/metrics.k8s.io/v1/namespaces/shop/pods?watch=true"},
		"by label":           {Selector{Labels: "app=web"}, true, "/apis/metrics.k8s.io/v1/pods?labelSelector=app%3Dweb&watch=true"},
		"by field":           {Selector{Fields: "spec.nodeName=n"}, true, "/apis/metrics.k8s.io/v1/pods?fieldSelector=spec.nodeName%3Dn&watch=true"},
		"one pod":            {byName(types.NamespacedName{Namespace: "a", Name: "b"}), false, "/apis/metrics.k8s.io/v1/namespaces/a/pods?fieldSelector=metadata.name%3Db"},
		"a label's presence": {AbsentLabels(1)[0], true, "/apis/metrics.k8s.io/v1/pods?labelSelector=absent-0&watch=true"},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.selector.path(test.watch)
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if u, err := url.Parse(got); err != nil || u.Path == "" {
				t.Errorf("%v %v", u, err)
			}
		})
	}
}

func scene(teams, nodes, pods int) Scene {
	s := Scene{Teams: teams, Nodes: nodes}
	for i := range pods {
		s.Pods = append(s.Pods, types.NamespacedName{Namespace: "shop", Name: fmt.Sprint("pod-", i)})
	}
	return s
}

func numbers(selectors []Selector) map[Kind]int {
	n := map[Kind]int{}
	for _, s := range selectors {
		n[s.Kind]++
	}
	return n
}

func TestMatching(t *testing.T) {
	for name, test := range map[string]struct {
		scene                                Scene
		watchers                             int
		byLabel, byNamespace, byNode, byName int
	}{
		"a quarter each":    {scene(25, 50, 100), 100, 25, 25, 25, 25},
		"a part of a round": {scene(3, 3, 30), 10, 3, 3, 2, 2},
		"few nodes":         {scene(25, 5, 100), 100, 25, 25, 5, 45},
		"names only":        {scene(0, 0, 7), 7, 0, 0, 0, 7},
	} {
		t.Run(name, func(t *testing.T) {
			selectors, err := test.scene.Matching(test.watchers)
			if err != nil {
				t.Fatal(err)
			}
			distinct := map[string]bool{}
			for _, s := range selectors {
				distinct[s.path(true)] = true
			}
			if len(selectors) != test.watchers || len(distinct) != test.watchers {
				t.Errorf("%d selectors, %d distinct, want %d", len(selectors), len(distinct), test.watchers)
			}
			n := numbers(selectors)
			if n[ByLabel] != test.byLabel || n[ByNamespace] != test.byNamespace || n[ByNode] != test.byNode || n[ByName] != test.byName {
				t.Errorf("%v, want %+v", n, test)
			}
		})
	}
	if _, err := scene(1, 1, 1).Matching(5); err == nil {
		t.Error("more watchers than things to ask for: no error")
	}
}

func TestAbsentSelectors(t *testing.T) {
	matching, err := scene(25, 25, 25).Matching(100)
	if err != nil {
		t.Fatal(err)
	}
	distinct := map[string]bool{}
	for _, s := range slices.Concat(matching, Absent(100), AbsentLabels(100), AbsentOfPopular(100)) {
		distinct[s.path(true)] = true
		if _, err := labels.Parse(s.Labels); err != nil {
			t.Error(err)
		}
	}
	if len(distinct) != 400 {
		t.Errorf("%d distinct selectors, want 400", len(distinct))
	}
	for kind, n := range numbers(Absent(100)) {
		if n != 25 {
			t.Errorf("%d by %s, want 25", n, kind)
		}
	}
}

func TestTeams(t *testing.T) {
	for _, test := range []struct{ watchers, pods, teams, each int }{
		{1000, 150_000, 250, 30},
		{1000, 15_000, 250, 30},
		{100, 1500, 25, 30},
		{10, 30, 3, 5},
		{1, 2, 1, 1},
	} {
		if teams, each := Teams(test.watchers, test.pods); teams != test.teams || each != test.each {
			t.Errorf("%d watchers, %d pods: %d teams of %d, want %d of %d", test.watchers, test.pods, teams, each, test.teams, test.each)
		}
	}
}

func TestTeamPods(t *testing.T) {
	const nodes, teams, each = 4, 3, 5
	labelled, placed := map[string]int{}, map[string]int{}
	for pod := range teamPods(nodes, teams, each) {
		labelled[pod.Namespace+"/"+pod.Labels["app"]]++
		placed[pod.Spec.NodeName]++
	}
	if len(labelled) != teams || len(placed) != nodes {
		t.Errorf("%v on %v", labelled, placed)
	}
	for i := range teams {
		if key := teamNamespace(i) + "/" + teamLabel(i); labelled[key] != each {
			t.Errorf("%d of %s, want %d", labelled[key], key, each)
		}
	}
}
