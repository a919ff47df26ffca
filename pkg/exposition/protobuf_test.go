// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// part makes a field of type bytes out of its parts.
func part(field protowire.Number, parts ...[]byte) []byte {
	b := protowire.AppendTag(nil, field, protowire.BytesType)
	return protowire.AppendBytes(b, slices.Concat(parts...))
}

func labelPart(name, value string) []byte {
	return part(metricLabelField, part(labelNameField, []byte(name)), part(labelValueField, []byte(value)))
}

func double(field protowire.Number, value float64) []byte {
	b := protowire.AppendTag(nil, field, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, math.Float64bits(value))
}

func varint(field protowire.Number, value uint64) []byte {
	b := protowire.AppendTag(nil, field, protowire.VarintType)
	return protowire.AppendVarint(b, value)
}

var (
	namesOfC  = slices.Concat(labelPart("container", "c"), labelPart("namespace", "n"), labelPart("pod", "p"))
	oneSecond = part(metricCounterField, double(valueField, 1))
	atSecond1 = varint(metricTimestampField, 1000)
	cpuOfC    = Samples{Containers: []Container{container("n", "p", "c", Usage{Time: 1000e6, CPU: 1e9, Has: HasCPU})}}
)

func rejected(r Rejection, containers ...Container) Samples {
	s := Samples{Containers: containers}
	s.Rejected[r] = 1
	return s
}

// metricCases are encodings of one metric of container_cpu_usage_seconds_total.
var metricCases = []struct {
	name   string
	metric []byte
	want   Samples
}{
	{"as usual", slices.Concat(namesOfC, oneSecond, atSecond1), cpuOfC},
	{"timestamp before value", slices.Concat(namesOfC, atSecond1, oneSecond), cpuOfC},
	{"labels last", slices.Concat(atSecond1, oneSecond, namesOfC), cpuOfC},
	{"labels on both sides", slices.Concat(labelPart("pod", "p"), labelPart("container", "c"), oneSecond, labelPart("namespace", "n"), atSecond1), cpuOfC},
	{"value before name in a label", slices.Concat(labelPart("pod", "p"), labelPart("container", "c"),
		part(metricLabelField, part(labelValueField, []byte("n")), part(labelNameField, []byte("namespace"))), oneSecond, atSecond1), cpuOfC},
	{"the last of a label's values counts", slices.Concat(labelPart("pod", "p"), labelPart("container", "c"),
		part(metricLabelField, part(labelNameField, []byte("namespace")), part(labelValueField, []byte("x")), part(labelValueField, []byte("n"))), oneSecond, atSecond1), cpuOfC},
	{"the last timestamp counts", slices.Concat(namesOfC, varint(metricTimestampField, 5), oneSecond, atSecond1), cpuOfC},
	{"the last value counts", slices.Concat(namesOfC, part(metricCounterField, double(valueField, 7)), oneSecond, atSecond1), cpuOfC},
	{"counters are merged", slices.Concat(namesOfC, oneSecond, part(metricCounterField), atSecond1), cpuOfC},
	{"gauge in a counter family", slices.Concat(namesOfC, part(metricGaugeField, double(valueField, 7)), oneSecond, atSecond1), cpuOfC},
	{"fields that are not known", slices.Concat(varint(99, 5), namesOfC, part(98, []byte("x")), oneSecond, protowire.AppendTag(nil, 97, protowire.Fixed32Type), []byte("1234"),
		protowire.AppendTag(nil, 96, protowire.StartGroupType), varint(1, 1), protowire.AppendTag(nil, 96, protowire.EndGroupType), atSecond1), cpuOfC},
	{"fields of another type", slices.Concat(varint(metricLabelField, 5), namesOfC, varint(metricCounterField, 7), oneSecond, atSecond1, part(metricTimestampField, []byte("x"))), cpuOfC},
	{"tag and length of more bytes than needed", slices.Concat(namesOfC, []byte{0x9a, 0x00, 0x89, 0x00}, double(valueField, 1), atSecond1), cpuOfC},
	{"counter with an exemplar", slices.Concat(namesOfC, part(metricCounterField, part(2, []byte("\xff")), double(valueField, 1)), atSecond1), cpuOfC},
	{"no timestamp", slices.Concat(namesOfC, oneSecond),
		Samples{Containers: []Container{container("n", "p", "c", Usage{Time: sentAt.UnixNano(), CPU: 1e9, Has: HasCPU})}}},
	{"counter without a value is 0", slices.Concat(namesOfC, part(metricCounterField), atSecond1),
		Samples{Containers: []Container{container("n", "p", "c", Usage{Time: 1000e6, Has: HasCPU})}}},
	{"no counter", slices.Concat(namesOfC, atSecond1), rejected(RejectedValue, container("n", "p", "c", Usage{}))},
	{"negative timestamp", slices.Concat(namesOfC, oneSecond, varint(metricTimestampField, math.MaxUint64)), rejected(RejectedTimestamp, container("n", "p", "c", Usage{}))},
	{"timestamp that overflows", slices.Concat(namesOfC, oneSecond, varint(metricTimestampField, math.MaxInt64)), rejected(RejectedTimestamp, container("n", "p", "c", Usage{}))},
	{"no labels", slices.Concat(oneSecond, atSecond1), rejected(RejectedLabels)},
	{"nothing at all", nil, rejected(RejectedLabels)},
	{"label without a value", slices.Concat(labelPart("pod", "p"), labelPart("container", "c"), part(metricLabelField, part(labelNameField, []byte("namespace"))), oneSecond), rejected(RejectedLabels)},
	{"label given twice", slices.Concat(namesOfC, labelPart("pod", "p"), oneSecond), rejected(RejectedLabels)},
	{"name that is too long", slices.Concat(labelPart("pod", strings.Repeat("p", MaxName+1)), labelPart("container", "c"), labelPart("namespace", "n"), oneSecond), rejected(RejectedLabels)},
	{"many labels, and long ones", slices.Concat(namesOfC, bytes.Repeat(labelPart("a", "b"), 10_000), labelPart("z", strings.Repeat("x", 100_000)), oneSecond, atSecond1), cpuOfC},
	{"label that is not UTF-8", slices.Concat(labelPart("pod", "\xff"), labelPart("container", "c"), labelPart("namespace", "n"), oneSecond), rejected(RejectedLabels)},
}

func TestMetric(t *testing.T) {
	var used Decoder
	for _, c := range metricCases {
		t.Run(c.name, func(t *testing.T) {
			body := answerOf(c.metric)
			checkSamples(t, decode(t, Delimited, body), &c.want)
			checkWithOracle(t, Delimited, body, &used)
		})
	}
}

func delimited(messages ...[]byte) []byte {
	var b []byte
	for _, m := range messages {
		b = protowire.AppendBytes(b, m)
	}
	return b
}

func TestDelimited(t *testing.T) {
	const cpu = "container_cpu_usage_seconds_total"
	usual := slices.Concat(namesOfC, oneSecond, atSecond1)
	named := func(name string) []byte { return part(familyNameField, []byte(name)) }
	for _, c := range []struct {
		name string
		body []byte
		want Samples
	}{
		{"name after the metrics", delimited(slices.Concat(part(familyMetricField, usual), named(cpu))), cpuOfC},
		{"the last name counts", delimited(slices.Concat(named("x"), part(familyMetricField, usual), named(cpu))), cpuOfC},
		{"no type is a counter", delimited(slices.Concat(named(cpu), part(familyMetricField, usual))), cpuOfC},
		{"untyped", delimited(familyMessage("node_swap_usage_bytes", dto.MetricType_UNTYPED, part(metricUntypedField, double(valueField, 3)))),
			Samples{Node: Usage{Swap: 3, Has: HasSwap}}},
		{"histograms are not read", delimited(familyMessage(cpu, dto.MetricType_HISTOGRAM, usual), familyMessage("node_swap_usage_bytes", dto.MetricType_GAUGE, part(metricGaugeField))),
			Samples{Node: Usage{Has: HasSwap}}},
		{"other families are not looked into", delimited(familyMessage("pod_x", dto.MetricType_GAUGE, []byte("\xff\xff")), nil, familyMessage(cpu, dto.MetricType_COUNTER, usual)), cpuOfC},
		{"more labels than the container that is expected", delimited(familyMessage(cpu, dto.MetricType_COUNTER, usual),
			familyMessage("container_swap_usage_bytes", dto.MetricType_GAUGE, slices.Concat(namesOfC, part(metricGaugeField, double(valueField, 3)), labelPart("zone", "z")))),
			Samples{Containers: []Container{container("n", "p", "c", Usage{Time: 1000e6, CPU: 1e9, Swap: 3, Has: HasCPU | HasSwap})}}},
		{"labels that only start like those of the container expected", delimited(
			familyMessage(cpu, dto.MetricType_COUNTER, slices.Concat(labelPart("container", "c"), labelPart("pod", "p"), oneSecond, atSecond1, labelPart("namespace", "n"))),
			familyMessage("container_swap_usage_bytes", dto.MetricType_GAUGE, slices.Concat(labelPart("container", "c"), labelPart("pod", "p"), part(metricGaugeField, double(valueField, 3))))),
			Samples{Containers: cpuOfC.Containers, Rejected: [NumRejections]int{RejectedLabels: 1}}},
		{"no labels after labels that come last", delimited(
			familyMessage(cpu, dto.MetricType_COUNTER, slices.Concat(oneSecond, atSecond1, namesOfC)),
			familyMessage("container_swap_usage_bytes", dto.MetricType_GAUGE, part(metricGaugeField, double(valueField, 3)))),
			Samples{Containers: cpuOfC.Containers, Rejected: [NumRejections]int{RejectedLabels: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkSamples(t, decode(t, Delimited, c.body), &c.want)
			checkWithOracle(t, Delimited, c.body, new(Decoder))
		})
	}
}

// brokenDelimited are answers that cannot be trusted.
var brokenDelimited = []struct {
	name    string
	body    []byte
	reason  Reason
	message string
}{
	{"nothing", nil, ReasonEmpty, "no usage of a node or container in an answer of 0 bytes"},
	{"zeros", make([]byte, 100), ReasonEmpty, "no usage"},
	{"other families", delimited(familyMessage("x", dto.MetricType_GAUGE, nil)), ReasonEmpty, "no usage"},
	{"a family of ours without metrics", delimited(familyMessage("node_swap_usage_bytes", dto.MetricType_GAUGE)), ReasonEmpty, "no usage"},
	{"HTML page", []byte("<!DOCTYPE html>\n<html></html>\n"), ReasonTruncated, "metric family at byte 0: the message is longer than the 30 bytes left: the answer was cut short, or is not in the delimited format"},
	{"longer HTML page", []byte("<!DOCTYPE html>\n" + strings.Repeat("<html></html>\n", 10)), ReasonTruncated, "metric family at byte 61: the message is longer than the 95 bytes left"},
	{"length cut short", []byte{0x80}, ReasonTruncated, "the message is longer than the 1 bytes left"},
	{"length that overflows", bytes.Repeat([]byte{0xff}, 11), ReasonSyntax, "expected the length of a message: "},
	{"length of all memory", append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, make([]byte, 100)...), ReasonTruncated, "longer than"},
	{"field longer than its message", delimited([]byte{0x0a, 0x05, 'x'}), ReasonSyntax, "malformed metric family: "},
	{"field number 0", delimited([]byte{0x02, 0x00}), ReasonSyntax, "malformed metric family"},
	{"end of a group that has no start", delimited([]byte{0x0c}), ReasonSyntax, "malformed metric family"},
	{"metric longer than its family", answerOf([]byte{0x0a, 0x7f}), ReasonSyntax, "metric family at byte 0: container_cpu_usage_seconds_total: malformed metric"},
	{"broken label", answerOf(part(metricLabelField, []byte{0x0a, 0x7f})), ReasonSyntax, "malformed label"},
	{"broken value", answerOf(part(metricCounterField, []byte{0x09, 1, 2})), ReasonSyntax, "malformed value"},
	{"broken timestamp", answerOf([]byte{0x30, 0x80}), ReasonSyntax, "malformed metric"},
	{"timestamp that overflows its varint", answerOf(slices.Concat(namesOfC, oneSecond, []byte{0x30}, bytes.Repeat([]byte{0xff}, 10))), ReasonSyntax, "malformed metric"},
	{"second family broken", slices.Concat(answerOf(slices.Concat(namesOfC, oneSecond)), delimited([]byte{0x02, 0x00})), ReasonSyntax, "metric family at byte 93: "},

	{"too many families", make([]byte, MaxFamilies+1), ReasonTooLarge, "more than 4096 metric families: over the limit of what one node can truly have"},
	{"too many series", delimited(familyMessage("x", dto.MetricType_GAUGE, make([][]byte, MaxSeries+1)...)), ReasonTooLarge, "more than 262144 series"},
	{"too many containers", containersDelimited(MaxContainers + 1), ReasonTooLarge, "more than 16384 containers"},
}

func containersDelimited(n int) []byte {
	metrics := make([][]byte, n)
	for i := range metrics {
		metrics[i] = slices.Concat(labelPart("container", "c"), labelPart("namespace", "n"), labelPart("pod", strconv.Itoa(i)), oneSecond)
	}
	return delimited(familyMessage("container_cpu_usage_seconds_total", dto.MetricType_COUNTER, metrics...))
}

func TestBrokenDelimited(t *testing.T) {
	for _, c := range brokenDelimited {
		t.Run(c.name, func(t *testing.T) {
			checkBroken(t, Delimited, c.body, c.reason, c.message)
		})
	}
}
