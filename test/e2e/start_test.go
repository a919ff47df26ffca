// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// far is an interval of which a test does not see the second round.
const far = "--metric-resolution=1h"

// served returns how many nodes and pods a server serves.
func (s second) served(t *testing.T) (nodes, pods int) {
	t.Helper()
	client := metricsOf(t, s.config)
	nodeList, err := client.MetricsV1().NodeMetricses().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	podList, err := client.MetricsV1().PodMetricses("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return len(nodeList.Items), len(podList.Items)
}

// waitReady waits until a server is ready, and returns what it serves then.
func (s second) waitReady(t *testing.T) (nodes, pods int) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		if status, body := request(t, s.config, "/readyz", "text/plain"); status != http.StatusOK {
			return fmt.Errorf("/readyz: %d %s", status, body)
		}
		return nil
	})
	return s.served(t)
}

// A server that has just started does not wait for its second round, and is not ready
// before it can take the place of another one.
func TestReadyServerServesAll(t *testing.T) {
	s := startSecond(t, far)
	if nodes, pods := s.waitReady(t); nodes != nodeCount || pods != podCount {
		t.Errorf("when it is ready, %d of %d nodes and %d of %d pods are served", nodes, nodeCount, pods, podCount)
	}
	if scrapes := metricOf(t, s.config, "metrics_server_scrape_total"); scrapes > 3*nodeCount {
		t.Errorf("%v scrapes of %d nodes", scrapes, nodeCount)
	}
}

// Kubelets that fail do not keep a server from being ready.
func TestServerGetsReadyWithoutThoseThatFail(t *testing.T) {
	const failing = nodeCount / 2
	for i := range failing {
		n := node(t, i)
		setFaults(t, n, kubeletsim.Status(http.StatusInternalServerError))
		defer setFaults(t, n)
	}
	s := startSecond(t, far)
	if nodes, _ := s.waitReady(t); nodes != nodeCount-failing {
		t.Errorf("when it is ready, %d nodes are served, want %d", nodes, nodeCount-failing)
	}
	if failed := metricOf(t, s.config, "metrics_server_scrape_total", "result=failure"); failed < 2*failing {
		t.Errorf("it has given up %d nodes after %v scrapes", failing, failed)
	}
}

// A node that comes later is served in seconds, too.
func TestNewNodeDoesNotWaitForTheSecondRound(t *testing.T) {
	s := startSecond(t, far)
	s.waitReady(t)
	n, err := local.Kubelets.AddNode("node-late")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Kubelets.RemoveNode(n.Name())
	if err := n.SetOverhead(kubeletsim.Constant(0.5), kubeletsim.Constant(1<<30)); err != nil {
		t.Fatal(err)
	}
	if err := local.CreateNode(t.Context(), n.Name(), n.Address(), int32(local.Kubelets.Port()), nil); err != nil {
		t.Fatal(err)
	}
	defer kubectl(t, "delete", "node", n.Name())
	eventually.Succeeds(t, patience, func() error {
		usage, err := metricsOf(t, s.config).MetricsV1().NodeMetricses().Get(t.Context(), n.Name(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if cpu := usage.Usage.Cpu().AsApproximateFloat64(); !within1Percent(cpu, 0.5) {
			t.Errorf("served are %v cores, want 0.5", cpu)
		}
		return nil
	})
}
