// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package outage takes the API server and etcd away from a metrics server, and gives
// them back:
//
//	go test -v ./outage -args -for=10m
package outage

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	resolution = 10 * time.Second
	nodeCount  = 10
	podCount   = 60
	// patience is how long a test waits for what takes some intervals at most, or as
	// long as a client of the API server waits between two attempts.
	patience = 2 * time.Minute
	// decisionsKept is how long the server uses what the API server has decided.
	decisionsKept = 10 * time.Second
	// maxAtReturn is how many requests the server may send when the API server is
	// back: it lists and watches a handful of resources, and reviews readers.
	maxAtReturn = 60
)

var (
	duration = flag.Duration("for", 30*time.Second, "how long each outage lasts")
	local    *localcluster.Local
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: nodeCount, Pods: podCount,
		// The last is the chart's with metrics.enabled: test/install TestMetricsKeepsProbePaths.
		ServerFlags: []string{
			"--metric-resolution=" + resolution.String(), "--kubelet-request-timeout=4s",
			"--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
		},
	}, func(l *localcluster.Local) int {
		local = l
		return m.Run()
	}))
}

// Without an API server, scraping and serving go on from what is known. Whom the
// server knows by a certificate of an administrator is answered; whom it has to ask
// about is, for as long as it uses an earlier answer. Its return is no stampede.
func TestAPIServerGone(t *testing.T) {
	viewer := newReader(t, direct(viewerConfig(t)))
	holder := newReader(t, direct(tokenConfig(t)))
	administrator := newReader(t, direct(local.AdminConfig()))
	for name, r := range map[string]*reader{"viewer": viewer, "holder of a token": holder} {
		eventually.Succeeds(t, patience, func() error { return r.wantStatus(t.Context(), name, http.StatusOK) }) // new bindings take a moment
	}
	before := requests(t)
	stopped := time.Now()
	if err := local.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	back := func() {
		if err := local.StartAPIServer(t.Context()); err != nil {
			t.Error(err)
		}
	}
	defer func() {
		if back != nil {
			back()
		}
	}()
	o := administrator.observe(t, stopped, func(age time.Duration) {
		for name, r := range map[string]*reader{"viewer": viewer, "holder of a token": holder} {
			status := r.status(t.Context())
			t.Logf("%3.0f s: %s: %d", age.Seconds(), name, status)
			if age > 2*decisionsKept && status == http.StatusOK {
				t.Errorf("%s is answered without a decision, %s after the last", name, age)
			}
		}
	})
	gone := requests(t)
	t.Logf("without the API server for %s: %s; %.0f requests to it", duration, o, gone-before)

	returned := time.Now()
	back()
	back = nil
	waitFollowed(t, "late-1")
	followed := time.Since(returned)
	for name, r := range map[string]*reader{"viewer": viewer, "holder of a token": holder} {
		eventually.Succeeds(t, patience, func() error { return r.wantStatus(t.Context(), name, http.StatusOK) })
	}
	sent := requests(t) - gone
	t.Logf("the API server is back: a new pod is served after %.0f s, the server has sent %.0f requests", followed.Seconds(), sent)
	if sent > maxAtReturn {
		t.Errorf("%v requests when the API server was back, at most %d are due", sent, maxAtReturn)
	}
}

// Without etcd, the API server still says who may read, from what it has in memory:
// readers notice nothing, even through the aggregation layer.
func TestEtcdGone(t *testing.T) {
	aggregated := newReader(t, local.AdminConfig())
	before := requests(t)
	stopped := time.Now()
	if err := local.StopEtcd(); err != nil {
		t.Fatal(err)
	}
	back := func() {
		if err := local.StartEtcd(t.Context()); err != nil {
			t.Error(err)
		}
	}
	defer func() {
		if back != nil {
			back()
		}
	}()
	o := newReader(t, direct(local.AdminConfig())).observe(t, stopped, func(age time.Duration) {
		t.Logf("%3.0f s: through the aggregation layer: %d", age.Seconds(), aggregated.status(t.Context()))
	})
	gone := requests(t)
	t.Logf("without etcd for %s: %s; %.0f requests to the API server", duration, o, gone-before)

	returned := time.Now()
	back()
	back = nil
	waitFollowed(t, "late-2")
	followed := time.Since(returned)
	eventually.Succeeds(t, patience, func() error { return aggregated.wantStatus(t.Context(), "aggregated", http.StatusOK) })
	sent := requests(t) - gone
	t.Logf("etcd is back: a new pod is served after %.0f s, the server has sent %.0f requests", followed.Seconds(), sent)
	if sent > maxAtReturn {
		t.Errorf("%v requests when etcd was back, at most %d are due", sent, maxAtReturn)
	}
}

// direct is a way to the server itself, without the aggregation layer.
func direct(config *rest.Config) *rest.Config {
	config.Host = local.ServerURL()
	return config
}

// viewerConfig is of a user with a certificate, about whose rights the server asks.
func viewerConfig(t *testing.T) *rest.Config {
	t.Helper()
	config, err := local.ClientFor("viewer")
	if err != nil {
		t.Fatal(err)
	}
	bind(t, "--user=viewer")
	return config
}

// tokenConfig is of a service account, about whose token the server asks, too.
func tokenConfig(t *testing.T) *rest.Config {
	t.Helper()
	kubectl(t, "create", "serviceaccount", "holder", "--namespace=default")
	bind(t, "--serviceaccount=default:holder")
	token, err := local.ServiceAccountToken(t.Context(), "default", "holder")
	if err != nil {
		t.Fatal(err)
	}
	config := local.AnonymousConfig()
	config.BearerToken = token
	return config
}

func bind(t *testing.T, subject string) {
	t.Helper()
	_, name, _ := strings.Cut(subject, "=")
	kubectl(t, "create", "clusterrolebinding", "outage-"+strings.ReplaceAll(name, ":", "-"), "--clusterrole=view", subject)
}

func kubectl(t *testing.T, args ...string) {
	t.Helper()
	if _, err := local.Kubectl(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

// reader lists all pods.
type reader struct {
	client *http.Client
	host   string
	typed  metricsclient.Interface
}

func newReader(t *testing.T, config *rest.Config) *reader {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	typed, err := metricsclient.NewForConfigAndClient(config, client)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{client: client, host: config.Host, typed: typed}
}

// status is that of the answer, 0 if there is none.
func (r *reader) status(ctx context.Context) int {
	status, _ := r.get(ctx, "/apis/metrics.k8s.io/v1/pods")
	return status
}

func (r *reader) wantStatus(ctx context.Context, name string, want int) error {
	if got := r.status(ctx); got != want {
		return fmt.Errorf("%s gets %d, want %d", name, got, want)
	}
	return nil
}

func (r *reader) get(ctx context.Context, path string) (status int, body string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.host+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// observation is what a reader has seen.
type observation struct {
	reads  int
	oldest time.Duration // age of a sample, at most
}

func (o observation) String() string {
	return fmt.Sprintf("%d lists of all pods, none missing, samples at most %.0f s old", o.reads, o.oldest.Seconds())
}

// observe reads for the time of an outage, and calls also now and then. All pods must
// be served all the time, samples must get newer, and the server has to stay ready.
func (r *reader) observe(t *testing.T, since time.Time, also func(age time.Duration)) (o observation) {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var first, newest time.Time
	// A kubelet and a Prometheus without a right show no credentials.
	anonymous := newReader(t, direct(local.AnonymousConfig()))
	for {
		list, err := r.typed.MetricsV1().PodMetricses("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) < podCount {
			t.Errorf("%d of %d pods are served", len(list.Items), podCount)
		}
		for _, p := range list.Items {
			newest = latest(newest, p.Timestamp.Time)
			o.oldest = max(o.oldest, time.Since(p.Timestamp.Time))
		}
		if first.IsZero() {
			first = newest
		}
		for _, path := range []string{"/readyz", "/livez", "/healthz", "/metrics"} {
			if status, body := anonymous.get(t.Context(), path); status != http.StatusOK {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
		age := time.Since(since)
		if o.reads%10 == 0 {
			also(age)
		}
		o.reads++
		if age > *duration && newest.Sub(first) >= resolution {
			return o
		}
		if age > *duration+patience {
			t.Fatalf("the newest sample is of %s, and was of %s", newest, first)
		}
		<-tick.C
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// waitFollowed creates a pod, and waits until it is served through the aggregation
// layer: then the server follows the API server again.
func waitFollowed(t *testing.T, name string) {
	t.Helper()
	node, ok := local.Kubelets.Node("node-0")
	if !ok {
		t.Fatal("there is no node-0")
	}
	err := node.AddPod(kubeletsim.Pod{Namespace: "default", Name: name, Containers: []kubeletsim.Container{{
		Name: "main", CPU: kubeletsim.Constant(0.1), Memory: kubeletsim.Constant(64 << 20),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, patience, func() error { return local.CreatePod(t.Context(), "default", name, "node-0", nil, "main") })
	client, err := metricsclient.NewForConfig(local.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, patience, func() error {
		_, err := client.MetricsV1().PodMetricses("default").Get(t.Context(), name, metav1.GetOptions{})
		return err
	})
}

// requests is how many requests the server has sent to the API server, answered or
// not.
func requests(t *testing.T) (sum float64) {
	t.Helper()
	status, body := newReader(t, direct(local.AdminConfig())).get(t.Context(), "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families["rest_client_requests_total"].GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	return sum
}
