// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/process"
	"github.com/kubemeter/metrics-server/test/rawclient"
)

// result is what an input has led to.
type result struct {
	peak                    uint64 // resident memory, bytes
	scrape                  time.Duration
	served, counted, logged string
}

// run starts a server, has hostile nodes send the input until it has been seen by
// each twice, and checks all that is to be seen.
func (c *crew) run(t *testing.T, in *input) (r result) {
	t.Helper()
	nodes := c.hostile
	if in.nodes > 0 {
		nodes = nodes[:in.nodes]
	}
	c.setFaults(t, in, nodes)
	c.starts++
	server := must[*cluster.Process](t)(c.group.StartProcess(fmt.Sprint("metrics-server-", c.starts), c.server, c.args, nil))
	defer func() {
		if err := errors.Join(server.Stop(), server.Wait()); err != nil {
			t.Errorf("the server does not end well: %v", err)
		}
		c.client.CloseIdleConnections()
		for _, n := range nodes {
			if err := n.SetFaults(); err != nil {
				t.Error(err)
			}
		}
	}()
	var m families
	deadline := time.Now().Add(patience)
	for {
		var err error
		if m, err = c.readMetrics(t.Context()); err == nil {
			err = c.check(t.Context(), in, nodes, m, &r)
		}
		if err == nil {
			break
		}
		select {
		case <-server.Exited():
			t.Fatalf("the server has ended: %v\n%s", server.Wait(), readLog(t, server))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", patience, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	usage := must[process.Usage](t)(process.Read(server.PID()))
	r.peak = usage.Peak
	r.scrape = m.meanScrape(nodes)
	r.logged = in.checkLog(t, nodes, readLog(t, server))
	return r
}

// setFaults has the nodes send the input.
func (c *crew) setFaults(t *testing.T, in *input, nodes []*kubeletsim.Node) {
	t.Helper()
	for i, n := range nodes {
		faults := in.faults
		if in.family != "" {
			first := kubeletsim.ContainerRef{Namespace: namespace, Pod: podName(n, 0), Container: container}
			faults = []kubeletsim.Fault{kubeletsim.BadValue(in.family, first, in.value)}
		}
		if in.claims {
			claimed := podName(c.healthy[0], i%podsPerNode)
			if err := n.AddPod(pod(claimed, 8)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { n.RemovePod(namespace, claimed) })
		}
		if err := n.SetFaults(faults...); err != nil {
			t.Fatal(err)
		}
	}
}

// check returns an error as long as not all is as the input has to lead to.
func (c *crew) check(ctx context.Context, in *input, nodes []*kubeletsim.Node, m families, r *result) error {
	if err := in.checkCounters(m, len(nodes), r); err != nil {
		return err
	}
	nodeList, err := c.metrics.MetricsV1beta1().NodeMetricses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	podList, err := c.metrics.MetricsV1beta1().PodMetricses(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	served := map[string]corev1.ResourceList{}
	for _, n := range nodeList.Items {
		served[n.Name] = n.Usage
	}
	for _, p := range podList.Items {
		served[p.Name] = p.Containers[0].Usage
	}
	sound := append(slices.Clone(c.healthy), c.hostile[len(nodes):]...)
	for _, n := range sound {
		if got, ok := c.servedOf(n, served); !ok || got != podsPerNode {
			return fmt.Errorf("node %s is sound, and served are %v and %d of its pods", n.Name(), ok, got)
		}
	}
	for _, n := range nodes {
		got, ok := c.servedOf(n, served)
		r.served = fmt.Sprintf("%d of %d pods", got, podsPerNode)
		if ok {
			r.served = "itself, " + r.served
		}
		if ok != in.node || got != in.pods {
			return fmt.Errorf("of node %s is served: %s", n.Name(), r.served)
		}
	}
	for name, usage := range served {
		if strings.Contains(name, "-pod-") && !isRight(usage) {
			return fmt.Errorf("pod %s is served with %v", name, usage)
		}
	}
	if in.claims {
		r.served += "; of the pods that it claims, none with its usage"
	}
	return nil
}

// servedOf tells whether a node is served, and how many of its pods are.
func (c *crew) servedOf(n *kubeletsim.Node, served map[string]corev1.ResourceList) (pods int, itself bool) {
	for i := range podsPerNode {
		if served[podName(n, i)] != nil {
			pods++
		}
	}
	return pods, served[n.Name()] != nil
}

func isRight(usage corev1.ResourceList) bool {
	return math.Abs(usage.Cpu().AsApproximateFloat64()-cores) < cores/100 && usage.Memory().Value() == bytes64Mi
}

// checkCounters returns an error until the server has counted two scrapes of each
// node that sends the input, as what they are.
func (in *input) checkCounters(m families, nodes int, r *result) error {
	var counted []string
	failed := 0.0
	for _, reason := range in.reasons {
		if n := m.sum("metrics_server_scrape_total", "result=failure", "reason="+reason); n > 0 {
			counted = append(counted, fmt.Sprintf("%v failures: %s", n, reason))
			failed += n
		}
	}
	if all := m.sum("metrics_server_scrape_total", "result=failure"); all != failed || len(in.reasons) > 0 && failed < float64(2*nodes) {
		return fmt.Errorf("%v failures are counted, %v of them with reasons %v", all, failed, in.reasons)
	}
	rejected := m.sum("metrics_server_scrape_rejected_samples_total", "reason="+in.rejected)
	if all := m.sum("metrics_server_scrape_rejected_samples_total"); all != rejected || in.rejected != "" && rejected < float64(2*nodes) {
		return fmt.Errorf("%v samples are rejected, %v of them for their %s", all, rejected, in.rejected)
	}
	if in.rejected != "" {
		counted = append(counted, fmt.Sprintf("%v samples rejected: %s", rejected, in.rejected))
	}
	if in.withheld != "" {
		n := m.sum("metrics_server_storage_withheld", "reason="+in.withheld)
		if n < float64(nodes) {
			return fmt.Errorf("%v are withheld as %s", n, in.withheld)
		}
		counted = append(counted, fmt.Sprintf("%v withheld: %s", n, in.withheld))
	}
	r.counted = strings.Join(counted, ", ")
	return nil
}

// fewLines is how many nodes at least are logged one by one, where many fail at once.
const fewLines = 20

// checkLog sees that a failure, and what is left out, is logged once per node, and once
// more where another reason took its place. It returns the first line.
func (in *input) checkLog(t *testing.T, nodes []*kubeletsim.Node, log string) (first string) {
	t.Helper()
	logged := 0
	for _, n := range nodes {
		lines := 0
		for line := range strings.Lines(log) {
			if !strings.Contains(line, fmt.Sprintf("node=%q", n.Name())) {
				continue
			}
			if first == "" {
				first = strings.TrimSpace(line)
			}
			if lines++; len(line) > 2<<10 {
				t.Errorf("a line of %d bytes is logged", len(line))
			}
		}
		if lines > max(1, min(len(in.reasons), 2)) {
			t.Errorf("%d lines are logged about node %s", lines, n.Name())
		}
		logged += lines
	}
	want := 0
	if in.rejected != "" || len(in.reasons) > 0 {
		want = min(len(nodes), fewLines)
	}
	if logged < want || want == 0 && logged > 0 {
		t.Errorf("%d lines are logged about %d nodes, want %d", logged, len(nodes), want)
	}
	return first
}

func readLog(t *testing.T, p *cluster.Process) string {
	t.Helper()
	return string(must[[]byte](t)(os.ReadFile(p.LogFile())))
}

// families are a server's own metrics.
type families map[string]*dto.MetricFamily

func (c *crew) readMetrics(ctx context.Context) (families, error) {
	resp, err := rawclient.Open(ctx, c.client, c.url+"/metrics", http.Header{"Accept": {"text/plain"}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(resp.Body)
}

// each hands on the series of a family that have these labels, as key=value.
func (m families) each(name string, labels []string, visit func(*dto.Metric)) {
	for _, series := range m[name].GetMetric() {
		has := map[string]bool{}
		for _, pair := range series.GetLabel() {
			has[pair.GetName()+"="+pair.GetValue()] = true
		}
		if !slices.ContainsFunc(labels, func(l string) bool { return !has[l] }) {
			visit(series)
		}
	}
}

// sum adds up the series that have these labels.
func (m families) sum(name string, labels ...string) (total float64) {
	m.each(name, labels, func(series *dto.Metric) { total += series.GetCounter().GetValue() + series.GetGauge().GetValue() })
	return total
}

// meanScrape is how long a request to the nodes took.
func (m families) meanScrape(nodes []*kubeletsim.Node) time.Duration {
	seconds, count := 0.0, uint64(0)
	for _, n := range nodes {
		m.each("metrics_server_kubelet_request_duration_seconds", []string{"node=" + n.Name()}, func(series *dto.Metric) {
			seconds += series.GetHistogram().GetSampleSum()
			count += series.GetHistogram().GetSampleCount()
		})
	}
	return time.Duration(seconds / float64(max(count, 1)) * float64(time.Second))
}
