// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"

	"github.com/kubemeter/metrics-server/test/rawclient"
)

// Findings are what was found in what the server has served.
type Findings struct {
	mu sync.Mutex
	// Lists and Watches are how many were read, and Objects and Events how many
	// values in them were checked. Ended are watches that the server has ended.
	Lists, Watches, Objects, Events, Ended int
	// Wrong are values that are not those of the kubelets' samples, Missing are
	// nodes and pods that should be in a list and are not, and Stale those that were
	// served long after they were gone. Failed are requests without an answer.
	Wrong, Missing, Stale, Failed int
	// First of each of those.
	First []string
}

// note counts a problem, and keeps the first of its kind.
func (f *Findings) note(count *int, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *count++; *count == 1 {
		f.First = append(f.First, fmt.Sprintf(format, args...))
	}
}

func (f *Findings) count(counters ...*int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range counters {
		*c++
	}
}

// problem is nil if all was true and whole.
func (f *Findings) problem() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Wrong+f.Missing+f.Stale+f.Failed == 0 {
		return nil
	}
	return fmt.Errorf("%d wrong values, %d missing, %d stale, %d failed requests; the first: %q", f.Wrong, f.Missing, f.Stale, f.Failed, f.First)
}

// reader reads as clients do, and checks what it gets.
type reader struct {
	*cluster
	options  *Options
	findings *Findings
}

// client has connections of its own, which leave ends.
func (r *reader) client(contentType string) (c v1beta1.MetricsV1beta1Interface, leave func(), err error) {
	tls, err := rest.TLSConfigFor(r.Admin)
	if err != nil {
		return nil, nil, err
	}
	client := rawclient.New(tls)
	config := rest.CopyConfig(r.Admin)
	config.ContentType, config.AcceptContentTypes, config.QPS = contentType, contentType, -1
	c, err = v1beta1.NewForConfigAndClient(config, client)
	return c, client.CloseIdleConnections, err
}

// checkAll lists everything, and checks that all is there that has to be.
func (r *reader) checkAll(ctx context.Context, c v1beta1.MetricsV1beta1Interface) (nodes, pods int, err error) {
	began := time.Now()
	nodeList, err := c.NodeMetricses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, 0, err
	}
	podList, err := c.PodMetricses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, 0, err
	}
	r.findings.count(&r.findings.Lists, &r.findings.Lists)
	served := make(map[string]bool, len(nodeList.Items)+len(podList.Items))
	for i := range nodeList.Items {
		served[nodeList.Items[i].Name] = true
		r.checkNode(&nodeList.Items[i], began)
	}
	for i := range podList.Items {
		p := &podList.Items[i]
		served[p.Namespace+"/"+p.Name] = true
		r.checkPod(p, began)
	}
	r.truth.due(began.Add(-r.options.patience()), func(node string) {
		if !served[node] {
			r.findings.note(&r.findings.Missing, "node %s is not served at %s", node, began)
		}
	}, func(namespace, name, node string) {
		if !served[namespace+"/"+name] {
			r.findings.note(&r.findings.Missing, "pod %s/%s of node %s is not served at %s", namespace, name, node, began)
		}
	})
	return len(nodeList.Items), len(podList.Items), nil
}

func (r *reader) checkPod(m *metrics.PodMetrics, asked time.Time) {
	r.findings.count(&r.findings.Objects)
	p, ok := r.truth.pod(m.Namespace, m.Name)
	switch {
	case !ok:
		r.findings.note(&r.findings.Stale, "there is no pod %s/%s", m.Namespace, m.Name)
		return
	case !p.gone.IsZero() && asked.Sub(p.gone) > stale:
		r.findings.note(&r.findings.Stale, "pod %s/%s is gone since %s, and served at %s", m.Namespace, m.Name, p.gone, asked)
	}
	if err := r.ledger.CheckPod(p.node.Name(), m); err != nil {
		r.findings.note(&r.findings.Wrong, "%v", err)
	}
}

func (r *reader) checkNode(m *metrics.NodeMetrics, asked time.Time) {
	r.findings.count(&r.findings.Objects)
	n, ok := r.truth.node(m.Name)
	switch {
	case !ok:
		r.findings.note(&r.findings.Stale, "there is no node %s", m.Name)
		return
	case !n.gone.IsZero() && asked.Sub(n.gone) > stale:
		r.findings.note(&r.findings.Stale, "node %s is gone since %s, and served at %s", m.Name, n.gone, asked)
	}
	if err := r.ledger.CheckNode(m); err != nil {
		r.findings.note(&r.findings.Wrong, "%v", err)
	}
}

// visit reads for a while as one client, and goes.
func (r *reader) visit(ctx context.Context, random *rand.Rand) error {
	c, leave, err := r.client(contentTypes[random.IntN(len(contentTypes))])
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, r.stay(random))
	defer cancel()
	for ctx.Err() == nil {
		asked := time.Now()
		slot := random.IntN(r.options.Nodes * r.options.PodsPerNode)
		like := &pod{slot: slot}
		list, err := c.PodMetricses(like.namespace()).List(ctx, metav1.ListOptions{LabelSelector: applicationLabel + "=" + like.application()})
		switch {
		case err == nil:
			for i := range list.Items {
				r.checkPod(&list.Items[i], asked)
			}
			r.findings.count(&r.findings.Lists)
		case ctx.Err() == nil:
			r.findings.note(&r.findings.Failed, "list by label: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(random.Int64N(int64(200 * time.Millisecond)))):
		}
	}
	return nil
}

var contentTypes = []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf}

// stay is how long the next client stays.
func (r *reader) stay(random *rand.Rand) time.Duration {
	return time.Second + time.Duration(random.Int64N(int64(r.options.Stay)))
}

// watch follows nodes, or some pods, for a while, and goes.
func (r *reader) watch(ctx context.Context, random *rand.Rand) error {
	c, leave, err := r.client(contentTypes[random.IntN(len(contentTypes))])
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, r.stay(random))
	defer cancel()
	w, err := r.openWatch(ctx, c, random)
	if err != nil {
		if ctx.Err() == nil {
			r.findings.note(&r.findings.Failed, "watch: %v", err)
		}
		return nil
	}
	defer w.Stop()
	r.findings.count(&r.findings.Watches)
	known := map[string]bool{}
	for e := range w.ResultChan() {
		switch o := e.Object.(type) {
		case *metrics.PodMetrics:
			r.follow(known, e.Type, o.Namespace+"/"+o.Name)
			if e.Type != watch.Deleted {
				r.checkPod(o, time.Now())
			}
		case *metrics.NodeMetrics:
			r.follow(known, e.Type, o.Name)
			if e.Type != watch.Deleted {
				r.checkNode(o, time.Now())
			}
		case *metav1.Status:
			r.findings.note(&r.findings.Failed, "watch: %s", o.Message)
		}
	}
	if ctx.Err() == nil {
		r.findings.count(&r.findings.Ended)
	}
	return nil
}

// follow checks that an event fits those before.
func (r *reader) follow(known map[string]bool, event watch.EventType, key string) {
	r.findings.count(&r.findings.Events)
	if known[key] == (event == watch.Added) {
		r.findings.note(&r.findings.Wrong, "%s is %s, and was known: %v", key, event, known[key])
	}
	if known[key] = true; event == watch.Deleted {
		delete(known, key)
	}
}

// openWatch begins with what there is. Few watch all pods, as a watch of them costs
// its client more than the server.
func (r *reader) openWatch(ctx context.Context, c v1beta1.MetricsV1beta1Interface, random *rand.Rand) (watch.Interface, error) {
	slot := random.IntN(r.options.Nodes * r.options.PodsPerNode)
	like := &pod{slot: slot}
	switch n := random.IntN(20); {
	case n == 0:
		return c.PodMetricses(metav1.NamespaceAll).Watch(ctx, metav1.ListOptions{})
	case n < 6:
		return c.NodeMetricses().Watch(ctx, metav1.ListOptions{})
	case n < 10:
		r.truth.mu.RLock()
		node := r.truth.nodes[slot%r.options.Nodes].Name()
		r.truth.mu.RUnlock()
		return c.PodMetricses(metav1.NamespaceAll).Watch(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	default:
		return c.PodMetricses(like.namespace()).Watch(ctx, metav1.ListOptions{LabelSelector: applicationLabel + "=" + like.application()})
	}
}

// clients keeps a number of readers and watchers busy until the end: as one goes, the
// next comes.
func (r *reader) clients(ctx context.Context) error {
	var all sync.WaitGroup
	errs := make([]error, r.options.Readers+r.options.Watchers)
	for i := range errs {
		visit := r.watch
		if i < r.options.Readers {
			visit = r.visit
		}
		all.Go(func() {
			random := rand.New(rand.NewPCG(r.options.Seed, uint64(1+i)))
			for ctx.Err() == nil && errs[i] == nil {
				errs[i] = visit(ctx, random)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
