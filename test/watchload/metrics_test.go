// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"math"
	"strings"
	"testing"
)

func metricsOf(t *testing.T, text string) ownMetrics {
	t.Helper()
	own, err := parseMetrics(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func TestValue(t *testing.T) {
	own := metricsOf(t, `# TYPE scrapes counter
scrapes{result="success",reason=""} 10
scrapes{result="failure",reason="timeout"} 2
scrapes{result="failure",reason="tls"} 1
# TYPE goroutines gauge
goroutines 7
`)
	for _, test := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"scrapes", nil, 13},
		{"scrapes", []string{"result=failure"}, 3},
		{"scrapes", []string{"result=failure", "reason=tls"}, 1},
		{"goroutines", nil, 7},
		{"absent", nil, 0},
	} {
		if got := own.value(test.name, test.labels...); got != test.want {
			t.Errorf("%s %v is %v, want %v", test.name, test.labels, got, test.want)
		}
	}
}

func TestDistribution(t *testing.T) {
	const before = `# TYPE d histogram
d_bucket{le="1"} 5
d_bucket{le="2"} 5
d_bucket{le="4"} 5
d_bucket{le="+Inf"} 5
d_sum 1
d_count 5
`
	for name, test := range map[string]struct {
		after             string
		mean, median, max float64
	}{
		"in one bucket":        {"5 15 15 15 16 15", 1.5, 1.5, 2},
		"in two":               {"10 10 15 15 16 15", 1.5, 1, 4},
		"beyond the last":      {"5 5 5 15 101 15", 10, 4, 4},
		"nothing since before": {"5 5 5 5 1 5", math.NaN(), math.NaN(), math.NaN()},
	} {
		t.Run(name, func(t *testing.T) {
			f := strings.Fields(test.after)
			after := "# TYPE d histogram\n" +
				"d_bucket{le=\"1\"} " + f[0] + "\nd_bucket{le=\"2\"} " + f[1] + "\nd_bucket{le=\"4\"} " + f[2] +
				"\nd_bucket{le=\"+Inf\"} " + f[3] + "\nd_sum " + f[4] + "\nd_count " + f[5] + "\n"
			d := metricsOf(t, after).histogram("d").since(metricsOf(t, before).histogram("d"))
			for what, pair := range map[string][2]float64{
				"mean": {d.mean(), test.mean}, "median": {d.quantile(0.5), test.median}, "maximum": {d.quantile(1), test.max},
			} {
				if pair[0] != pair[1] && !(math.IsNaN(pair[0]) && math.IsNaN(pair[1])) {
					t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
				}
			}
		})
	}
}
