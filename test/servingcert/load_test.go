// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"github.com/kubemeter/metrics-server/test/localcluster"
)

// readRate is how many requests are made a second.
const readRate = 50

var apiServices = []string{"v1.metrics.k8s.io", "v1beta1.metrics.k8s.io"}

func apiServiceClient(t *testing.T) aggregator.Interface {
	t.Helper()
	client, err := aggregator.NewForConfig(local.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func apiService(t *testing.T, name string) *apiregistrationv1.APIService {
	t.Helper()
	service, err := apiServiceClient(t).ApiregistrationV1().APIServices().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func bundleOf(t *testing.T, name string) []byte {
	t.Helper()
	return apiService(t, name).Spec.CABundle
}

// load reads through the aggregation layer, and follows what it says about the
// server, until it is stopped.
type load struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	reads   atomic.Int64

	mu           sync.Mutex
	failures     []string
	certificates map[string]bool // of the Secret
	bundles      map[string]bool // of APIServices
}

func startLoad(t *testing.T) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel, certificates: map[string]bool{}, bundles: map[string]bool{}}
	t.Cleanup(func() { l.stop(t) })
	config := local.AdminConfig()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	l.running.Go(func() { l.read(ctx, client, config.Host) })
	services := apiServiceClient(t)
	for _, name := range apiServices {
		l.running.Go(func() { l.watch(ctx, services, name) })
	}
	l.running.Go(func() { l.watchSecret(ctx) })
	return l
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, time.Now().Format(time.TimeOnly)+" "+fmt.Sprintf(format, args...))
}

func (l *load) count(set map[string]bool, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if value != "" {
		set[value] = true
	}
}

// read does not wait for one answer before it sends the next request.
func (l *load) read(ctx context.Context, client *http.Client, host string) {
	tick := time.NewTicker(time.Second / readRate)
	defer tick.Stop()
	var requests sync.WaitGroup
	defer requests.Wait()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		path := host + "/apis/metrics.k8s.io/" + []string{"v1/nodes", "v1beta1/pods"}[i%2]
		requests.Go(func() {
			resp, err := client.Get(path)
			if err != nil {
				l.fail("%v", err)
				return
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK {
				l.fail("%s: %v: %s", resp.Status, err, text)
			}
			l.reads.Add(1)
		})
	}
}

// watch notes whenever an APIService is not available.
func (l *load) watch(ctx context.Context, client aggregator.Interface, name string) {
	for ctx.Err() == nil {
		w, err := client.ApiregistrationV1().APIServices().Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err != nil {
			if ctx.Err() == nil {
				l.fail("watch %s: %v", name, err)
			}
			return
		}
		for event := range w.ResultChan() {
			service, ok := event.Object.(*apiregistrationv1.APIService)
			if !ok {
				if ctx.Err() == nil {
					l.fail("watch %s: %v", name, event.Object)
				}
				continue
			}
			l.count(l.bundles, string(service.Spec.CABundle))
			for _, c := range service.Status.Conditions {
				if c.Type == apiregistrationv1.Available && c.Status != apiregistrationv1.ConditionTrue {
					l.fail("%s is not available: %s", name, c.Message)
				}
			}
		}
	}
}

// watchSecret counts the certificates that were in it.
func (l *load) watchSecret(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := local.Client().CoreV1().Secrets(metav1.NamespaceSystem).Watch(ctx,
			metav1.ListOptions{FieldSelector: "metadata.name=" + localcluster.CertificateSecret})
		if err != nil {
			if ctx.Err() == nil {
				l.fail("watch the Secret: %v", err)
			}
			return
		}
		for event := range w.ResultChan() {
			if s, ok := event.Object.(*corev1.Secret); ok && len(s.Data["tls.crt"]) > 100 {
				l.count(l.certificates, string(s.Data["tls.crt"]))
			}
		}
	}
}

// stop waits until all is answered.
func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.running.Wait()
}

func (l *load) report(t *testing.T, took time.Duration) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%d reads in %s; %d failures; %d certificates were in the Secret, and %d bundles in the APIServices",
		l.reads.Load(), took.Round(time.Second), len(l.failures), len(l.certificates), len(l.bundles))
	for _, f := range l.failures[:min(10, len(l.failures))] {
		t.Error(f)
	}
	// So many show a gap on a busy machine, too.
	if least := int64(took.Seconds()) * readRate / 4; l.reads.Load() < least {
		t.Errorf("want at least %d reads", least)
	}
	if least := 1 + int(took/validity); len(l.certificates) <= least {
		t.Errorf("want more than %d certificates", least)
	}
}
