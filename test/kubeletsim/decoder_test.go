// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"math"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

// The server's decoders read the simulation's answers as expfmt does: to the
// values of the model, in both formats.
func TestServerDecodesWhatExpfmtDecodes(t *testing.T) {
	f := newFixture(t)
	f.clock.Step(3 * time.Second)
	f.setPods(variedPods()...)
	var decoder exposition.Decoder
	for _, step := range []time.Duration{0, 12 * time.Second, time.Hour} {
		f.clock.Step(step)
		fromExpfmt := index(f.bothFormats())
		for format, answer := range map[exposition.Format]response{
			exposition.Text:      f.get(resourceMetricsPath),
			exposition.Delimited: f.get(resourceMetricsPath, "Accept", wantDelimited),
		} {
			samples, err := decoder.Decode(format, answer.body, f.clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			checkUsage(t, fromExpfmt, "node", "{}", &samples.Node)
			seen := map[string]bool{}
			for i := range samples.Containers {
				c := &samples.Containers[i]
				id := "{" + string(c.Name) + "/" + string(c.Namespace) + "/" + string(c.Pod) + "}"
				seen[id] = true
				checkUsage(t, fromExpfmt, "container", id, &c.Usage)
			}
			for name := range fromExpfmt {
				const family = "container_cpu_usage_seconds_total"
				if len(name) > len(family) && name[:len(family)] == family && !seen[name[len(family):]] {
					t.Errorf("format %d: %s was not decoded", format, name)
				}
			}
		}
	}
}

// checkUsage compares what was decoded with the series of a node or container.
func checkUsage(t *testing.T, all map[string]series, kind, id string, u *exposition.Usage) {
	t.Helper()
	check := func(family string, field exposition.Fields, got uint64, unit float64) {
		t.Helper()
		s, ok := all[kind+family+id]
		if has := u.Has&field != 0; has != ok {
			t.Errorf("%s%s%s: decoded %v, sent %v", kind, family, id, has, ok)
		} else if want := uint64(math.Round(s.value * unit)); ok && got != want {
			t.Errorf("%s%s%s = %d, want %d", kind, family, id, got, want)
		}
	}
	check("_cpu_usage_seconds_total", exposition.HasCPU, u.CPU, 1e9)
	check("_memory_working_set_bytes", exposition.HasMemory, u.Memory, 1)
	check("_swap_usage_bytes", exposition.HasSwap, u.Swap, 1)
	if kind == "container" {
		check("_start_time_seconds", exposition.HasStart, uint64(u.Start), 1e9)
	}
	if sent := all[kind+"_cpu_usage_seconds_total"+id]; !sent.time.Equal(time.Unix(0, u.Time)) {
		t.Errorf("%s%s has time %v, want %v", kind, id, time.Unix(0, u.Time), sent.time)
	}
}
