// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

// podsOfTeam is how many pods a team has, as a workload of a common size.
const podsOfTeam = 30

// Teams says how many teams n watchers ask for, and with how many pods each: no
// more than half of all.
func Teams(n, pods int) (teams, each int) {
	teams = (n + 3) / 4
	return teams, max(1, min(podsOfTeam, pods/2/teams))
}

// AddTeams adds the teams' pods to a cluster, and returns what there is then to
// ask for. All others of the cluster share a few labels and namespaces, so that
// selectors by these match thousands.
func AddTeams(ctx context.Context, l *localcluster.Local, nodes, teams, each int) (Scene, error) {
	scene := Scene{Teams: teams, Nodes: nodes}
	for _, w := range l.Workload {
		scene.Pods = append(scene.Pods, types.NamespacedName{Namespace: w.Namespace, Name: w.Name})
	}
	started := time.Now().Add(-time.Hour)
	for i := range teams * each {
		name := fmt.Sprintf("node-%d", i%nodes)
		node, ok := l.Kubelets.Node(name)
		if !ok {
			return scene, fmt.Errorf("there is no %s", name)
		}
		if err := node.AddPod(kubeletsim.Pod{
			Namespace: teamNamespace(i / each), Name: podName(i, each),
			Containers: []kubeletsim.Container{{
				Name: container, Start: started,
				CPU: kubeletsim.Constant(0.1), Memory: kubeletsim.Constant(64 << 20),
			}},
		}); err != nil {
			return scene, err
		}
	}
	return scene, l.CreatePods(ctx, teamPods(nodes, teams, each))
}

const container = "service"

func podName(i, each int) string { return fmt.Sprintf("%s-%d", teamLabel(i/each), i%each) }

// teamPods are the same pods for the API server.
func teamPods(nodes, teams, each int) iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		for i := range teams * each {
			pod := cluster.NewPod(teamNamespace(i/each), podName(i, each), fmt.Sprintf("node-%d", i%nodes),
				map[string]string{"app": teamLabel(i / each)}, container)
			if !yield(pod) {
				return
			}
		}
	}
}

// WaitServed waits until a server serves so many nodes and pods. It asks for their
// number only, which costs the server nothing.
func WaitServed(ctx context.Context, s Server, nodes, pods int) error {
	l, err := newLoad(s, Options{}, nil)
	if err != nil {
		return err
	}
	defer l.admin.CloseIdleConnections()
	for {
		var text bytes.Buffer
		if err := get(ctx, l.admin, s.Config.Host+"/metrics", &text); err != nil {
			return err
		}
		own, err := parseMetrics(&text)
		if err != nil {
			return err
		}
		const served = "metrics_server_storage_served"
		servedNodes, servedPods := own.value(served, "type=node"), own.value(served, "type=pod")
		if servedNodes == float64(nodes) && servedPods == float64(pods) {
			return nil
		}
		if err := sleep(ctx, time.Second); err != nil {
			return fmt.Errorf("%w: %v of %d nodes and %v of %d pods are served", err, servedNodes, nodes, servedPods, pods)
		}
	}
}
