// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/kubemeter/metrics-server/test/process"
	"github.com/kubemeter/metrics-server/test/rawclient"
)

// read is a request and what has to come.
type read struct {
	path   string
	accept string
	gzip   bool
	want   int // objects, or rows of a table
}

const (
	acceptJSON     = "application/json"
	acceptProtobuf = "application/vnd.kubernetes.protobuf"
	// acceptTable is what kubectl get asks for.
	acceptTable = "application/json;as=Table;v=v1;g=meta.k8s.io"
)

// The names of reads in reports.
const (
	listPodsJSON     = "LIST all pods, JSON"
	listPodsProtobuf = "LIST all pods, protobuf"
	listPodsGzip     = "LIST all pods, JSON with gzip"
	listPodsTable    = "LIST all pods, table"
	listNamespace    = "LIST one namespace, JSON"
	listSelector     = "LIST by label selector, JSON"
	listNodesJSON    = "LIST nodes, JSON"
	listNodesProto   = "LIST nodes, protobuf"
	getPod           = "GET one pod, JSON"
	getNode          = "GET one node, JSON"
)

// kind of read, of which each request may be for something else.
type kind struct {
	name string
	next func() read
}

func (t *target) kinds() []kind {
	w := t.workload
	always := func(r read) func() read { return func() read { return r } }
	return []kind{
		{listPodsJSON, always(read{path: "/pods", accept: acceptJSON, want: w.pods()})},
		{listPodsProtobuf, always(read{path: "/pods", accept: acceptProtobuf, want: w.pods()})},
		{listPodsGzip, always(read{path: "/pods", accept: acceptJSON, gzip: true, want: w.pods()})},
		{listPodsTable, always(read{path: "/pods", accept: acceptTable, want: w.pods()})},
		{listNamespace, func() read {
			namespace := t.random.IntN(w.namespaces())
			return read{path: "/namespaces/" + namespaceName(namespace) + "/pods", accept: acceptJSON, want: w.podsOf(namespace)}
		}},
		{listSelector, func() read { return w.hpaRead(t.random.IntN(w.pods())) }},
		{listNodesJSON, always(read{path: "/nodes", accept: acceptJSON, want: w.nodes})},
		{listNodesProto, always(read{path: "/nodes", accept: acceptProtobuf, want: w.nodes})},
		{getPod, func() read {
			pod := t.random.IntN(w.pods())
			return read{path: "/namespaces/" + w.namespace(pod) + "/pods/" + w.podName(pod), accept: acceptJSON, want: 1}
		}},
		{getNode, func() read {
			return read{path: "/nodes/" + w.nodeName(t.random.IntN(w.nodes)), accept: acceptJSON, want: 1}
		}},
	}
}

// hpaRead is what the HorizontalPodAutoscaler of a pod's application reads.
func (w *workload) hpaRead(pod int) read {
	query := url.Values{"labelSelector": {w.selector(pod)}}
	return read{path: "/namespaces/" + w.namespace(pod) + "/pods?" + query.Encode(), accept: acceptJSON, want: w.podsOfApplication(pod)}
}

// Read is what one kind of read took.
type Read struct {
	Name string
	// Time is from the request to the last byte of the answer.
	Time Distribution
	// Bytes of the first answer's body, as sent.
	Bytes int64
	// CPUPerRequest is the server's, without that of scraping at rest, in seconds.
	CPUPerRequest float64
	Cost          Cost
	// Growth is how much more memory was resident at most than before the reads, or
	// at rest if that was less: what earlier reads have left behind is growth, too.
	// It is in bytes.
	Growth int64
}

// leastReads is how many reads of a kind there are, however long they take.
const leastReads = 5

func (t *target) reads(ctx context.Context) error {
	var all []error
	for _, k := range t.kinds() {
		r, err := t.measureReads(ctx, k)
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", k.name, err))
			continue
		}
		t.result.Reads = append(t.result.Reads, r)
	}
	return errors.Join(all...)
}

// measureReads checks that the first answer is complete, and reads the others
// without a look at them.
func (t *target) measureReads(ctx context.Context, k kind) (*Read, error) {
	pid := t.process.PID()
	before, err := process.Read(pid)
	if err != nil {
		return nil, err
	}
	least := before.Resident
	if t.result.Rest != nil {
		least = min(least, t.result.Rest.Memory.Resident)
	}
	if err := process.ResetPeak(pid); err != nil {
		return nil, err
	}
	bytes, err := t.check(ctx, k.next())
	if err != nil {
		return nil, err
	}
	m, err := startMeter(pid)
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	for len(times) < leastReads || time.Since(m.began) < t.ReadTime {
		began := time.Now()
		if err := t.discard(ctx, k.next()); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	cost, after, err := m.cost()
	if err != nil {
		return nil, err
	}
	return &Read{
		Name: k.name, Time: newDistribution(times), Bytes: bytes, Cost: cost,
		CPUPerRequest: (cost.Server - t.restCPU) * cost.Seconds / float64(len(times)),
		Growth:        int64(after.Peak) - int64(least),
	}, nil
}

func (t *target) open(ctx context.Context, r read) (*http.Response, error) {
	headers := http.Header{"Accept": {r.accept}}
	if r.gzip {
		headers.Set("Accept-Encoding", "gzip")
	}
	return rawclient.Open(ctx, t.client, t.base+r.path, headers)
}

func (t *target) discard(ctx context.Context, r read) error {
	resp, err := t.open(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// check reads an answer, and fails unless it is complete. It returns the number of
// bytes that were sent.
func (t *target) check(ctx context.Context, r read) (int64, error) {
	resp, err := t.open(ctx, r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	sent := &countingReader{r: resp.Body}
	var body io.Reader = sent
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(sent); err != nil {
			return 0, err
		}
	}
	got, err := count(body, r)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", r.path, err)
	}
	if got != r.want {
		return 0, fmt.Errorf("%s has %d of %d objects", r.path, got, r.want)
	}
	return sent.n, nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
