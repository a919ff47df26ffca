// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics"
)

// Families are told with their types, whether they have samples or not.
func TestFamilies(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	registry.MustRegister(
		metrics.NewCounterVec(&metrics.CounterOpts{Name: "failed", Help: `Of a "name"`, StabilityLevel: metrics.STABLE}, []string{"reason", "result"}),
		metrics.NewHistogramVec(&metrics.HistogramOpts{Name: "took_seconds", Help: "Time, labels: {x}"}, []string{"verb"}),
		metrics.NewGauge(&metrics.GaugeOpts{Name: "size", Help: "Size"}),
	)
	registry.RawMustRegister(severalCollectors{
		prometheus.NewDesc("config_info", "What is set", []string{"hash"}, nil),
		prometheus.NewDesc("sent_total", "What is sent", nil, nil),
	})
	found, err := families(registry.Registerer().(*prometheus.Registry))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%+v", f))
	}
	slices.Sort(got)
	want := []string{
		`{name:config_info kind:gauge stability: help:What is set labels:[hash]}`,
		`{name:failed kind:counter stability:stable help:Of a "name" labels:[reason result]}`,
		`{name:sent_total kind:counter stability: help:What is sent labels:[]}`,
		`{name:size kind:gauge stability:alpha help:Size labels:[]}`,
		`{name:took_seconds kind:histogram stability:alpha help:Time, labels: {x} labels:[verb]}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A type is never guessed.
func TestUnknownType(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(severalCollectors{prometheus.NewDesc("odd", "?", nil, nil)})
	if found, err := families(registry); err == nil {
		t.Errorf("got %v", found)
	}
}

func TestParseOther(t *testing.T) {
	if f, err := parse("Description of another kind"); err == nil {
		t.Errorf("got %v", f)
	}
}

// severalCollectors are described and have no samples.
type severalCollectors []*prometheus.Desc

func (c severalCollectors) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c {
		ch <- d
	}
}

func (severalCollectors) Collect(chan<- prometheus.Metric) {}
