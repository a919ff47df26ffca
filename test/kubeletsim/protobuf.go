// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"math"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of io.prometheus.client.MetricFamily and the messages in it
// (github.com/prometheus/client_model/io/prometheus/client/metrics.proto).
const (
	familyName   protowire.Number = 1
	familyHelp   protowire.Number = 2
	familyType   protowire.Number = 3
	familyMetric protowire.Number = 4

	metricLabel       protowire.Number = 1
	metricGauge       protowire.Number = 2
	metricCounter     protowire.Number = 3
	metricTimestampMs protowire.Number = 6

	labelName  protowire.Number = 1
	labelValue protowire.Number = 2

	// value is field 1 of both Gauge and Counter.
	scalarValue protowire.Number = 1
)

// scalarSize is the size of a Gauge or Counter: a tag and eight bytes.
const scalarSize = 9

// appendProtobuf appends the answer as MetricFamily messages, each after its
// length as a varint.
func (s *snapshot) appendProtobuf(b []byte) []byte {
	for i := range families {
		f := &families[i]
		samples := s.samples[f.scope]
		if s.missing[i] || len(samples) == 0 {
			continue
		}
		start := len(b)
		b = append(b, f.protobufHeader...)
		for j := range samples {
			b = f.appendProtobufSeries(b, &samples[j], s.timeless)
		}
		b = insertLength(b, start)
	}
	return b
}

// insertLength puts the length of b[start:] in front of it. Moving the bytes is
// cheaper than working out the length beforehand.
func insertLength(b []byte, start int) []byte {
	size := len(b) - start
	b = protowire.AppendVarint(b, uint64(size))
	prefix := len(b) - start - size
	copy(b[start+prefix:], b[start:start+size])
	protowire.AppendVarint(b[:start], uint64(size))
	return b
}

func (f *family) appendProtobufSeries(b []byte, s *sample, timeless bool) []byte {
	labels := s.protobufLabels()
	timeless = timeless || f.timeless
	size := len(labels) + 2 + scalarSize
	if !timeless {
		size += 1 + protowire.SizeVarint(uint64(s.time))
	}
	b = protowire.AppendTag(b, familyMetric, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = append(b, labels...)
	scalar := metricGauge
	if f.kind == dto.MetricType_COUNTER {
		scalar = metricCounter
	}
	b = protowire.AppendTag(b, scalar, protowire.BytesType)
	b = protowire.AppendVarint(b, scalarSize)
	b = protowire.AppendTag(b, scalarValue, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(f.valueOf(s)))
	if !timeless {
		b = protowire.AppendTag(b, metricTimestampMs, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(s.time))
	}
	return b
}

// protobufLabels are the LabelPair fields of a Metric, empty for a node.
func (id *identity) protobufLabels() string {
	if id.protobuf == "" && id.pod != "" {
		id.protobuf = string(id.encodeProtobuf())
	}
	return id.protobuf
}

func (id *identity) encodeProtobuf() []byte {
	var b []byte
	for _, l := range id.labels() {
		b = protowire.AppendTag(b, metricLabel, protowire.BytesType)
		start := len(b)
		b = protowire.AppendTag(b, labelName, protowire.BytesType)
		b = protowire.AppendString(b, l.name)
		b = protowire.AppendTag(b, labelValue, protowire.BytesType)
		b = protowire.AppendString(b, l.value)
		b = insertLength(b, start)
	}
	return b
}
