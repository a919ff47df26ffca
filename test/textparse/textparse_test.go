// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package textparse compares the server's decoder with the parser of Prometheus,
// which metrics-server of kubernetes-sigs uses, on the same answer of a kubelet.
package textparse

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/textparse"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

const pods, containersPerPod = 30, 2

// answer is the text that a kubelet sends.
func answer(t testing.TB) []byte {
	t.Helper()
	ca, err := kubeletsim.NewCA("kubelet CA")
	if err != nil {
		t.Fatal(err)
	}
	const token = "token"
	s, err := kubeletsim.Start(kubeletsim.Options{CA: ca, Authenticate: func(got string) bool { return got == token }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	node, err := s.AddNode("node-1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods {
		pod := kubeletsim.Pod{Namespace: fmt.Sprintf("namespace-%d", i%7), Name: fmt.Sprintf("deployment-%d-6d4cf56db6-x7k2p", i)}
		for j := range containersPerPod {
			pod.Containers = append(pod.Containers, kubeletsim.Container{
				Name: fmt.Sprintf("container-%d", j), Start: time.Now().Add(-time.Hour),
				CPU: kubeletsim.Constant(0.0123 + float64(i)/1e4), Memory: kubeletsim.Constant(123<<20 + float64(i)*4096),
			})
		}
		if err := node.AddPod(pod); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	defer client.CloseIdleConnections()
	url := fmt.Sprintf("https://%s:%d/metrics/resource", node.Address(), s.Port())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	return body
}

// point is what is kept of a container or of the node.
type point struct {
	cpu, memory, start float64
	time               int64 // milliseconds
}

type containers map[types.NamespacedName]map[string]point

// parse does with the parser what metrics-server does: it looks at each series and
// cuts out of its text the labels that it wants, without having all of them parsed.
func parse(body []byte, now time.Time) (node point, all containers, err error) {
	parser, err := textparse.New(body, "text/plain", nil, textparse.ParserOptions{})
	if err != nil {
		return node, nil, err
	}
	all = containers{}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return node, all, nil
		}
		if err != nil {
			return node, all, err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		series, timestamp, value := parser.Series()
		milliseconds := now.UnixMilli()
		if timestamp != nil {
			milliseconds = *timestamp
		}
		name, labels, _ := bytes.Cut(series, []byte("{"))
		switch string(name) {
		case "node_cpu_usage_seconds_total":
			node.cpu, node.time = value, milliseconds
		case "node_memory_working_set_bytes":
			node.memory = value
		case "container_cpu_usage_seconds_total":
			all.change(labels, func(p *point) { p.cpu, p.time = value, milliseconds })
		case "container_memory_working_set_bytes":
			all.change(labels, func(p *point) { p.memory = value })
		case "container_start_time_seconds":
			all.change(labels, func(p *point) { p.start = value })
		}
	}
}

func (c containers) change(labels []byte, f func(*point)) {
	pod := types.NamespacedName{Namespace: labelValue(labels, "namespace"), Name: labelValue(labels, "pod")}
	if c[pod] == nil {
		c[pod] = map[string]point{}
	}
	container := labelValue(labels, "container")
	p := c[pod][container]
	f(&p)
	c[pod][container] = p
}

// labelValue takes a label for the first that begins like it: good enough for the
// labels that there are.
func labelValue(labels []byte, name string) string {
	_, after, _ := bytes.Cut(labels, []byte(name+`="`))
	value, _, _ := bytes.Cut(after, []byte(`"`))
	return string(value)
}

// Both find the same: what is compared is the same work.
func TestBothFindTheSame(t *testing.T) {
	body, now := answer(t), time.Now()
	node, all, err := parse(body, now)
	if err != nil || len(all) != pods {
		t.Fatalf("%d pods: %v", len(all), err)
	}
	var decoder exposition.Decoder
	samples, err := decoder.Decode(exposition.Text, body, now)
	if err != nil || len(samples.Containers) != pods*containersPerPod {
		t.Fatalf("%d containers: %v", len(samples.Containers), err)
	}
	check := func(what string, u *exposition.Usage, p point) {
		t.Helper()
		got := point{cpu: float64(u.CPU) / 1e9, memory: float64(u.Memory), time: u.Time / 1e6}
		if got.memory != p.memory || got.time != p.time || math.Abs(got.cpu-p.cpu) > 1e-8 {
			t.Errorf("%s: %+v and %+v", what, got, p)
		}
	}
	check("node", &samples.Node, node)
	for i := range samples.Containers {
		c := &samples.Containers[i]
		pod := types.NamespacedName{Namespace: string(c.Namespace), Name: string(c.Pod)}
		check(pod.String()+"/"+string(c.Name), &c.Usage, all[pod][string(c.Name)])
	}
}

func BenchmarkTextparse(b *testing.B) {
	body := answer(b)
	now := time.Now()
	b.Run("ours", func(b *testing.B) {
		var decoder exposition.Decoder
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if _, err := decoder.Decode(exposition.Text, body, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("prometheus", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if _, _, err := parse(body, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}
