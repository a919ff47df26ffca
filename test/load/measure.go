// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"math"
	"time"
)

// value is a number that may not be known.
type value struct {
	v     float64
	known bool
}

// unit says how the values of a measure are printed.
type unit int

const (
	plain        unit = iota
	seconds           // as s
	milliseconds      // of seconds, as ms
	megabytes         // of bytes, as MB or kB
	percent           // of a share, as %
)

func (u unit) format(v float64) string {
	switch u {
	case seconds:
		return fmt.Sprintf("%.1f s", v)
	case milliseconds:
		return fmt.Sprintf("%.3g ms", 1000*v)
	case megabytes:
		if math.Abs(v) < 1e6 {
			return fmt.Sprintf("%.1f kB", v/1e3)
		}
		return fmt.Sprintf("%.1f MB", v/1e6)
	case percent:
		return fmt.Sprintf("%.0f %%", 100*v)
	}
	return fmt.Sprintf("%.4g", v)
}

// measure is a row of the table.
type measure struct {
	name string
	unit unit
	of   func(*Result) value
	goal goal
}

// sure is a value that is known where part is.
func sure[T any](part *T, v func(*T) float64) value {
	if part == nil {
		return value{}
	}
	return value{v(part), true}
}

// measures are the rows, with the goals of the issue.
func measures(resolution time.Duration) []measure {
	all := []measure{
		{"binary", megabytes, func(r *Result) value { return value{float64(r.BinaryBytes), true} }, goal{fraction: 1, strict: true}},
		{"resident memory, no nodes", megabytes, func(r *Result) value {
			return sure(r.Idle, func(m *Memory) float64 { return float64(m.Resident) })
		}, goal{fraction: 1, strict: true}},
		{"from start until all nodes are served", seconds, func(r *Result) value { return value{r.NodesReady, r.NodesReady > 0} }, goal{}},
		{"from start until all pods are served", seconds, func(r *Result) value { return value{r.Ready, r.Ready > 0} }, goal{}},

		atRest("CPU per scrape", milliseconds, func(r *Rest) float64 { return r.CPUPerScrape }, goal{fraction: 5}),
		atRest("CPU at rest, cores", plain, func(r *Rest) float64 { return r.Cost.Server }, goal{}),
		atRest("resident memory at rest", megabytes, func(r *Rest) float64 { return float64(r.Memory.Resident) }, goal{fraction: 8}),
		atRest("… mean", megabytes, func(r *Rest) float64 { return float64(r.ResidentMean) }, goal{}),
		atRest("… most", megabytes, func(r *Rest) float64 { return float64(r.ResidentMax) }, goal{}),
		atRest("… anonymous", megabytes, func(r *Rest) float64 { return float64(r.Memory.Anonymous) }, goal{}),
		atRest("scrapes per node and interval", plain, func(r *Rest) float64 { return r.Scrapes.PerNode }, goal{}),
		atRest("scrapes that failed", plain, func(r *Rest) float64 { return float64(r.Scrapes.Failed) }, goal{}),
		atRest("scrapes that were late", plain, func(r *Rest) float64 { return float64(r.Scrapes.Late) }, goal{}),
		atRest("nodes not scraped", plain, func(r *Rest) float64 { return float64(r.Scrapes.Silent) }, goal{}),
		atRest("time between scrapes, p99", seconds, func(r *Rest) float64 { return r.Scrapes.Gap.P99 }, goal{}),
		atRest("waiting for a CPU, threads", plain, func(r *Rest) float64 { return r.Cost.Waiting }, goal{}),
		atRest("harness's CPU, cores", plain, func(r *Rest) float64 { return r.Cost.Harness }, goal{}),
		atRest("harness's memory", megabytes, func(r *Rest) float64 { return float64(r.Cost.HarnessResident) }, goal{}),
		atRest("machine's CPUs busy", percent, func(r *Rest) float64 { return r.Cost.busy() }, goal{}),
		atRest("machine's memory left", megabytes, func(r *Rest) float64 { return float64(r.Cost.Available) }, goal{}),
	}
	limits := map[string]readGoals{
		listPodsJSON:     {time: goal{fraction: 10}, cpu: goal{fraction: 10}, growth: goal{most: 100e6}},
		listPodsProtobuf: {time: goal{fraction: 10}, cpu: goal{fraction: 10}, growth: goal{most: 100e6}},
		listNodesJSON:    {time: goal{fraction: 8}},
		listSelector:     {time: goal{fraction: 4}},
		getPod:           {time: goal{fraction: 1}},
	}
	for _, name := range []string{
		listPodsJSON, listPodsProtobuf, listPodsGzip, listPodsTable, listNamespace,
		listSelector, listNodesJSON, listNodesProto, getPod, getNode,
	} {
		all = append(all, readMeasures(name, limits[name])...)
	}
	return append(all,
		underHPAs("HPA reads answered a second", plain, func(h *HPA) float64 { return h.Rate }, goal{}),
		underHPAs("… p50", milliseconds, func(h *HPA) float64 { return h.Time.P50 }, goal{}),
		underHPAs("… p99", milliseconds, func(h *HPA) float64 { return h.Time.P99 }, goal{}),
		underHPAs("… failed", plain, func(h *HPA) float64 { return float64(h.Failed) }, goal{}),
		underHPAs("… incomplete", plain, func(h *HPA) float64 { return float64(h.Incomplete) }, goal{}),
		underHPAs("… age of samples, p50", seconds, func(h *HPA) float64 { return h.Age.P50 }, goal{}),
		underHPAs("… age of samples, p99", seconds, func(h *HPA) float64 { return h.Age.P99 }, goal{most: resolution.Seconds() + 1}),
		underHPAs("… oldest sample", seconds, func(h *HPA) float64 { return h.Age.Max }, goal{}),
		underHPAs("… CPU, cores", plain, func(h *HPA) float64 { return h.Cost.Server }, goal{}),
		underHPAs("… scrapes that failed", plain, func(h *HPA) float64 { return float64(h.Scrapes.Failed) }, goal{}),
		underHPAs("… scrapes that were late", plain, func(h *HPA) float64 { return float64(h.Scrapes.Late) }, goal{}),
		underHPAs("… nodes not scraped", plain, func(h *HPA) float64 { return float64(h.Scrapes.Silent) }, goal{}),
		underHPAs("… time between scrapes, p99", seconds, func(h *HPA) float64 { return h.Scrapes.Gap.P99 }, goal{}),
		underHPAs("… waiting for a CPU, threads", plain, func(h *HPA) float64 { return h.Cost.Waiting }, goal{}),
		underHPAs("… machine's CPUs busy", percent, func(h *HPA) float64 { return h.Cost.busy() }, goal{}),
	)
}

func atRest(name string, u unit, v func(*Rest) float64, g goal) measure {
	return measure{name, u, func(r *Result) value { return sure(r.Rest, v) }, g}
}

func underHPAs(name string, u unit, v func(*HPA) float64, g goal) measure {
	return measure{name, u, func(r *Result) value { return sure(r.HPA, v) }, g}
}

type readGoals struct{ time, cpu, growth goal }

func readMeasures(name string, g readGoals) []measure {
	of := func(v func(*Read) float64) func(*Result) value {
		return func(r *Result) value { return sure(r.read(name), v) }
	}
	return []measure{
		{name + ", p50", milliseconds, of(func(r *Read) float64 { return r.Time.P50 }), g.time},
		{"… least", milliseconds, of(func(r *Read) float64 { return r.Time.Min }), goal{}},
		{"… p99", milliseconds, of(func(r *Read) float64 { return r.Time.P99 }), goal{}},
		{"… CPU", milliseconds, of(func(r *Read) float64 { return r.CPUPerRequest }), g.cpu},
		{"… size", megabytes, of(func(r *Read) float64 { return float64(r.Bytes) }), goal{}},
		{"… growth of memory", megabytes, of(func(r *Read) float64 { return float64(r.Growth) }), g.growth},
	}
}
