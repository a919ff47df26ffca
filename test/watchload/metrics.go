// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"io"
	"maps"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ownMetrics is what a server tells of itself.
type ownMetrics map[string]*dto.MetricFamily

func parseMetrics(text io.Reader) (ownMetrics, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(text)
}

// value sums the counters and gauges of a family that have these labels, as
// key=value. It is 0 if there are none: some appear when they first happen.
func (m ownMetrics) value(name string, labels ...string) (sum float64) {
	for _, metric := range m[name].GetMetric() {
		if hasLabels(metric, labels) {
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return sum
}

func hasLabels(metric *dto.Metric, wanted []string) bool {
	var has []string
	for _, pair := range metric.GetLabel() {
		has = append(has, pair.GetName()+"="+pair.GetValue())
	}
	for _, w := range wanted {
		if !slices.Contains(has, w) {
			return false
		}
	}
	return true
}

// distribution is what a histogram has seen.
type distribution struct {
	count, sum float64
	upTo       map[float64]float64 // how many are no greater than a bound
}

func (m ownMetrics) histogram(name string) distribution {
	d := distribution{upTo: map[float64]float64{}}
	for _, metric := range m[name].GetMetric() {
		h := metric.GetHistogram()
		d.count += float64(h.GetSampleCount())
		d.sum += h.GetSampleSum()
		for _, b := range h.GetBucket() {
			d.upTo[b.GetUpperBound()] += float64(b.GetCumulativeCount())
		}
	}
	return d
}

// since is what has been seen after an earlier state.
func (d distribution) since(before distribution) distribution {
	diff := distribution{count: d.count - before.count, sum: d.sum - before.sum, upTo: map[float64]float64{}}
	for bound, n := range d.upTo {
		diff.upTo[bound] = n - before.upTo[bound]
	}
	return diff
}

func (d distribution) mean() float64 { return d.sum / d.count }

// quantile is NaN if nothing was seen. Within a bucket, values are taken to be
// spread evenly; beyond the last bound, the answer is that bound.
func (d distribution) quantile(q float64) float64 {
	if d.count == 0 {
		return math.NaN()
	}
	lower, below := 0.0, 0.0
	for _, bound := range slices.Sorted(maps.Keys(d.upTo)) {
		if math.IsInf(bound, 1) {
			break
		}
		if n := d.upTo[bound]; n >= q*d.count {
			return lower + (bound-lower)*(q*d.count-below)/(n-below)
		}
		lower, below = bound, d.upTo[bound]
	}
	return lower
}
