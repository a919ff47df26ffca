// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package vpa

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	namespace, name = "shop", "web"
	// patience is how long a test waits for what takes some intervals.
	patience = 90 * time.Second
)

// usage is what a container uses: well within one of the recommender's buckets.
var usage = []struct {
	container            string
	millicores, mebibyte float64
}{{"proxy", 15, 12}, {"web", 118, 85}}

var local *localcluster.Local

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: 2, Pods: 4, Describe: describe,
		ServerFlags: []string{"--metric-resolution=10s", "--kubelet-request-timeout=4s"},
	}, func(l *localcluster.Local) int {
		local = l
		return m.Run()
	}))
}

func describe(i int) localcluster.Workload {
	w := localcluster.Workload{
		Pod:    kubeletsim.Pod{Namespace: namespace, Name: fmt.Sprint(name, "-", i)},
		Labels: map[string]string{"app": name},
	}
	for _, u := range usage {
		w.Containers = append(w.Containers, kubeletsim.Container{
			Name: u.container, CPU: kubeletsim.Constant(u.millicores / 1000), Memory: kubeletsim.Constant(u.mebibyte * (1 << 20)),
		})
	}
	return w
}

// TestRecommendation has the recommender read what is served of simulated kubelets, through
// the aggregation layer.
func TestRecommendation(t *testing.T) {
	r, err := Start(t.Context(), local.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Remove(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	createDeployment(t)
	if err := r.Create(t.Context(), namespace, name); err != nil {
		t.Fatal(err)
	}
	// Three of each of four pods.
	eventually.Succeeds(t, patience, func() error {
		counts, err := r.Samples(t.Context(), namespace, name, "proxy", "web")
		if err == nil && slices.Min(counts) < 12 {
			err = fmt.Errorf("the recommender has %d samples of the containers only", counts)
		}
		return err
	})
	o, err := r.Get(t.Context(), namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Provided(); err != nil {
		t.Fatal(err)
	}
	if n := len(o.Status.Recommendation.Containers); n != len(usage) {
		t.Fatalf("%d containers are recommended, want %d:\n%s", n, len(usage), o)
	}
	for i, u := range usage {
		c := o.Status.Recommendation.Containers[i]
		if err := c.Check(); err != nil {
			t.Error(err)
		}
		cpu, memory := float64(c.Target.Cpu().MilliValue()), float64(c.Target.Memory().Value())
		if c.Name != u.container || cpu != ExpectedCPU(u.millicores) || memory != ExpectedMemory(u.mebibyte*(1<<20)) {
			t.Errorf("%s uses %v millicores and %v MiB, and recommended are to %s %v millicores and %v bytes, want %v and %v",
				u.container, u.millicores, u.mebibyte, c.Name, cpu, memory, ExpectedCPU(u.millicores), ExpectedMemory(u.mebibyte*(1<<20)))
		}
	}
	lines, err := r.Errors()
	if err != nil || len(lines) > 0 {
		t.Errorf("the recommender's log has errors: %v\n%s", err, strings.Join(lines, "\n"))
	}
}

// createDeployment makes what has the selector that the recommender goes by. The pods are
// there already.
func createDeployment(t *testing.T) {
	t.Helper()
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(0)),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "none"}}},
			},
		},
	}
	if _, err := local.Client().AppsV1().Deployments(namespace).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
