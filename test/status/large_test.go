// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/pkg/status"
	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/corestub"
	"github.com/kubemeter/metrics-server/test/debian"
	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
	"github.com/kubemeter/metrics-server/test/process"
	"github.com/kubemeter/metrics-server/test/stubcluster"
)

const (
	largeNodes       = 5000
	largePodsPerNode = 30
	largeResolution  = 15 * time.Second
	// measured is how long the server is watched in each phase.
	measured = 3 * largeResolution
)

// largeCluster has a server with 5,000 nodes, and a stub for its control plane.
type largeCluster struct {
	*stubcluster.Cluster
	server *cluster.Process
	nodes  []*kubeletsim.Node
}

func startLarge(t *testing.T) *largeCluster {
	t.Helper()
	if err := process.RaiseFileLimit(2 * largeNodes); err != nil {
		t.Fatal(err)
	}
	binary, err := localcluster.BuildPlainServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stub, err := stubcluster.Start(context.WithoutCancel(t.Context()), nil, kubeletsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stub.Stop)
	l := &largeCluster{Cluster: stub}
	if err := l.populate(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	// The stub knows no tokens but the server's.
	args := append(l.Args, "--metric-resolution="+largeResolution.String(), "--authorization-always-allow-paths="+status.Path)
	if l.server, err = l.Group.StartProcess("metrics-server", binary, args, log); err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, 5*time.Minute, func() error {
		resp, err := anyone.Get(l.Admin.Host + status.Path)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	eventually.Succeeds(t, 5*time.Minute, func() error {
		if got := read(t, l.Admin.Host, "").Totals; got.PodsServed != largeNodes*largePodsPerNode {
			time.Sleep(time.Second) // looking is not free
			return fmt.Errorf("the totals are %+v", got)
		}
		return nil
	})
	return l
}

func (l *largeCluster) populate() error {
	started := time.Now().Add(-time.Hour)
	for i := range largeNodes {
		n, err := l.Kubelets.AddNode(fmt.Sprintf("node-%04d", i))
		if err != nil {
			return err
		}
		l.nodes = append(l.nodes, n)
		for p := range largePodsPerNode {
			c := kubeletsim.Container{Name: "web", Start: started, CPU: kubeletsim.Constant(0.01), Memory: kubeletsim.Constant(1 << 26)}
			if err := n.AddPod(kubeletsim.Pod{Namespace: namespace(i), Name: podName(i, p), Containers: []kubeletsim.Container{c}}); err != nil {
				return err
			}
		}
	}
	l.Stub.SetContents(l.contents())
	return nil
}

func namespace(node int) string    { return fmt.Sprintf("team-%d", node%50) }
func podName(node, pod int) string { return fmt.Sprintf("web-%d-%d", node, pod) }

// sample is what the server has done, and is, at a time.
type sample struct {
	at time.Time
	process.Usage
}

func (l *largeCluster) sample(t *testing.T) sample {
	t.Helper()
	u, err := process.Read(l.server.PID())
	if err != nil {
		t.Fatal(err)
	}
	return sample{time.Now(), u}
}

// pace is how many nodes were scraped a second in a phase, the oldest sample of any
// node at its end, and what the server used.
func (l *largeCluster) pace(t *testing.T, phase string, during func(deadline time.Time) []time.Duration) {
	t.Helper()
	if err := process.ResetPeak(l.server.PID()); err != nil {
		t.Fatal(err)
	}
	first, before := l.scrapes(t), l.sample(t)
	took := during(before.at.Add(measured))
	after, last := l.sample(t), l.scrapes(t)
	seconds := after.at.Sub(before.at).Seconds()
	oldest := 0.0
	for _, n := range read(t, l.Admin.Host, "").Nodes {
		oldest = max(oldest, n.SampleAge)
	}
	text := ""
	if len(took) > 0 {
		slices.Sort(took)
		text = fmt.Sprintf(", %d requests: median %v, longest %v", len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	}
	t.Logf("%s: %.1f scrapes a second (%.1f are due), oldest sample of a node %.1fs, CPU %.3f cores, resident %d MB, at most %d MB%s",
		phase, (last-first)/seconds, largeNodes/largeResolution.Seconds(), oldest, (after.CPU-before.CPU).Seconds()/seconds,
		after.Resident>>20, after.Peak>>20, text)
}

// every asks for the status at an interval.
func (l *largeCluster) every(t *testing.T, interval time.Duration, query string) func(time.Time) []time.Duration {
	return func(deadline time.Time) (took []time.Duration) {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for time.Now().Before(deadline) {
			began := time.Now()
			got := get(t, anyone, l.Admin.Host+status.Path+query, nil)
			took = append(took, time.Since(began))
			if got.code != http.StatusOK || len(got.body) < 1000 {
				t.Errorf("%d: %.200s", got.code, got.body)
			}
			<-ticker.C
		}
		return took
	}
}

// TestLarge measures what looking at 5,000 nodes costs, and looks at them.
func TestLarge(t *testing.T) {
	if !*large {
		t.Skip("it takes minutes and gigabytes: give -large")
	}
	debian.Require(t, browser...)
	l := startLarge(t)
	idle := func(deadline time.Time) []time.Duration {
		time.Sleep(time.Until(deadline))
		return nil
	}
	l.pace(t, "nobody looks", idle)
	l.pace(t, "the page, each second", l.every(t, time.Second, ""))
	l.pace(t, "all of it as JSON, each second", l.every(t, time.Second, "?format=json"))
	l.pace(t, "nobody looks any more", idle)

	b := openTab(t, l.Admin.Host, "")
	b.server.User = nil
	b.visit("")
	b.wants("All is well: 5,000 nodes and 150,000 pods are served.", "1 to 100 of 5,000")
	b.looksWell("healthy-5000")

	for i, n := range l.nodes {
		var f kubeletsim.Fault
		switch {
		case i%10 == 3:
			f = kubeletsim.SelfSigned()
		case i%100 == 4:
			f = kubeletsim.Hang()
		case i%250 == 5:
			f = kubeletsim.Status(http.StatusForbidden)
		case i%500 == 6:
			f = kubeletsim.MissingFamilies("container_memory_working_set_bytes")
		default:
			continue
		}
		if err := n.SetFaults(f); err != nil {
			t.Fatal(err)
		}
	}
	eventually.Succeeds(t, 5*time.Minute, func() error {
		time.Sleep(time.Second)
		if got := read(t, l.Admin.Host, "").Totals; got.NodesByState[status.StateFailing] != 570 || got.PodsWithheld["incomplete"] != 300 || got.PodsWithheld["stale"] != 17100 {
			return fmt.Errorf("the totals are %+v", got)
		}
		return nil
	})
	l.pace(t, "with faults, the page, each second", l.every(t, time.Second, ""))
	b.visit("")
	b.wants("570 of 5,000 nodes cannot be read, 500 of them because", "1 to 100 of 5,000")
	b.looksWell("faults-5000")
	b.visit("?view=pods")
	b.wants("1 to 100 of 17,400")
	b.look(devices[0], "light")
	b.shoot("withheld-5000-desktop-light")
}

// contents is what the stub says of the cluster.
func (l *largeCluster) contents() corestub.Contents {
	return corestub.Contents{
		Nodes: largeNodes,
		Node: func(i int) *corev1.Node {
			return cluster.NewNode(l.nodes[i].Name(), l.nodes[i].Address(), int32(l.Kubelets.Port()), nil)
		},
		Pods: largeNodes * largePodsPerNode,
		Pod: func(i int) *corev1.Pod {
			node := i / largePodsPerNode
			return cluster.NewPod(namespace(node), podName(node, i%largePodsPerNode), l.nodes[node].Name(), nil, "web")
		},
	}
}

// scrapes is how many have succeeded so far.
func (l *largeCluster) scrapes(t *testing.T) float64 {
	t.Helper()
	client, err := rest.HTTPClientFor(l.Admin)
	if err != nil {
		t.Fatal(err)
	}
	got := get(t, client, l.Admin.Host+"/metrics", nil)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, m := range families["metrics_server_scrape_total"].GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	return sum
}
