// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"bytes"
	"fmt"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"
)

type timedAnswer struct {
	name   string
	format Format
	body   []byte
}

// timedAnswers are like those of a kubelet with that many pods.
func timedAnswers(t testing.TB) []timedAnswer {
	t.Helper()
	var answers []timedAnswer
	for _, size := range []struct{ pods, containers int }{{30, 2}, {110, 3}} {
		families := kubeletFamilies(size.pods, size.containers)
		name := fmt.Sprintf("%dx%d", size.pods, size.containers)
		answers = append(answers,
			timedAnswer{"Text/" + name, Text, encode(t, expfmt.NewFormat(expfmt.TypeTextPlain), families)},
			timedAnswer{"Delimited/" + name, Delimited, encode(t, expfmt.NewFormat(expfmt.TypeProtoDelim), families)})
	}
	return answers
}

func encode(t testing.TB, format expfmt.Format, families []*dto.MetricFamily) []byte {
	t.Helper()
	var b bytes.Buffer
	encoder := expfmt.NewEncoder(&b, format)
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// kubeletFamilies are the families that a kubelet v1.37 writes, with values of
// the same number of digits.
func kubeletFamilies(pods, containers int) []*dto.MetricFamily {
	const now = 1795432886000
	ofContainers := func(name, help string, kind dto.MetricType, timed bool, value func(i int) float64) *dto.MetricFamily {
		f := newFamily(name, help, kind)
		for c := range containers {
			for p := range pods {
				i := p*containers + c
				f.Metric = append(f.Metric, newMetric(kind, value(i), timed, now+int64(i),
					"container", fmt.Sprintf("container-%d", c), "namespace", fmt.Sprintf("team-%d", p%7), "pod", podName(p)))
			}
		}
		return f
	}
	ofPods := func(name, help string, kind dto.MetricType, value func(i int) float64) *dto.MetricFamily {
		f := newFamily(name, help, kind)
		for p := range pods {
			f.Metric = append(f.Metric, newMetric(kind, value(p), true, now+int64(p), "namespace", fmt.Sprintf("team-%d", p%7), "pod", podName(p)))
		}
		return f
	}
	ofNode := func(name, help string, kind dto.MetricType, timed bool, value float64) *dto.MetricFamily {
		f := newFamily(name, help, kind)
		f.Metric = append(f.Metric, newMetric(kind, value, timed, now))
		return f
	}
	seconds := func(i int) float64 { return float64(18_072_312_160+i*7_919_119_557) / 1e9 }
	size := func(i int) float64 { return float64(22_269_952 + i*1_343_488) }
	zero := func(int) float64 { return 0 }
	start := func(i int) float64 { return float64(1_795_432_684_176_541_800+i*1_234_567_891) / 1e9 }
	const counter, gauge = dto.MetricType_COUNTER, dto.MetricType_GAUGE
	return []*dto.MetricFamily{
		ofContainers("container_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the container in core-seconds", counter, true, seconds),
		ofContainers("container_memory_working_set_bytes", "[STABLE] Current working set of the container in bytes", gauge, true, size),
		ofContainers("container_start_time_seconds", "[STABLE] Start time of the container since unix epoch in seconds", gauge, false, start),
		ofContainers("container_swap_limit_bytes", "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems", gauge, true, zero),
		ofContainers("container_swap_usage_bytes", "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems", gauge, true, zero),
		ofNode("node_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the node in core-seconds", counter, true, 3577.896618583),
		ofNode("node_memory_working_set_bytes", "[STABLE] Current working set of the node in bytes", gauge, true, 10431946752),
		ofNode("node_swap_usage_bytes", "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems", gauge, true, 0),
		ofPods("pod_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds", counter, seconds),
		ofPods("pod_memory_working_set_bytes", "[STABLE] Current working set of the pod in bytes", gauge, size),
		ofPods("pod_swap_usage_bytes", "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems", gauge, zero),
		ofNode("resource_scrape_error", "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise", gauge, false, 0),
		ofNode("scrape_error", "[ALPHA] 1 if there was an error while getting container metrics, 0 otherwise", gauge, false, 0),
	}
}

func podName(i int) string { return fmt.Sprintf("frontend-%05x-x%04d", 0x7d9c5+i*7919%0x1000, i) }

func newFamily(name, help string, kind dto.MetricType) *dto.MetricFamily {
	return &dto.MetricFamily{Name: proto.String(name), Help: proto.String(help), Type: kind.Enum()}
}

// newMetric makes a metric with labels given as name, value, name, value.
func newMetric(kind dto.MetricType, value float64, timed bool, milliseconds int64, labels ...string) *dto.Metric {
	m := &dto.Metric{}
	for i := 0; i < len(labels); i += 2 {
		m.Label = append(m.Label, &dto.LabelPair{Name: proto.String(labels[i]), Value: proto.String(labels[i+1])})
	}
	switch kind {
	case dto.MetricType_COUNTER:
		m.Counter = &dto.Counter{Value: proto.Float64(value)}
	case dto.MetricType_GAUGE:
		m.Gauge = &dto.Gauge{Value: proto.Float64(value)}
	default:
		m.Untyped = &dto.Untyped{Value: proto.Float64(value)}
	}
	if timed {
		m.TimestampMs = proto.Int64(milliseconds)
	}
	return m
}

func BenchmarkDecode(b *testing.B) {
	for _, answer := range timedAnswers(b) {
		b.Run(answer.name+"/ours", func(b *testing.B) { timeDecoder(b, answer) })
		b.Run(answer.name+"/expfmt", func(b *testing.B) {
			b.SetBytes(int64(len(answer.body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := expfmtFamilies(answer.format, answer.body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Summary/2x2/ours", func(b *testing.B) {
		timeDecoder(b, timedAnswer{format: Summary, body: fixture(b, summaryFixture)})
	})
}

func timeDecoder(b *testing.B, answer timedAnswer) {
	var d Decoder
	b.SetBytes(int64(len(answer.body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(answer.format, answer.body, sentAt); err != nil {
			b.Fatal(err)
		}
	}
}
