// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"strings"
	"testing"
)

// The first sample that is left out is told, whatever follows it.
func TestFirstRejected(t *testing.T) {
	const sound = "node_cpu_usage_seconds_total 1\n"
	long := strings.Repeat("é", 120)
	for _, tt := range []struct {
		name   string
		format Format
		body   string
		reason Rejection
		which  string // "" if nothing is left out
	}{
		{"none", Text, sound, 0, ""},
		{"of the node", Text, sound + "node_memory_working_set_bytes NaN\nnode_swap_usage_bytes -1\n", RejectedValue, "memory of the node: NaN"},
		{"of a container", Text, sound + `container_cpu_usage_seconds_total{namespace="a",pod="p",container="c"} 1` + "\n" +
			`container_cpu_usage_seconds_total{namespace="a",pod="p",container="d"} -2` + "\n" +
			`container_cpu_usage_seconds_total{namespace="a",pod="p",container="e"} 1` + "\n", RejectedValue, "CPU of container a/p/d: -2"},
		{"with a time", Text, `container_memory_working_set_bytes{namespace="a",pod="p",container="c"} 1 -5` + "\n", RejectedTimestamp,
			"memory of container a/p/c"},
		{"without a name", Text, `container_swap_usage_bytes{namespace="a",pod="p"} 1` + "\n", RejectedLabels,
			"swap of a container that the labels do not name"},
		{"started at no time", Text, `container_start_time_seconds{container="c",namespace="a",pod="p"} 0` + "\n", RejectedValue,
			"start time of container a/p/c: 0"},
		{"with other names", Text, `container_swap_usage_bytes{namespace="a\n",pod="` + long + `",container="c"} +Inf` + "\n", RejectedValue,
			`swap of container a\n/` + strings.Repeat(`\u00e9`, 98) + `\xc3: +Inf`},
		{"of a summary's container", Summary, `{"node":{"cpu":{"usageCoreNanoSeconds":1}},"pods":[{"podRef":{"name":"p","namespace":"a"},"containers":[` +
			`{"name":"c","memory":{"workingSetBytes":18446744073709551615}}]}]}`, RejectedValue, "memory of container a/p/c: 1.8446744073709552e+19"},
		{"of a summary's node", Summary, `{"node":{"swap":{"swapUsageBytes":18446744073709551615}}}`, RejectedValue,
			"swap of the node: 1.8446744073709552e+19"},
		{"of a summary without names", Summary, `{"pods":[{"podRef":{"name":"p"},"containers":[{"name":"c","cpu":{"usageCoreNanoSeconds":1}}]}]}`,
			RejectedLabels, "CPU of a container that the labels do not name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reason, which, ok := decode(t, tt.format, []byte(tt.body)).FirstRejected()
			if reason != tt.reason || which != tt.which || ok != (tt.which != "") {
				t.Errorf("%v %q %v, want %v %q", reason, which, ok, tt.reason, tt.which)
			}
		})
	}
}

// What the store leaves out is told in the same way.
func TestReject(t *testing.T) {
	s := new(Samples)
	c := container("a", "p", "c", Usage{})
	s.Reject(RejectedTimestamp, 0, &c, 0)
	s.Reject(RejectedValue, HasCPU, nil, 1)
	if reason, which, ok := s.FirstRejected(); reason != RejectedTimestamp || which != "container a/p/c" || !ok {
		t.Errorf("%v %q %v", reason, which, ok)
	}
	if s.Rejected[RejectedTimestamp] != 1 || s.Rejected[RejectedValue] != 1 {
		t.Errorf("counted are %v", s.Rejected)
	}
}
