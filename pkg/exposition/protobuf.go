// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of io.prometheus.client.MetricFamily, Metric, LabelPair and of Gauge,
// Counter and Untyped, and values of MetricType, after
// github.com/prometheus/client_model/io/prometheus/client/metrics.proto.
const (
	familyNameField   = 1
	familyTypeField   = 3
	familyMetricField = 4

	metricLabelField     = 1
	metricGaugeField     = 2
	metricCounterField   = 3
	metricUntypedField   = 5
	metricTimestampField = 6

	labelNameField  = 1
	labelValueField = 2

	valueField = 1

	counterType = 0
	gaugeType   = 1
	untypedType = 3
)

func (d *Decoder) decodeDelimited(body []byte) *Error {
	rest := body
	series := 0
	for families := 1; len(rest) > 0; families++ {
		if families > MaxFamilies {
			return tooLargeError("metric families", MaxFamilies)
		}
		offset := len(body) - len(rest)
		message, n, err := delimitedMessage(rest)
		if err == nil {
			err = d.readFamily(message, &series)
		}
		if err != nil {
			err.Position = fmt.Sprintf("metric family at byte %d", offset)
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// delimitedMessage gives the message that b starts with, and its length with
// that of its length.
func delimitedMessage(b []byte) (message []byte, length int, err *Error) {
	size, n := protowire.ConsumeVarint(b)
	if n < 0 && len(b) >= 10 {
		return nil, 0, syntaxError("expected the length of a message: %v", protowire.ParseError(n))
	}
	if n < 0 || size > uint64(len(b)-n) {
		return nil, 0, &Error{Reason: ReasonTruncated, Cause: fmt.Sprintf(
			"the message is longer than the %d bytes left: the answer was cut short, or is not in the delimited format", len(b))}
	}
	length = n + int(size)
	return b[n:length], length, nil
}

// readFamily reads one MetricFamily and adds to the number of series.
func (d *Decoder) readFamily(message []byte, series *int) *Error {
	h, err := readFamilyHeader(message)
	if err != nil {
		return err
	}
	if *series += h.metrics; *series > MaxSeries {
		return tooLargeError("series", MaxSeries)
	}
	f := familyOf(h.name)
	value := h.metricValueField()
	if f == otherFamily || value == 0 {
		return nil
	}
	d.containers.next = 0
	for b := message; len(b) > 0; {
		w, n := readField(b)
		if w.is(familyMetricField, protowire.BytesType) {
			if err := d.readMetric(f, value, w.bytes); err != nil {
				err.Cause = string(h.name) + ": " + err.Cause
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

// familyHeader is what has to be known of a MetricFamily before its metrics can
// be read. Its fields may come in any order, and the last of a kind counts.
type familyHeader struct {
	name       []byte
	metricType int32
	metrics    int
}

// readFamilyHeader walks over the whole message, so that each of its fields is
// known to be sound.
func readFamilyHeader(message []byte) (h familyHeader, err *Error) {
	for b := message; len(b) > 0; {
		w, n := readField(b)
		if n < 0 {
			return h, malformedError("metric family", n)
		}
		switch {
		case w.is(familyMetricField, protowire.BytesType):
			h.metrics++
		case w.is(familyNameField, protowire.BytesType):
			h.name = w.bytes
		case w.is(familyTypeField, protowire.VarintType):
			h.metricType = int32(w.number)
		}
		b = b[n:]
	}
	return h, nil
}

// metricValueField gives the field of Metric that holds the value, or 0 if
// metrics of this type are not read.
func (h *familyHeader) metricValueField() protowire.Number {
	switch h.metricType {
	case counterType:
		return metricCounterField
	case gaugeType:
		return metricGaugeField
	case untypedType:
		return metricUntypedField
	}
	return 0
}

// protoMetric is what is read of a Metric.
type protoMetric struct {
	labels labels
	// leading is how many labels precede all other fields, in leadingBytes.
	leading      int
	leadingBytes int
	value        float64
	hasValue     bool
	milliseconds int64
	timed        bool
}

// encodedLabels gives the bytes of the labels, or nothing if they do not all
// precede the other fields.
func (m *protoMetric) encodedLabels(message []byte) []byte {
	if m.leading < m.labels.count {
		return nil
	}
	return message[:m.leadingBytes]
}

// readMetric reads one Metric of the family.
func (d *Decoder) readMetric(f family, value protowire.Number, message []byte) *Error {
	var m protoMetric
	expected := d.containers.expected()
	if f.ofContainers() && len(expected) > 0 && bytes.HasPrefix(message, expected) {
		if err := m.read(message[len(expected):], value); err != nil {
			return err
		}
		if m.labels.count == 0 {
			d.addProtoMetric(d.containers.take(), f, &m)
			return nil
		}
		// More labels follow the expected ones.
		m = protoMetric{}
	}
	if err := m.read(message, value); err != nil {
		return err
	}
	u := &d.samples.Node
	if f.ofContainers() {
		var err *Error
		if u, err = d.containers.find(&m.labels, m.encodedLabels(message)); err != nil {
			return err
		}
	}
	d.addProtoMetric(u, f, &m)
	return nil
}

func (d *Decoder) addProtoMetric(u *Usage, f family, m *protoMetric) {
	if !m.hasValue {
		m.value = math.NaN()
	}
	d.add(u, f.field(), m.value, m.milliseconds, m.timed)
}

// read reads the fields of a Metric.
func (m *protoMetric) read(message []byte, value protowire.Number) *Error {
	for b := message; len(b) > 0; {
		if m.readPlainSample(b, value) {
			return nil
		}
		w, n := readField(b)
		if n < 0 {
			return malformedError("metric", n)
		}
		b = b[n:]
		var err *Error
		switch {
		case w.is(metricLabelField, protowire.BytesType):
			if end := len(message) - len(b); m.leadingBytes == end-n {
				m.leadingBytes = end
				m.leading++
			}
			err = m.readLabel(w.bytes)
		case w.is(value, protowire.BytesType):
			m.hasValue = true
			err = m.readValue(w.bytes)
		case w.is(metricTimestampField, protowire.VarintType):
			m.milliseconds = int64(w.number)
			m.timed = true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readPlainSample reads what is left of a Metric, if that is a value and perhaps
// a timestamp, encoded as all known encoders do.
func (m *protoMetric) readPlainSample(b []byte, value protowire.Number) bool {
	const (
		doubleTag    = valueField<<3 | byte(protowire.Fixed64Type)
		timestampTag = metricTimestampField<<3 | byte(protowire.VarintType)
	)
	if len(b) < 11 || b[0] != byte(value)<<3|byte(protowire.BytesType) || b[1] != 9 || b[2] != doubleTag {
		return false
	}
	if len(b) > 11 {
		if b[11] != timestampTag {
			return false
		}
		v, n := protowire.ConsumeVarint(b[12:])
		if n != len(b)-12 {
			return false
		}
		m.milliseconds = int64(v)
		m.timed = true
	}
	m.value = math.Float64frombits(binary.LittleEndian.Uint64(b[3:]))
	m.hasValue = true
	return true
}

// readLabel reads a LabelPair.
func (m *protoMetric) readLabel(message []byte) *Error {
	var name, value []byte
	for b := message; len(b) > 0; {
		w, n := readField(b)
		if n < 0 {
			return malformedError("label", n)
		}
		switch {
		case w.is(labelNameField, protowire.BytesType):
			name = w.bytes
		case w.is(labelValueField, protowire.BytesType):
			value = w.bytes
		}
		b = b[n:]
	}
	m.labels.set(name, value)
	return nil
}

// readValue reads a Gauge, Counter or Untyped. Where several are given, they
// are merged, so that one without a value changes nothing.
func (m *protoMetric) readValue(message []byte) *Error {
	for b := message; len(b) > 0; {
		w, n := readField(b)
		if n < 0 {
			return malformedError("value", n)
		}
		if w.is(valueField, protowire.Fixed64Type) {
			m.value = math.Float64frombits(w.number)
		}
		b = b[n:]
	}
	return nil
}

// wireField is one field of a message. Its value is in bytes or number,
// depending on the type; other types than varint, fixed64 and bytes have none.
type wireField struct {
	field    protowire.Number
	wireType protowire.Type
	bytes    []byte
	number   uint64
}

func (w *wireField) is(field protowire.Number, wireType protowire.Type) bool {
	return w.field == field && w.wireType == wireType
}

// readField reads the field that b starts with, and gives its length with its
// tag, or a negative number for protowire.ParseError.
func readField(b []byte) (w wireField, length int) {
	// Tag and length are nearly always one byte each.
	if len(b) >= 2 && b[0] < 0x80 && protowire.Type(b[0]&7) == protowire.BytesType && b[0] >= 8 && b[1] < 0x80 {
		if end := 2 + int(b[1]); end <= len(b) {
			return wireField{field: protowire.Number(b[0] >> 3), wireType: protowire.BytesType, bytes: b[2:end]}, end
		}
	}
	field, wireType, tag := protowire.ConsumeTag(b)
	if tag < 0 {
		return w, tag
	}
	w = wireField{field: field, wireType: wireType}
	var n int
	switch wireType {
	case protowire.VarintType:
		w.number, n = protowire.ConsumeVarint(b[tag:])
	case protowire.BytesType:
		w.bytes, n = protowire.ConsumeBytes(b[tag:])
	case protowire.Fixed64Type:
		if len(b) >= tag+8 {
			w.number = binary.LittleEndian.Uint64(b[tag:])
		}
		n = protowire.ConsumeFieldValue(field, wireType, b[tag:])
	default:
		n = protowire.ConsumeFieldValue(field, wireType, b[tag:])
	}
	if n < 0 {
		return w, n
	}
	return w, tag + n
}

func malformedError(what string, n int) *Error {
	return syntaxError("malformed %s: %v", what, protowire.ParseError(n))
}
