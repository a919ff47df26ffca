// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// Series of two replicas in good health, and what is wrong in turn. The
// certificate expires after 30 days.
const healthy = `
up{job="metrics-server", instance="a"} 1
up{job="metrics-server", instance="b"} 1
metrics_server_scrape_nodes{job="metrics-server", instance="a", state="healthy"} 100
metrics_server_scrape_nodes{job="metrics-server", instance="a", state="failing"} 0
metrics_server_scrape_nodes{job="metrics-server", instance="b", state="healthy"} 100
metrics_server_scrape_nodes{job="metrics-server", instance="b", state="failing"} 0
metrics_server_storage_served{job="metrics-server", instance="a", type="pod"} 1000
metrics_server_storage_withheld{job="metrics-server", instance="a", type="pod", reason="no_window"} 3
metrics_server_storage_withheld{job="metrics-server", instance="a", type="pod", reason="stale"} 0
metrics_server_storage_withheld{job="metrics-server", instance="a", type="pod", reason="not_scraped"} 0
metrics_server_storage_withheld{job="metrics-server", instance="a", type="pod", reason="none_running"} 200
metrics_server_serving_certificate_expiration_timestamp_seconds{job="metrics-server", instance="a"} 2592000
`

// seriesSet is a storage.SeriesSet of a slice.
type seriesSet struct {
	of   []storage.Series
	next int
}

func (s *seriesSet) Next() bool                      { s.next++; return s.next <= len(s.of) }
func (s *seriesSet) At() storage.Series              { return s.of[s.next-1] }
func (*seriesSet) Err() error                        { return nil }
func (*seriesSet) Warnings() annotations.Annotations { return nil }

// storageOf returns a storage of the series in text. Each has one sample, at time 0. The
// storage of Prometheus' own tests would have every test here compile the SDKs of all clouds.
func storageOf(t *testing.T, text string) storage.Queryable {
	t.Helper()
	var all []storage.Series
	for line := range strings.Lines(strings.TrimSpace(text)) {
		description, samples, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(strings.TrimSpace(line))
		if err != nil || len(samples) != 1 {
			t.Fatalf("%q has %d samples, want 1: %v", line, len(samples), err)
		}
		all = append(all, promql.NewStorageSeries(promql.Series{Metric: description, Floats: []promql.FPoint{{T: 0, F: samples[0].Value}}}))
	}
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
			return &seriesSet{of: slices.DeleteFunc(slices.Clone(all), func(s storage.Series) bool {
				return slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) })
			})}
		},
	}}
}

func TestAlerts(t *testing.T) {
	failing := func(n string) []string {
		return []string{
			`instance="b", state="healthy"} 100`, `instance="b", state="healthy"} 80`,
			`instance="b", state="failing"} 0`, `instance="b", state="failing"} ` + n,
		}
	}
	for name, c := range map[string]struct {
		replace []string // in healthy
		set     string   // values
		want    string   // alerts, in order
	}{
		"all is well":             {},
		"one replica of two":      {replace: []string{`up{job="metrics-server", instance="a"} 1`, `up{job="metrics-server", instance="a"} 0`}},
		"no replica":              {replace: []string{`"} 1` + "\nup", `"} 0` + "\nup", `instance="b"} 1`, `instance="b"} 0`}, want: "Down"},
		"another job's":           {replace: []string{"metrics-server\"", "other\""}, want: "Down"},
		"a job by another name":   {replace: []string{"metrics-server\"", "other\""}, set: "prometheusRule.job=other"},
		"a few nodes of one":      {replace: failing("4"), want: "NodesNotScraped"},
		"many nodes of one":       {replace: failing("20"), want: "NodesNotScraped ManyNodesNotScraped"},
		"old samples":             {replace: []string{`reason="stale"} 0`, `reason="stale"} 1`}, want: "SamplesStale"},
		"many pods":               {replace: []string{`reason="no_window"} 3`, `reason="no_window"} 30`}, want: "PodsWithheld"},
		"many pods are few":       {replace: []string{`reason="no_window"} 3`, `reason="no_window"} 30`}, set: "prometheusRule.withheldPodsRatio=0.1"},
		"unknown pods":            {replace: []string{`reason="not_scraped"} 0`, `reason="not_scraped"} 30`}, want: "PodsWithheld"},
		"unknown pods, selected":  {replace: []string{`reason="not_scraped"} 0`, `reason="not_scraped"} 30`}, set: "args={--node-selector=a=b}"},
		"the same, short form":    {replace: []string{`reason="not_scraped"} 0`, `reason="not_scraped"} 30`}, set: "args={-l,a=b}"},
		"the certificate expires": {replace: []string{"2592000", "500000"}, want: "CertificateExpiring"},
		"that is soon enough":     {replace: []string{"2592000", "500000"}, set: "prometheusRule.certificateExpirySeconds=86400"},
	} {
		t.Run(name, func(t *testing.T) {
			series := storageOf(t, strings.NewReplacer(c.replace...).Replace(healthy))
			engine := promql.NewEngine(promql.EngineOpts{Timeout: time.Minute, MaxSamples: 1000, Parser: parser.NewParser(parser.Options{})})
			t.Cleanup(func() {
				if err := engine.Close(); err != nil {
					t.Error(err)
				}
			})
			var firing []string
			for _, r := range rules(t, "replicas=2,"+c.set) {
				query := must[promql.Query](t)(engine.NewInstantQuery(t.Context(), series, nil, r.Expr, time.Unix(0, 0)))
				result := query.Exec(t.Context())
				if vector, err := result.Vector(); err != nil {
					t.Errorf("%s: %v", r.Alert, err)
				} else if len(vector) > 0 {
					firing = append(firing, strings.TrimPrefix(r.Alert, "MetricsServer"))
				}
				query.Close()
			}
			if got := strings.Join(firing, " "); got != c.want {
				t.Errorf("firing %q, want %q", got, c.want)
			}
		})
	}
}
