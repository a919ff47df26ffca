// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package overload

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/process"
)

const readers = 100

// With a crowd that lists everything and reads slowly, memory stays under its limit,
// scraping keeps its pace, small reads are answered, and lists that are too many are
// refused, with clients that try again.
func TestSlowReadersOfEverything(t *testing.T) {
	s := startSite(t)
	client, err := metricsclient.NewForConfig(s.admin)
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]float64{"node": nodes, "pod": pods} {
		s.eventually(t, func() error {
			served, err := s.metric(t, "metrics_server_storage_served", "type="+kind)
			if err == nil && served != want {
				err = fmt.Errorf("%v of %v %ss are served", served, want, kind)
			}
			return err
		})
	}
	before := s.mustMetrics(t)
	crowd := s.startCrowd(t, readers)
	// The peak is that of the crowd, and not of the start.
	if err := process.ResetPeak(s.server.PID()); err != nil {
		t.Fatal(err)
	}
	most, small := uint64(0), 0
	s.eventually(t, func() error {
		s.readSmall(t, client)
		small++
		u, err := process.Read(s.server.PID())
		if err != nil {
			return err
		}
		most = max(most, u.Anonymous)
		if err := crowd.overload(readers); err != nil {
			return err
		}
		scrapes, err := s.metric(t, "metrics_server_scrape_total", "result=success")
		if err == nil && scrapes < before.scrapes+3*nodes {
			err = fmt.Errorf("%v scrapes since the crowd came", scrapes-before.scrapes)
		}
		return err
	})
	usage, err := process.Read(s.server.PID())
	if err != nil {
		t.Fatal(err)
	}
	after := s.mustMetrics(t)
	t.Logf("%d small reads; heap and stacks %d MiB, resident %d MiB at most, limit %d MiB; %v; %v scrapes, %v failed",
		small, most>>20, usage.Peak>>20, memoryLimit>>20, crowd, after.scrapes-before.scrapes, after.failed-before.failed)
	if most > memoryLimit {
		t.Errorf("heap and stacks are %d bytes, the limit is %d", most, memoryLimit)
	}
	if after.failed != before.failed {
		t.Errorf("%v scrapes failed", after.failed-before.failed)
	}
	if after.refused == 0 {
		t.Error("no refused list is counted")
	}

	// A usual client that is refused tries again by itself, until there is room.
	refused := &refusals{first: crowd.cancel}
	config := rest.CopyConfig(s.admin)
	config.Wrap(refused.wrap)
	retrying, err := metricsclient.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for refused.count.Load() == 0 {
		list, err := retrying.MetricsV1beta1().PodMetricses("").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != pods {
			t.Fatalf("a client that tries again has got %d of %d pods: %v", len(list.Items), pods, err)
		}
	}
	t.Logf("a client has got all pods after it was refused %d times", refused.count.Load())
	crowd.leave()
	if err := crowd.err(); err != nil {
		t.Errorf("the crowd: %v", err)
	}
}

// readSmall reads as autoscalers and people do, and asks whether scrapes are on time.
func (s *site) readSmall(t *testing.T, client metricsclient.Interface) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	list, err := client.MetricsV1beta1().PodMetricses(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=app-7"})
	if err != nil || len(list.Items) != podsPerApplication {
		t.Errorf("the pods of an application: %v", err)
	}
	if _, err := client.MetricsV1beta1().PodMetricses(namespace).Get(ctx, podName(7), metav1.GetOptions{}); err != nil {
		t.Errorf("a pod: %v", err)
	}
	if _, err := client.MetricsV1beta1().NodeMetricses().Get(ctx, "node-7", metav1.GetOptions{}); err != nil {
		t.Errorf("a node: %v", err)
	}
	if body, err := client.Discovery().RESTClient().Get().AbsPath("/livez").DoRaw(ctx); err != nil {
		t.Errorf("/livez: %v: %s", err, body)
	}
}

// refusals counts the answers that refuse, and tells of the first.
type refusals struct {
	count atomic.Int64
	first func()
}

func (r *refusals) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil && resp.StatusCode == http.StatusTooManyRequests && r.count.Add(1) == 1 {
			r.first()
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// eventually waits until check has no error.
func (s *site) eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-s.server.Exited():
			t.Fatalf("the server has ended: %v", s.server.Wait())
		case <-time.After(200 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", patience, err)
		}
	}
}

// counts are what the server says of itself.
type counts struct{ scrapes, failed, refused float64 }

func (s *site) mustMetrics(t *testing.T) (c counts) {
	t.Helper()
	for _, m := range []struct {
		to          *float64
		name, label string
	}{
		{&c.scrapes, "metrics_server_scrape_total", "result=success"},
		{&c.failed, "metrics_server_scrape_total", "result=failure"},
		{&c.refused, "metrics_server_api_refused_lists_total", "resource=pods"},
	} {
		var err error
		if *m.to, err = s.metric(t, m.name, m.label); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// metric returns the sum of a metric's series with a label, as key=value.
func (s *site) metric(t *testing.T, name, label string) (sum float64, err error) {
	t.Helper()
	client, err := metricsclient.NewForConfig(s.admin)
	if err != nil {
		return 0, err
	}
	text, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		return 0, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		return 0, err
	}
	for _, m := range families[name].GetMetric() {
		for _, pair := range m.GetLabel() {
			if pair.GetName()+"="+pair.GetValue() == label {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum, nil
}
