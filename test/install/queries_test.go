// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// rule is one of a PrometheusRule.
type rule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

// rules are those of the chart with some values.
func rules(t *testing.T, set string) (all []rule) {
	t.Helper()
	out := must[string](t)(newest().template(t.Context(), "--set", "prometheusRule.enabled=true", "--set", set, "--show-only=templates/prometheusrule.yaml"))
	type prometheusRule struct {
		Spec struct{ Groups []struct{ Rules []rule } }
	}
	text := must[[]byte](t)(json.Marshal(objects(t, out)[0].Object))
	var r prometheusRule
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	for _, g := range r.Spec.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("no rules in\n%s", out)
	}
	return all
}

// dashboardQueries are those of the Grafana dashboard, with its variables set.
func dashboardQueries(t *testing.T) (all []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	text := must[[]byte](t)(os.ReadFile(filepath.Join(chart(), "dashboards", "metrics-server.json")))
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, strings.NewReplacer("$job", "metrics-server", "$__rate_interval", "5m").Replace(target.Expr))
		}
	}
	if len(all) == 0 {
		t.Fatal("the dashboard has no queries")
	}
	return all
}

// series are what a server's /metrics has, as Prometheus would label them.
func series(t *testing.T, metrics string) (all []labels.Labels) {
	t.Helper()
	reader := expfmt.NewTextParser(model.LegacyValidation)
	families := must[map[string]*dto.MetricFamily](t)(reader.TextToMetricFamilies(strings.NewReader(metrics)))
	for name, family := range families {
		for _, m := range family.GetMetric() {
			names := []string{name}
			if m.GetHistogram() != nil {
				names = []string{name + "_bucket", name + "_sum", name + "_count"}
			}
			for _, n := range names {
				b := labels.NewScratchBuilder(0)
				b.Add(model.MetricNameLabel, n)
				b.Add("job", "metrics-server")
				for _, pair := range m.GetLabel() {
					b.Add(pair.GetName(), pair.GetValue())
				}
				b.Sort()
				all = append(all, b.Labels())
			}
		}
	}
	return append(all, labels.FromStrings(model.MetricNameLabel, "up", "job", "metrics-server"))
}

// checkQueries checks that each selector of each query selects something.
func checkQueries(t *testing.T, metrics string) {
	t.Helper()
	queries := dashboardQueries(t)
	for _, r := range rules(t, "replicas=1") {
		queries = append(queries, r.Expr)
	}
	all := series(t, metrics)
	for _, q := range queries {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(q)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok && !selects(s.LabelMatchers, all) {
				t.Errorf("%s: the server has nothing for %s", q, s)
			}
			return nil
		})
	}
}

func selects(matchers []*labels.Matcher, all []labels.Labels) bool {
	for _, l := range all {
		matches := true
		for _, m := range matchers {
			matches = matches && m.Matches(l.Get(m.Name))
		}
		if matches {
			return true
		}
	}
	return false
}
