// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package nodeevent tests what operators are told, in Events and in the log, when
// kubelets of a real control plane's nodes fail. Two servers run, as in a cluster with
// high availability. An outage of a large cluster is
//
//	go test -v ./nodeevent -args -nodes=1000
package nodeevent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
	"github.com/kubemeter/metrics-server/test/process"
)

const (
	resolution = 10 * time.Second
	maxAge     = 2 * resolution
	// maxNodes is how many nodes a server tells of one by one.
	maxNodes = 20
	// patience is how long a test waits for what takes maxAge, some intervals and a
	// minute at most.
	patience = 4 * time.Minute

	unavailable, available = "MetricsUnavailable", "MetricsAvailable"
)

var (
	nodeCount = flag.Int("nodes", 50, "how many nodes there are, more than 40")
	local     *localcluster.Local
	another   *cluster.Process
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := process.RaiseFileLimit(4 * *nodeCount); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: *nodeCount, Pods: 2 * *nodeCount,
		ServerFlags: []string{"--metric-resolution=" + resolution.String(), "--metric-max-age=" + maxAge.String(), "--kubelet-request-timeout=4s"},
	}, func(l *localcluster.Local) (code int) {
		local = l
		p, url, err := l.StartAnother()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		another = p
		if err := waitReady(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code = m.Run()
		if err := errors.Join(p.Stop(), p.Wait()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}))
}

// waitReady waits until the second server has scraped the nodes, too.
func waitReady(url string) error {
	config := local.AdminConfig()
	config.Host = url
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		var resp *http.Response
		if resp, err = client.Get(url + "/readyz"); err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		err = fmt.Errorf("/readyz: %s", resp.Status)
	}
	return fmt.Errorf("the second server is not ready: %w", err)
}

func node(t *testing.T, i int) *kubeletsim.Node {
	t.Helper()
	n, ok := local.Kubelets.Node(fmt.Sprint("node-", i))
	if !ok {
		t.Fatalf("there is no node-%d", i)
	}
	return n
}

// set gives some nodes faults, or none.
func set(t *testing.T, from, to int, faults ...kubeletsim.Fault) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := node(t, i).SetFaults(faults...); err != nil {
			t.Fatal(err)
		}
	}
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := local.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// events returns those with a reason, about objects of a kind and with a name, or any
// if it is "".
func events(ctx context.Context, kind, name, reason string) (found []eventsv1.Event, err error) {
	list, err := local.Client().EventsV1().Events(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, e := range list.Items {
		if e.Regarding.Kind == kind && (name == "" || e.Regarding.Name == name) && e.Reason == reason {
			found = append(found, e)
		}
	}
	return found, nil
}

// waitEvent waits for an Event about one object.
func waitEvent(t *testing.T, kind, name, reason string) (event eventsv1.Event) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		found, err := events(t.Context(), kind, name, reason)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("%s %s has no Event %s", kind, name, reason)
		}
		if err == nil {
			event = found[0]
		}
		return err
	})
	return event
}

// waitFailures waits until both servers have seen a node fail with a status for longer
// than it takes to tell of it, by what they have sent to its kubelet: each scrapes it
// once an interval.
func waitFailures(t *testing.T, n *kubeletsim.Node, status int) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		if got := n.Requests()[kubeletsim.Request{Path: "/metrics/resource", Status: status}]; got < 2*int(maxAge/resolution+3) {
			return fmt.Errorf("%d scrapes have failed", got)
		}
		return nil
	})
}

func waitNodes(t *testing.T, want int) {
	t.Helper()
	client, err := metricsclient.NewForConfig(local.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, patience, func() error {
		list, err := client.MetricsV1().NodeMetricses().List(t.Context(), metav1.ListOptions{})
		if err == nil && len(list.Items) != want {
			err = fmt.Errorf("%d nodes are served, want %d", len(list.Items), want)
		}
		return err
	})
}

// logLines counts those of both servers, by their message.
func logLines(t *testing.T) (total int, messages map[string]int) {
	t.Helper()
	message := regexp.MustCompile(`^[IWE]\d{4} .*?\] "((?:[^"\\]|\\.)*)"`)
	messages = map[string]int{}
	for _, p := range []*cluster.Process{local.Server, another} {
		text, err := os.ReadFile(p.LogFile())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			total++
			if m := message.FindStringSubmatch(line); m != nil {
				messages[m[1]]++
			}
		}
	}
	return total, messages
}

// written counts the Events of each kind.
func written(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, kind := range []string{"Node", "APIService"} {
		for _, reason := range []string{unavailable, available} {
			found, err := events(t.Context(), kind, "", reason)
			if err != nil {
				t.Fatal(err)
			}
			counts[kind+" "+reason] = len(found)
		}
	}
	return counts
}

// describe is what kubectl describe shows under Events.
func describe(t *testing.T, kind, name string) string {
	t.Helper()
	_, shown, _ := strings.Cut(kubectl(t, "describe", kind, name), "\nEvents:")
	return shown
}

func TestNodeThatFailsAndRecovers(t *testing.T) {
	n := node(t, 0)
	set(t, 0, 1, kubeletsim.Status(http.StatusForbidden))
	waitEvent(t, "Node", n.Name(), unavailable)
	waitFailures(t, n, http.StatusForbidden)
	set(t, 0, 1)
	waitEvent(t, "Node", n.Name(), available)
	waitNodes(t, *nodeCount)

	shown := describe(t, "node", n.Name())
	t.Logf("kubectl describe node %s:\n%s", n.Name(), shown)
	for _, part := range []string{"Warning", unavailable, "(forbidden)", "needs the verb get on nodes/metrics", "Normal", available, "metrics-server"} {
		if !strings.Contains(shown, part) {
			t.Errorf("%q is not shown", part)
		}
	}
	listed := kubectl(t, "get", "events", "--namespace=default", "--field-selector=involvedObject.kind=Node,reason="+unavailable)
	t.Logf("kubectl get events:\n%s", listed)
	if !strings.Contains(listed, "node/"+n.Name()) {
		t.Errorf("kubectl get events does not list %s", n.Name())
	}
	// Both servers have seen it, and told of it once.
	for _, reason := range []string{unavailable, available} {
		found, err := events(t.Context(), "Node", n.Name(), reason)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 || found[0].Series != nil {
			t.Errorf("%d Events %s, the first with series %v", len(found), reason, found[0].Series)
		}
	}
}

// What happens while the API server is away is told when it is back.
func TestAPIServerAway(t *testing.T) {
	n := node(t, 1)
	if err := local.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	// Kubelets cannot ask the API server either.
	set(t, 1, 2, kubeletsim.Status(http.StatusServiceUnavailable))
	waitFailures(t, n, http.StatusServiceUnavailable)
	returned := time.Now()
	if err := local.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := waitEvent(t, "Node", n.Name(), unavailable)
	t.Logf("the API server was away for %s; %s after its return there is an Event of %s before", returned.Sub(stopped).Round(time.Second),
		time.Since(returned).Round(time.Second), returned.Sub(e.EventTime.Time).Round(time.Second))
	if e.EventTime.After(returned) {
		t.Errorf("the Event is of %s, when the API server was back", e.EventTime)
	}
	set(t, 1, 2)
	waitEvent(t, "Node", n.Name(), available)
	waitNodes(t, *nodeCount)
}

// Without the right, all but Events goes on, and the log tells once how to get them.
func TestRightIsMissing(t *testing.T) {
	const message = "No Events are written for nodes without metrics"
	kubectl(t, "delete", "--namespace=default", "rolebinding/metrics-server-events")
	set(t, 2, 4, kubeletsim.Status(http.StatusForbidden))
	count := func() (n int) {
		_, messages := logLines(t)
		for m, times := range messages {
			if strings.HasPrefix(m, message) {
				n += times
			}
		}
		return n
	}
	eventually.Succeeds(t, patience, func() error {
		if n := count(); n != 2 {
			return fmt.Errorf("%d servers have logged it", n)
		}
		return nil
	})
	waitFailures(t, node(t, 3), http.StatusForbidden)
	waitNodes(t, *nodeCount-2)
	if n := count(); n != 2 {
		t.Errorf("2 servers have logged it %d times", n)
	}
	manifest, err := os.ReadFile(filepath.Join("..", "..", "manifests", "base", "rbac.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := local.Apply(t.Context(), string(manifest)); err != nil {
		t.Fatal(err)
	}
	set(t, 2, 4)
	for i := 2; i < 4; i++ {
		waitEvent(t, "Node", node(t, i).Name(), available)
	}
	waitNodes(t, *nodeCount)
}

// An outage of all nodes at once is the last test: it leaves no node untold.
func TestOutage(t *testing.T) {
	const apiService = "v1beta1.metrics.k8s.io"
	toldBefore := written(t)
	linesBefore, before := logLines(t)
	began := time.Now()
	set(t, 0, *nodeCount, kubeletsim.ConnectionReset())
	e := waitEvent(t, "APIService", apiService, unavailable)
	t.Logf("after %s: %s", time.Since(began).Round(time.Second), e.Note)
	if !strings.Contains(e.Note, fmt.Sprintf("of %d nodes have no metrics", *nodeCount)) {
		t.Errorf("the note does not say of how many nodes: %s", e.Note)
	}
	if shown := describe(t, "apiservice", apiService); !strings.Contains(shown, unavailable) {
		t.Errorf("kubectl describe apiservice shows %s", shown)
	}
	waitNodes(t, 0)
	set(t, 0, *nodeCount)
	waitEvent(t, "APIService", apiService, available)
	waitNodes(t, *nodeCount)

	linesAfter, after := logLines(t)
	told := written(t)
	for what, n := range toldBefore {
		told[what] -= n
	}
	t.Logf("an outage of %d nodes for %s, told by 2 servers: Events %v, %d lines logged", *nodeCount, time.Since(began).Round(time.Second), told, linesAfter-linesBefore)
	for message, n := range after {
		if n > before[message] {
			t.Logf("%3d × %s", n-before[message], message)
		}
	}
	// The servers do not know which nodes the other one tells of.
	if n := told["Node "+unavailable]; n < maxNodes/2 || n > 2*maxNodes {
		t.Errorf("%d nodes have a new Event, at most %d of each server are due", n, maxNodes)
	}
	if n := told["APIService "+unavailable]; n > 4 {
		t.Errorf("%d Events tell of all nodes", n)
	}
	// Per server and minute 20 begin, 20 end, and there is a summary.
	minutes := int(time.Since(began)/time.Minute) + 1
	if n := linesAfter - linesBefore; n > 2*minutes*(2*maxNodes+1) {
		t.Errorf("%d lines are logged in %d minutes", n, minutes)
	}
}
