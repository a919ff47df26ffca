// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Rule 2 of package store: times come from the samples, and one without a time
// has that of the request.
func TestRule2SampleWithoutATimeHasTheRequests(t *testing.T) {
	request := time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)
	const sampled = 1795432886647 // ms
	labels := []string{"container", "c", "namespace", "n", "pod", "p"}
	families := func(timed bool) []*dto.MetricFamily {
		var all []*dto.MetricFamily
		for _, name := range []string{"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"} {
			f := newFamily(name, "", dto.MetricType_GAUGE)
			f.Metric = append(f.Metric, newMetric(dto.MetricType_GAUGE, 1, timed, sampled, labels...))
			all = append(all, f)
		}
		return all
	}
	summary := func(timed bool) []byte {
		at := ""
		if timed {
			at = `"time":"` + time.UnixMilli(sampled).UTC().Format(time.RFC3339Nano) + `",`
		}
		return []byte(`{"node":{"nodeName":"x"},"pods":[{"podRef":{"name":"p","namespace":"n"},"containers":[{"name":"c","cpu":{` +
			at + `"usageCoreNanoSeconds":1000000000},"memory":{` + at + `"workingSetBytes":1}}]}]}`)
	}
	for _, timed := range []bool{true, false} {
		want := request.UnixNano()
		if timed {
			want = sampled * 1e6
		}
		for format, body := range map[Format][]byte{
			Text:      encode(t, expfmt.NewFormat(expfmt.TypeTextPlain), families(timed)),
			Delimited: encode(t, expfmt.NewFormat(expfmt.TypeProtoDelim), families(timed)),
			Summary:   summary(timed),
		} {
			samples, err := new(Decoder).Decode(format, body, request)
			if err != nil {
				t.Fatal(err)
			}
			if len(samples.Containers) != 1 || samples.Containers[0].Time != want || samples.Containers[0].CPU != 1e9 {
				t.Errorf("format %d, timed %v: got %+v, want time %d", format, timed, samples.Containers, want)
			}
		}
	}
}
