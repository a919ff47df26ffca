// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// Every way in which a kubelet can fail is told apart, hurts nobody else, and is
// over when it is over.
func TestFaultyKubelets(t *testing.T) {
	faults := []struct {
		fault  kubeletsim.Fault
		reason string // in the metrics
		says   string // the 404
	}{
		{kubeletsim.ConnectionReset(), "connection", "reset by peer"},
		{kubeletsim.WrongName(), "tls_name", "the certificate is for DNS:wrong.invalid"},
		{kubeletsim.WrongCA(), "tls_unknown_authority", "--kubelet-certificate-authority"},
		{kubeletsim.SelfSigned(), "tls_unknown_authority", "--kubelet-certificate-authority"},
		{kubeletsim.Expired(), "tls_expired", "expired"},
		{kubeletsim.Hang(), "timeout", "no complete answer in time: context deadline exceeded"},
		{kubeletsim.Drip(1, time.Second), "timeout", "the body ends after"},
		{kubeletsim.Status(http.StatusUnauthorized), "unauthorized", "webhook token authentication"},
		{kubeletsim.Status(http.StatusForbidden), "forbidden", "nodes/metrics"},
		{kubeletsim.Status(http.StatusInternalServerError), "http_status", "500 Internal Server Error"},
		{kubeletsim.HTMLBody(), "content_type", "unsupported Content-Type"},
		{kubeletsim.TruncatedConnection(), "body", "unexpected EOF"},
		{kubeletsim.EndlessBody(), "too_large", "more than 33554432 bytes"},
	}
	count := func(i int) float64 {
		return serverMetric(t, "metrics_server_scrape_total", "result=failure", "reason="+faults[i].reason)
	}
	before := make([]float64, len(faults))
	for i := range faults {
		before[i] = count(i)
	}
	for i, f := range faults {
		setFaults(t, node(t, i), f.fault)
		defer setFaults(t, node(t, i))
	}
	for i, f := range faults {
		eventually.Succeeds(t, patience, func() error {
			if now := count(i); now <= before[i] {
				return fmt.Errorf("%s: no failure with reason %s is counted", f.fault, f.reason)
			}
			return nil
		})
	}
	// Nothing is lost yet: points are served for four intervals.
	nodes, _ := read(t, "v1", "application/json", metav1.ListOptions{})
	if len(nodes) != nodeCount {
		t.Errorf("%d of %d nodes are served while kubelets fail", len(nodes), nodeCount)
	}
	client := metricsOf(t, local.AdminConfig())
	// Later those of the failing are gone, and the reason is told.
	eventually.Succeeds(t, patience, func() error {
		list, err := client.MetricsV1().NodeMetricses().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		var names []string
		for _, n := range list.Items {
			names = append(names, n.Name)
		}
		var want []string
		for i := len(faults); i < nodeCount; i++ {
			want = append(want, fmt.Sprint("node-", i))
		}
		slices.Sort(want)
		if !slices.Equal(names, want) {
			return fmt.Errorf("served are %v, want %v", names, want)
		}
		return nil
	})
	for i, f := range faults {
		_, err := client.MetricsV1().NodeMetricses().Get(t.Context(), node(t, i).Name(), metav1.GetOptions{})
		if !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), f.says) ||
			!strings.Contains(err.Error(), fmt.Sprintf("the last scrape failed: node %q", node(t, i).Name())) {
			t.Errorf("%s: %v, want %q", f.fault, err, f.says)
		}
		t.Logf("%s: %v", f.fault, err)
	}
	for i := range faults {
		setFaults(t, node(t, i))
	}
	waitServed(t)
	// A failure is logged when it begins and when it ends, not at every scrape.
	log, err := os.ReadFile(local.Server.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	for i := range faults {
		name := fmt.Sprintf("node=%q", node(t, i).Name())
		begins, ends := 0, 0
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, name) && strings.Contains(line, "Scraping a node fails") {
				begins++
			}
			if strings.Contains(line, name) && strings.Contains(line, "works again") {
				ends++
			}
		}
		// A reset connection may first be met as one that closed while it was idle.
		if begins == 0 || begins > 2 || ends != 1 {
			t.Errorf("%s: %d lines that it fails, %d that it works again", faults[i].fault, begins, ends)
		}
	}
}

// setFaults replaces a node's faults.
func setFaults(t *testing.T, n *kubeletsim.Node, faults ...kubeletsim.Fault) {
	t.Helper()
	if err := n.SetFaults(faults...); err != nil {
		t.Fatal(err)
	}
}

func waitServed(t *testing.T) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		nodes, containers, err := tryRead(t, "v1", "application/json", metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(nodes) != nodeCount {
			return fmt.Errorf("%d of %d nodes are served", len(nodes), nodeCount)
		}
		for _, w := range local.Workload {
			for _, c := range w.Containers {
				if containers[w.Namespace+"/"+w.Name+"/"+c.Name] == nil {
					return fmt.Errorf("%s/%s is not served", w.Namespace, w.Name)
				}
			}
		}
		return nil
	})
}

// A kubelet without /metrics/resource is read through /stats/summary.
func TestSummaryFallback(t *testing.T) {
	n := node(t, nodeCount-1) // no other test's: it will be read so for ten minutes
	setFaults(t, n, kubeletsim.ResourceMetricsNotFound())
	defer setFaults(t, n)
	summary := kubeletsim.Request{Path: "/stats/summary", Status: http.StatusOK}
	before := n.Requests()[summary]
	eventually.Succeeds(t, patience, func() error {
		if n.Requests()[summary] < before+3 {
			return errors.New("the summary has not been read three times")
		}
		return nil
	})
	_, containers := read(t, "v1", "application/json", metav1.ListOptions{})
	for _, w := range local.Workload {
		if w.Node != n {
			continue
		}
		for _, c := range w.Containers {
			usage := containers[w.Namespace+"/"+w.Name+"/"+c.Name]
			if usage == nil {
				t.Fatalf("%s/%s is not served", w.Namespace, w.Name)
			}
			// Its times are whole seconds: of a window of 10 s, one may be missing.
			if cpu := usage.Cpu().AsApproximateFloat64(); cpu < c.CPU.Mean*0.85 || cpu > c.CPU.Mean*1.15 {
				t.Errorf("%s/%s: %v cores, want %v", w.Name, c.Name, cpu, c.CPU.Mean)
			}
		}
	}
}

// What the API server deletes is gone at once, and what it adds appears.
func TestPodsAndNodesComeAndGo(t *testing.T) {
	client := metricsOf(t, local.AdminConfig())
	extra, err := local.Kubelets.AddNode("node-extra")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Kubelets.RemoveNode("node-extra")
	if err := extra.SetOverhead(kubeletsim.Constant(0.5), kubeletsim.Constant(1<<30)); err != nil {
		t.Fatal(err)
	}
	pod := kubeletsim.Pod{Namespace: "checkout", Name: "swapping", Containers: []kubeletsim.Container{{
		Name: "main", CPU: kubeletsim.Constant(0.3), Memory: kubeletsim.Constant(64 << 20),
		Swap: kubeletsim.Constant(8 << 20), SwapLimit: 1 << 30,
	}}}
	if err := extra.AddPod(pod); err != nil {
		t.Fatal(err)
	}
	_, err = client.MetricsV1().PodMetricses(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "no such pod is running") {
		t.Errorf("before the pod exists: %v", err)
	}
	if err := local.CreateNode(t.Context(), extra.Name(), extra.Address(), int32(local.Kubelets.Port()), nil); err != nil {
		t.Fatal(err)
	}
	if err := local.CreatePod(t.Context(), pod.Namespace, pod.Name, extra.Name(), nil, "main"); err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, patience, func() error {
		p, err := client.MetricsV1().PodMetricses(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		usage := p.Containers[0].Usage
		if swap := usage["swap"]; swap.Value() != 8<<20 || !within1Percent(usage.Cpu().AsApproximateFloat64(), 0.3) {
			t.Errorf("served is %v", usage)
		}
		return nil
	})
	if out := kubectl(t, "top", "pod", "--show-swap", "-n", pod.Namespace, pod.Name); !strings.Contains(out, "8Mi") {
		t.Errorf("kubectl top --show-swap:\n%s", out)
	}
	kubectl(t, "delete", "pod", "-n", pod.Namespace, pod.Name)
	gone := func(get func() error) {
		t.Helper()
		eventually.Succeeds(t, patience, func() error {
			if err := get(); !apierrors.IsNotFound(err) {
				return fmt.Errorf("it is still there, or the error is another one: %w", err)
			}
			return nil
		})
	}
	gone(func() error {
		_, err := client.MetricsV1().PodMetricses(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		return err
	})
	kubectl(t, "delete", "node", extra.Name())
	gone(func() error {
		_, err := client.MetricsV1().NodeMetricses().Get(t.Context(), extra.Name(), metav1.GetOptions{})
		if err != nil && !strings.Contains(err.Error(), "there is no such node") {
			return fmt.Errorf("gone for another reason: %s", err.Error())
		}
		return err
	})
}

// Without an API server, scraping and serving go on from what is known.
func TestLosingTheAPIServerLosesNoMetrics(t *testing.T) {
	if err := local.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := local.StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		waitServed(t)
	}()
	// The newest sample served gets newer still.
	newest := func() (newest time.Time) {
		list, err := metricsOf(t, direct()).MetricsV1().PodMetricses("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != podCount {
			t.Fatalf("%d of %d pods are served without the API server", len(list.Items), podCount)
		}
		for _, p := range list.Items {
			if p.Timestamp.After(newest) {
				newest = p.Timestamp.Time
			}
		}
		return newest
	}
	stopped := newest()
	eventually.Succeeds(t, patience, func() error {
		if now := newest(); now.Sub(stopped) < 2*resolution {
			return fmt.Errorf("the newest sample is of %s, and was of %s", now, stopped)
		}
		return nil
	})
}
