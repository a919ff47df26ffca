// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"
	"k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
)

const (
	// readEvery is the most that is between two reads of one kind.
	readEvery = 500 * time.Millisecond
	// requestTimeout is far above what a request takes that is answered.
	requestTimeout = 15 * time.Second
)

// reader reads through the aggregation layer, in all encodings, and has the model
// check what it gets. Direct does not need the API server.
type reader struct {
	t               *testing.T
	m               *model
	json, protobuf  v1beta1.MetricsV1beta1Interface
	direct, watcher v1beta1.MetricsV1beta1Interface
}

func newReader(t *testing.T, m *model) *reader {
	client := func(contentType, host string) v1beta1.MetricsV1beta1Interface {
		config := local.AdminConfig()
		config.Host, config.ContentType, config.AcceptContentTypes = host, contentType, contentType
		set, err := metricsclient.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		return set.MetricsV1beta1()
	}
	aggregated := local.AdminConfig()
	return &reader{
		t: t, m: m,
		json:     client(runtime.ContentTypeJSON, aggregated.Host),
		protobuf: client(runtime.ContentTypeProtobuf, aggregated.Host),
		watcher:  client(runtime.ContentTypeJSON, aggregated.Host),
		direct:   client(runtime.ContentTypeProtobuf, local.ServerURL()),
	}
}

// request bounds a request, and returns between which times it was answered.
func (r *reader) request(f func(context.Context) error) (from, to time.Time, err error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), requestTimeout)
	defer cancel()
	from = time.Now()
	err = f(ctx)
	return from, time.Now(), err
}

func (r *reader) either(random *rand.Rand) v1beta1.MetricsV1beta1Interface {
	if random.IntN(2) == 0 {
		return r.json
	}
	return r.protobuf
}

func everyPod(*pod) bool { return true }

func (r *reader) listPods(random *rand.Rand) { r.listPodsOf(r.either(random), false) }

// listDirectly is what goes on while the API server is away.
func (r *reader) listDirectly(*rand.Rand) {
	r.listPodsOf(r.direct, true)
	r.listNodesOf(r.direct, true)
}

func (r *reader) listPodsOf(c v1beta1.MetricsV1beta1Interface, direct bool) {
	var list *metrics.PodMetricsList
	from, to, err := r.request(func(ctx context.Context) (err error) {
		list, err = c.PodMetricses("").List(ctx, metav1.ListOptions{})
		return err
	})
	if err != nil {
		r.m.failed("a list of pods", direct, from, err)
		return
	}
	r.m.count("lists")
	r.m.checkAllPods(list.Items, everyPod, from, to)
}

func (r *reader) listNodes(random *rand.Rand) { r.listNodesOf(r.either(random), false) }

func (r *reader) listNodesOf(c v1beta1.MetricsV1beta1Interface, direct bool) {
	var list *metrics.NodeMetricsList
	from, to, err := r.request(func(ctx context.Context) (err error) {
		list, err = c.NodeMetricses().List(ctx, metav1.ListOptions{})
		return err
	})
	if err != nil {
		r.m.failed("a list of nodes", direct, from, err)
		return
	}
	r.m.count("lists")
	r.m.checkAllNodes(list.Items, from, to)
}

// selectPods reads as an HPA does.
func (r *reader) selectPods(random *rand.Rand) {
	app := applications[random.IntN(len(applications))]
	var list *metrics.PodMetricsList
	from, to, err := r.request(func(ctx context.Context) (err error) {
		list, err = r.either(random).PodMetricses(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
		return err
	})
	if err != nil {
		r.m.failed("a list by label", false, from, err)
		return
	}
	r.m.count("lists by label")
	r.m.checkAllPods(list.Items, func(p *pod) bool { return p.app == app }, from, to)
}

// getOne gets a pod that there is.
func (r *reader) getOne(random *rand.Rand) {
	r.m.mu.RLock()
	all := r.m.allPods()
	p := all[random.IntN(len(all))]
	r.m.mu.RUnlock()
	var got *metrics.PodMetrics
	from, to, err := r.request(func(ctx context.Context) (err error) {
		got, err = r.either(random).PodMetricses(p.namespace).Get(ctx, p.name, metav1.GetOptions{})
		return err
	})
	switch {
	case err == nil:
		r.m.count("gets")
		r.m.checkPod(got, from, to)
	case apierrors.IsNotFound(err) && apierrors.ReasonForError(err) == metav1.StatusReasonNotFound && isOurs(err):
		r.m.mu.Lock()
		defer r.m.mu.Unlock()
		r.m.counts["gets without metrics"]++
		if why := r.m.missing(p, from, to); why != "" {
			r.m.problem("%s/%s is not there: %s (%v)", p.namespace, p.name, why, err)
		}
	default:
		r.m.failed("a get", false, from, err)
	}
}

// isOurs is false for the aggregation layer's own 404, while it knows no server.
func isOurs(err error) bool {
	status, ok := err.(apierrors.APIStatus)
	return ok && status.Status().Details != nil && status.Status().Details.Group == metrics.GroupName
}

// all lists everything once.
func (r *reader) all() (pods []metrics.PodMetrics, nodes []metrics.NodeMetrics, err error) {
	_, _, err = r.request(func(ctx context.Context) error {
		podList, err := r.json.PodMetricses("").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		nodeList, err := r.json.NodeMetricses().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		pods, nodes = podList.Items, nodeList.Items
		return nil
	})
	return pods, nodes, err
}
