// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"errors"
	"time"

	"k8s.io/component-base/metrics"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

// Metrics are the pool's own. The first four families have the names and
// meanings that metrics-server's users know.
type Metrics struct {
	perNode bool

	requestDuration *metrics.HistogramVec
	requestTotal    *metrics.CounterVec
	lastRequestTime *metrics.GaugeVec
	tickDuration    *metrics.Histogram

	inFlight     *metrics.Gauge
	results      *metrics.CounterVec
	decodeErrors *metrics.CounterVec
	rejected     *metrics.CounterVec
	received     *metrics.Counter

	// What counts the usual case, and needs no label.
	durationOfAny             metrics.ObserverMetric
	lastOfAny                 metrics.GaugeMetric
	requestSuccess, succeeded metrics.CounterMetric
}

// NewMetrics makes and registers the metrics. perNode adds the label node to
// those of kubelet requests, which makes their number grow with the nodes.
func NewMetrics(register func(metrics.Registerable) error, resolution time.Duration, perNode bool) (*Metrics, error) {
	var node []string
	if perNode {
		node = []string{"node"}
	}
	m := &Metrics{
		perNode: perNode,
		requestDuration: metrics.NewHistogramVec(&metrics.HistogramOpts{
			Name:    "metrics_server_kubelet_request_duration_seconds",
			Help:    "Duration of requests to kubelets in seconds",
			Buckets: metrics.DefBuckets,
		}, node),
		requestTotal: metrics.NewCounterVec(&metrics.CounterOpts{
			Name: "metrics_server_kubelet_request_total",
			Help: "Number of requests sent to kubelets, by whether they succeeded",
		}, []string{"success"}),
		lastRequestTime: metrics.NewGaugeVec(&metrics.GaugeOpts{
			Name: "metrics_server_kubelet_last_request_time_seconds",
			Help: "Time of the last request to a kubelet in seconds since the Unix epoch",
		}, node),
		tickDuration: metrics.NewHistogram(&metrics.HistogramOpts{
			Name:    "metrics_server_manager_tick_duration_seconds",
			Help:    "The longest time in each interval from when a node was due until its points were stored or its scrape had failed, in seconds",
			Buckets: tickBuckets(resolution),
		}),
		inFlight: metrics.NewGauge(&metrics.GaugeOpts{
			Name: "metrics_server_scrape_in_flight",
			Help: "Number of scrapes under way",
		}),
		results: metrics.NewCounterVec(&metrics.CounterOpts{
			Name: "metrics_server_scrape_total",
			Help: "Number of scrapes that ended, by result (success, failure) and reason of failure",
		}, []string{"result", "reason"}),
		decodeErrors: metrics.NewCounterVec(&metrics.CounterOpts{
			Name: "metrics_server_scrape_decode_errors_total",
			Help: "Number of answers of kubelets that could not be decoded, by reason",
		}, []string{"reason"}),
		rejected: metrics.NewCounterVec(&metrics.CounterOpts{
			Name: "metrics_server_scrape_rejected_samples_total",
			Help: "Number of samples, or of pods, left out of answers that were decoded, by what was wrong with them",
		}, []string{"reason"}),
		received: metrics.NewCounter(&metrics.CounterOpts{
			Name: "metrics_server_scrape_received_bytes_total",
			Help: "Bytes of answers received from kubelets",
		}),
	}
	for _, r := range []metrics.Registerable{
		m.requestDuration, m.requestTotal, m.lastRequestTime, m.tickDuration,
		m.inFlight, m.results, m.decodeErrors, m.rejected, m.received,
	} {
		if err := register(r); err != nil {
			return nil, err
		}
	}
	// What has not happened yet is 0, not absent, so that rates and alerts work
	// from the first time on; reasons of failed scrapes appear as they occur.
	m.succeeded = m.results.WithLabelValues("success", "")
	m.requestSuccess = m.requestTotal.WithLabelValues("true")
	if !perNode {
		m.durationOfAny, m.lastOfAny = m.requestDuration.WithLabelValues(), m.lastRequestTime.WithLabelValues()
	}
	for _, success := range []string{"true", "false"} {
		m.requestTotal.WithLabelValues(success)
	}
	for _, r := range exposition.Reasons {
		m.decodeErrors.WithLabelValues(string(r))
	}
	for r := range exposition.NumRejections {
		m.rejected.WithLabelValues(r.String())
	}
	return m, nil
}

// tickBuckets reach from milliseconds to twice the interval.
func tickBuckets(resolution time.Duration) []float64 {
	return metrics.ExponentialBucketsRange(0.005, 2*resolution.Seconds(), 16)
}

// requested counts a request to a kubelet.
func (m *Metrics) requested(node string, began, ended time.Time, err error) {
	duration, last := m.durationOfAny, m.lastOfAny
	if m.perNode {
		duration, last = m.requestDuration.WithLabelValues(node), m.lastRequestTime.WithLabelValues(node)
	}
	duration.Observe(ended.Sub(began).Seconds())
	last.Set(float64(ended.Unix()))
	if err == nil {
		m.requestSuccess.Inc()
	} else {
		m.requestTotal.WithLabelValues("false").Inc()
	}
}

// scraped counts a scrape that ended.
func (m *Metrics) scraped(err error) {
	if err == nil {
		m.succeeded.Inc()
		return
	}
	m.results.WithLabelValues("failure", reasonOf(err)).Inc()
	if decode := (*exposition.Error)(nil); errors.As(err, &decode) {
		m.decodeErrors.WithLabelValues(string(decode.Reason)).Inc()
	}
}

func (m *Metrics) rejectedIn(s *exposition.Samples) {
	for r, n := range s.Rejected {
		if n > 0 {
			m.rejected.WithLabelValues(exposition.Rejection(r).String()).Add(float64(n))
		}
	}
}

// tick records an interval's longest delay, if one has ended.
func (m *Metrics) tick(longest time.Duration, ended bool) {
	if ended {
		m.tickDuration.Observe(longest.Seconds())
	}
}

// forget drops the series of a node that is gone.
func (m *Metrics) forget(node string) {
	if m.perNode {
		m.requestDuration.Delete(map[string]string{"node": node})
		m.lastRequestTime.Delete(map[string]string{"node": node})
	}
}

// round finds the longest time, within an interval, from when a node was due
// until its scrape ended.
type round struct {
	ends    time.Time
	longest time.Duration
}

// observe takes in one scrape. It returns the longest of the interval before,
// if a new one has begun.
func (r *round) observe(due, end time.Time, resolution time.Duration) (longest time.Duration, ended bool) {
	if !end.Before(r.ends) {
		longest, ended = r.longest, !r.ends.IsZero()
		*r = round{ends: end.Add(resolution)}
	}
	r.longest = max(r.longest, end.Sub(due))
	return longest, ended
}
