// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kwok

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/eventually"
)

// KWOK's own certificate is refused with a message that says what to do.
func TestOwnCertificate(t *testing.T) {
	startKWOK(t)
	t.Run("verified", func(t *testing.T) {
		startServer(t)
		client := metrics(t)
		eventually.Succeeds(t, patience, func() error {
			_, err := client.MetricsV1beta1().NodeMetricses().Get(t.Context(), "kwok-0", metav1.GetOptions{})
			if err == nil {
				t.Fatal("a certificate that nobody knows was trusted")
			}
			if !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "--kubelet-insecure-tls") {
				return err
			}
			return nil
		})
	})
	t.Run("not verified", func(t *testing.T) {
		startServer(t, "--kubelet-certificate-authority=", "--kubelet-insecure-tls")
		waitServed(t, simulated())
	})
}

// With a certificate that the cluster signed, nothing is left unverified. What is served
// follows what KWOK is told.
func TestUsage(t *testing.T) {
	startKWOK(t, certificate(t)...)
	startServer(t)
	waitServed(t, simulated())
	eventually.Succeeds(t, patience, func() error {
		shown, tables, err := top(t)
		if err == nil {
			err = difference(shown, simulated(), 1)
		}
		if err == nil {
			t.Log("\n" + tables)
		}
		return err
	})
	t.Run("all zeros", func(t *testing.T) {
		client := metrics(t).MetricsV1beta1()
		_, err := client.NodeMetricses().Get(t.Context(), emptyNode, metav1.GetOptions{})
		checkNotServed(t, err, "lacks its CPU or memory")
		_, err = client.PodMetricses("batch").Get(t.Context(), "untold", metav1.GetOptions{})
		checkNotServed(t, err, "none of its containers", "is running")
	})
	t.Run("changes", func(t *testing.T) {
		want := simulated()
		kubectl(t, "annotate", "pod/report", "--namespace=batch", "--overwrite", "kwok.x-k8s.io/usage-cpu=750m", "kwok.x-k8s.io/usage-memory=2Gi")
		want["batch/report/report"], want["node/kwok-1"] = usage{750, 2048}, usage{750, 2080}
		kubectl(t, "scale", "statefulset/web", "--namespace=shop", "--replicas=1")
		for _, gone := range []string{"shop/web-1/web", "shop/web-1/proxy", "shop/web-2/web", "shop/web-2/proxy"} {
			delete(want, gone)
		}
		want["node/kwok-0"] = usage{270, 80}
		waitServed(t, want)
	})
	t.Run("and back", func(t *testing.T) {
		kubectl(t, "annotate", "pod/report", "--namespace=batch", "--overwrite", "kwok.x-k8s.io/usage-cpu=1500m", "kwok.x-k8s.io/usage-memory=1Gi")
		kubectl(t, "scale", "statefulset/web", "--namespace=shop", "--replicas=3")
		waitServed(t, simulated())
	})
}

// checkNotServed checks that an error says why.
func checkNotServed(t *testing.T, err error, reason ...string) {
	t.Helper()
	if !apierrors.IsNotFound(err) {
		t.Fatalf("the error is %v, want one of the reason NotFound", err)
	}
	for _, part := range reason {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

// waitServed waits until these are served and no others, with the memory as it is
// simulated.
func waitServed(t *testing.T, want map[string]usage) {
	t.Helper()
	client := metrics(t)
	eventually.Succeeds(t, patience, func() error {
		got, err := served(t.Context(), client)
		if err != nil {
			return err
		}
		return difference(got, want, 0)
	})
}

// difference allows for a fiftieth of the CPU, beside its rounding in millicores:
// KWOK counts by its clock when it answers, and gives no times.
func difference(got, want map[string]usage, rounding float64) error {
	names := slices.Sorted(maps.Keys(got))
	if expected := slices.Sorted(maps.Keys(want)); !slices.Equal(names, expected) {
		return fmt.Errorf("there are %q, want %q", names, expected)
	}
	var wrong []error
	for _, name := range names {
		g, w := got[name], want[name]
		if g.mi != w.mi || math.Abs(g.milli-w.milli) > w.milli/50+rounding {
			wrong = append(wrong, fmt.Errorf("%s uses %.2fm and %gMi, want %gm and %gMi", name, g.milli, g.mi, w.milli, w.mi))
		}
	}
	return errors.Join(wrong...)
}

func metrics(t *testing.T) metricsclient.Interface {
	t.Helper()
	return must[*metricsclient.Clientset](t)(metricsclient.NewForConfig(plane.AdminConfig()))
}

// served is what the API serves, by the names of simulated.
func served(ctx context.Context, client metricsclient.Interface) (map[string]usage, error) {
	nodes, nodesErr := client.MetricsV1beta1().NodeMetricses().List(ctx, metav1.ListOptions{})
	pods, podsErr := client.MetricsV1beta1().PodMetricses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err := errors.Join(nodesErr, podsErr); err != nil {
		return nil, err
	}
	all := map[string]usage{}
	for _, n := range nodes.Items {
		all["node/"+n.Name] = newUsage(n.Usage[corev1.ResourceCPU], n.Usage[corev1.ResourceMemory])
	}
	for _, p := range pods.Items {
		for _, c := range p.Containers {
			all[p.Namespace+"/"+p.Name+"/"+c.Name] = newUsage(c.Usage[corev1.ResourceCPU], c.Usage[corev1.ResourceMemory])
		}
	}
	return all, nil
}

// top is what kubectl top shows, by the names of simulated, and the tables.
func top(t *testing.T) (all map[string]usage, tables string, err error) {
	t.Helper()
	all = map[string]usage{}
	add := func(name, cpu, memory string) {
		c, cpuErr := resource.ParseQuantity(cpu)
		m, memoryErr := resource.ParseQuantity(memory)
		all[name], err = newUsage(c, m), errors.Join(err, cpuErr, memoryErr)
	}
	nodes, pods := kubectl(t, "top", "nodes"), kubectl(t, "top", "pods", "--all-namespaces", "--containers")
	for _, row := range rows(nodes) {
		if row[0] != emptyNode { // <unknown>
			add("node/"+row[0], row[1], row[3])
		}
	}
	for _, row := range rows(pods) {
		add(strings.Join(row[:3], "/"), row[3], row[4])
	}
	return all, nodes + pods, err
}

// rows are those of a table, without its heading.
func rows(table string) (all [][]string) {
	for line := range strings.Lines(table) {
		all = append(all, strings.Fields(line))
	}
	return all[1:]
}

func newUsage(cpu, memory resource.Quantity) usage {
	return usage{milli: cpu.AsApproximateFloat64() * 1000, mi: memory.AsApproximateFloat64() / (1 << 20)}
}
