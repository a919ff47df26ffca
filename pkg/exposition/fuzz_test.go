// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"math/rand/v2"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

func FuzzText(f *testing.F) {
	f.Add(fixture(f, textFixture))
	for _, c := range textCases {
		addSeed(f, []byte(c.body))
	}
	for _, c := range brokenText {
		addSeed(f, []byte(c.body))
	}
	for seed := range uint64(20) {
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		addSeed(f, g.text(g.families()))
	}
	var used Decoder
	f.Fuzz(func(t *testing.T, body []byte) { checkWithOracle(t, Text, body, &used) })
}

func FuzzDelimited(f *testing.F) {
	f.Add(fixture(f, delimitedFixture))
	for _, c := range metricCases {
		addSeed(f, answerOf(c.metric))
	}
	for _, c := range brokenDelimited {
		addSeed(f, c.body)
	}
	for seed := range uint64(20) {
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		addSeed(f, g.delimited(g.families()))
	}
	var used Decoder
	f.Fuzz(func(t *testing.T, body []byte) { checkWithOracle(t, Delimited, body, &used) })
}

func FuzzSummary(f *testing.F) {
	f.Add(fixture(f, summaryFixture))
	for _, c := range summaryCases {
		addSeed(f, []byte(c.body))
	}
	for _, c := range brokenSummary {
		addSeed(f, []byte(c.body))
	}
	var used Decoder
	f.Fuzz(func(t *testing.T, body []byte) {
		got := checkReuse(t, Summary, body, &used)
		if got.err == nil {
			checkContainers(t, got.samples)
		}
	})
}

// addSeed leaves out long answers, which would only slow the fuzzing down.
func addSeed(f *testing.F, body []byte) {
	if len(body) <= 8<<10 {
		f.Add(body)
	}
}

// FuzzNumber holds the quick way to read a number to what strconv does.
func FuzzNumber(f *testing.F) {
	for _, c := range numberCases {
		f.Add(c)
	}
	f.Fuzz(checkNumber)
}

// checkContainers checks what holds for all Samples.
func checkContainers(t *testing.T, s *Samples) {
	t.Helper()
	seen := map[[3]string]bool{}
	for i := range s.Containers {
		c := &s.Containers[i]
		key := [3]string{string(c.Namespace), string(c.Pod), string(c.Name)}
		if seen[key] || key[0] == "" || key[1] == "" || key[2] == "" {
			t.Errorf("container %d is listed twice or lacks a name: %s", i, show(c))
		}
		seen[key] = true
		if c.Has&(HasCPU|HasMemory) != 0 && c.Time <= 0 || c.Has&HasStart != 0 && c.Start <= 0 {
			t.Errorf("container %d has an impossible time: %s", i, show(c))
		}
	}
}

// answerOf is a Delimited answer with the metric given, as the only one of
// container_cpu_usage_seconds_total.
func answerOf(metric []byte) []byte {
	return protowire.AppendBytes(nil, familyMessage("container_cpu_usage_seconds_total", dto.MetricType_COUNTER, metric))
}

func familyMessage(name string, kind dto.MetricType, metrics ...[]byte) []byte {
	var b []byte
	b = protowire.AppendTag(b, familyNameField, protowire.BytesType)
	b = protowire.AppendString(b, name)
	b = protowire.AppendTag(b, familyTypeField, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(kind))
	for _, m := range metrics {
		b = protowire.AppendTag(b, familyMetricField, protowire.BytesType)
		b = protowire.AppendBytes(b, m)
	}
	return b
}
