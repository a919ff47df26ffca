// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	metricsv1 "k8s.io/metrics/pkg/apis/metrics/v1"

	"github.com/kubemeter/metrics-server/test/eventually"
)

// The API server tells all that can be done with both versions.
func TestDiscovery(t *testing.T) {
	want := map[string][]string{"nodes": {"get", "list", "watch"}, "pods": {"get", "list", "watch"}}
	eventually.Succeeds(t, patience, func() error { // it asks the servers behind it from time to time
		status, body := request(t, local.AdminConfig(), "/apis", "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList")
		var groups apidiscoveryv2.APIGroupDiscoveryList
		if err := json.Unmarshal([]byte(body), &groups); err != nil || status != http.StatusOK {
			return fmt.Errorf("%d %w: %.300s", status, err, body)
		}
		i := slices.IndexFunc(groups.Items, func(g apidiscoveryv2.APIGroupDiscovery) bool { return g.Name == "metrics.k8s.io" })
		if i < 0 {
			return errors.New("there is no group metrics.k8s.io")
		}
		var versions []string
		for _, version := range groups.Items[i].Versions {
			versions = append(versions, version.Version)
			for _, r := range version.Resources {
				if !slices.Equal(r.Verbs, want[r.Resource]) {
					return fmt.Errorf("%s %s has the verbs %q", version.Version, r.Resource, r.Verbs)
				}
			}
			if len(version.Resources) != len(want) || version.Freshness != apidiscoveryv2.DiscoveryFreshnessCurrent {
				return fmt.Errorf("%s is %+v", version.Version, version)
			}
		}
		if !slices.Equal(versions, []string{"v1", "v1beta1"}) {
			return fmt.Errorf("the versions are %q", versions)
		}
		return nil
	})
}

// next returns the next event of a watch.
func next(t *testing.T, w watch.Interface) (watch.Event, bool) {
	t.Helper()
	select {
	case e, ok := <-w.ResultChan():
		return e, ok
	case <-time.After(patience):
		t.Fatalf("no event within %s", patience)
	}
	return watch.Event{}, false
}

// Whoever may view a namespace may watch its metrics.
func TestViewersMayWatch(t *testing.T) {
	kubectl(t, "create", "rolebinding", "watcher", "--clusterrole=view", "--user=watcher", "--namespace=checkout")
	defer kubectl(t, "delete", "rolebinding", "watcher", "--namespace=checkout")
	config, err := local.ClientFor("watcher")
	if err != nil {
		t.Fatal(err)
	}
	client := metricsOf(t, config)
	var w watch.Interface
	eventually.Succeeds(t, patience, func() (err error) { // a new binding takes a moment
		w, err = client.MetricsV1().PodMetricses("checkout").Watch(t.Context(), metav1.ListOptions{})
		return err
	})
	defer w.Stop()
	for range podsIn("checkout") {
		e, _ := next(t, w)
		if p, ok := e.Object.(*metricsv1.PodMetrics); !ok || e.Type != watch.Added || p.Namespace != "checkout" {
			t.Errorf("got %s %v", e.Type, e.Object)
		}
	}
	for resource, try := range map[string]func() (watch.Interface, error){
		"pods of another namespace": func() (watch.Interface, error) {
			return client.MetricsV1().PodMetricses("search").Watch(t.Context(), metav1.ListOptions{})
		},
		"nodes": func() (watch.Interface, error) {
			return client.MetricsV1().NodeMetricses().Watch(t.Context(), metav1.ListOptions{})
		},
	} {
		if _, err := try(); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", resource, err)
		}
	}
}

// A server that has been restarted does not know what was changed before. It
// says so, and who lists again goes on.
func TestWatchesAcrossARestart(t *testing.T) {
	client := metricsOf(t, local.AdminConfig()).MetricsV1().PodMetricses("")
	list := func() *metricsv1.PodMetricsList {
		l, err := client.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	before := list().ResourceVersion
	through, err := dynamic.NewForConfig(local.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	informer := dynamicinformer.NewFilteredDynamicInformer(through, metricsv1.SchemeGroupVersion.WithResource("pods"), "", 0, nil, nil).Informer()
	go informer.RunWithContext(t.Context())
	if !cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
		t.Fatal("the informer has not synced")
	}
	open, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: before})
	if err != nil {
		t.Fatal(err)
	}

	if err := errors.Join(local.Server.Stop(), local.Server.Wait()); err != nil {
		t.Fatal(err)
	}
	if err := local.StartServer(); err != nil {
		t.Fatal(err)
	}
	for ok := true; ok; { // until the open watch has ended
		_, ok = next(t, open)
	}
	if err := local.WaitAvailable(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitServed(t)

	w, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: before})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := next(t, w)
	if err := apierrors.FromObject(e.Object); e.Type != watch.Error || !apierrors.IsResourceExpired(err) {
		t.Errorf("a watch from before the restart begins with %s %v, want a 410", e.Type, e.Object)
	}
	if e, ok := next(t, w); ok {
		t.Errorf("it goes on with %s %v", e.Type, e.Object)
	}
	after := list()
	if number(t, after.ResourceVersion) <= number(t, before) {
		t.Errorf("the resource version is %s, and was %s before the restart", after.ResourceVersion, before)
	}
	w, err = client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: after.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for range podCount {
		e, _ := next(t, w)
		p, ok := e.Object.(*metricsv1.PodMetrics)
		if !ok || e.Type != watch.Modified || number(t, p.ResourceVersion) <= number(t, after.ResourceVersion) {
			t.Fatalf("got %s %v", e.Type, e.Object)
		}
	}
	eventually.Succeeds(t, patience, func() error {
		fresh := 0
		for _, o := range informer.GetStore().List() {
			fresh += btoi(number(t, o.(metav1.Object).GetResourceVersion()) > number(t, before))
		}
		if all := len(informer.GetStore().ListKeys()); all != podCount || fresh != podCount {
			return fmt.Errorf("the informer has %d pods, %d of them of after the restart", all, fresh)
		}
		return nil
	})
}

func number(t *testing.T, resourceVersion string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// SIGTERM ends a server although there are watches, and these with it: Stop would
// kill it, and say so.
func TestOpenWatchesDoNotHoldUpTheEnd(t *testing.T) {
	second := startSecond(t)
	client := metricsOf(t, second.config)
	nodes, err := client.MetricsV1().NodeMetricses().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pods, err := client.MetricsV1beta1().PodMetricses("").Watch(t.Context(), metav1.ListOptions{AllowWatchBookmarks: true})
	if err != nil {
		t.Fatal(err)
	}
	// One that nothing is ever sent on.
	none, err := client.MetricsV1().PodMetricses("").Watch(t.Context(), metav1.ListOptions{LabelSelector: "app=none"})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []watch.Interface{nodes, pods} {
		for e, ok := next(t, w); e.Type != watch.Added; e, ok = next(t, w) {
			if !ok || e.Type != watch.Bookmark { // of having begun with nothing
				t.Fatalf("got %s %v", e.Type, e.Object)
			}
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- errors.Join(second.process.Stop(), second.process.Wait()) }()
	for _, w := range []watch.Interface{nodes, pods, none} {
		for ok := true; ok; {
			var e watch.Event
			if e, ok = next(t, w); ok && e.Type == watch.Error {
				t.Errorf("a watch ends with %v", e.Object)
			}
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
