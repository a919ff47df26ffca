// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// podOf is a Summary of one pod with the containers given.
func podOf(containers string) string {
	return `{"node":{},"pods":[{"podRef":{"name":"p","namespace":"n"},"containers":[` + containers + `]}]}`
}

// summaryCases are sound answers.
var summaryCases = []struct {
	name, body string
	want       Samples
}{
	{
		name: "no time",
		body: `{"node":{"cpu":{"usageCoreNanoSeconds":5}}}`,
		want: Samples{Node: Usage{Time: sentAt.UnixNano(), CPU: 5, Has: HasCPU}},
	},
	{
		name: "time that is null or zero is none",
		body: `{"node":{"cpu":{"time":null,"usageCoreNanoSeconds":5},"memory":{"time":"0001-01-01T00:00:00Z","workingSetBytes":6}}}`,
		want: Samples{Node: Usage{Time: sentAt.UnixNano(), CPU: 5, Memory: 6, Has: HasCPU | HasMemory}},
	},
	{
		name: "the kubelet's own rate is not read",
		body: `{"node":{"cpu":{"time":"2026-11-23T11:21:22Z","usageNanoCores":5},"memory":{"workingSetBytes":6}}}`,
		want: Samples{Node: Usage{Time: sentAt.UnixNano(), Memory: 6, Has: HasMemory}},
	},
	{
		name: "time of CPU goes before time of memory",
		body: `{"node":{"cpu":{"time":"1970-01-01T00:00:01Z","usageCoreNanoSeconds":5},"memory":{"time":"1970-01-01T00:00:02Z","workingSetBytes":6}}}`,
		want: Samples{Node: Usage{Time: 1e9, CPU: 5, Memory: 6, Has: HasCPU | HasMemory}},
	},
	{
		name: "time zone and fraction",
		body: `{"node":{"cpu":{"time":"1970-01-01T02:00:01.5+02:00","usageCoreNanoSeconds":5}}}`,
		want: Samples{Node: Usage{Time: 1.5e9, CPU: 5, Has: HasCPU}},
	},
	{
		name: "largest counter",
		body: `{"node":{"cpu":{"usageCoreNanoSeconds":18446744073709551615}}}`,
		want: Samples{Node: Usage{Time: sentAt.UnixNano(), CPU: math.MaxUint64, Has: HasCPU}},
	},
	{
		name: "white space around",
		body: " \n{\"node\":{\"swap\":{\"swapUsageBytes\":5}}}\r\n ",
		want: Samples{Node: Usage{Swap: 5, Has: HasSwap}},
	},
	{
		name: "start time at or before the epoch is not known",
		body: podOf(`{"name":"a","startTime":"1970-01-01T00:00:00Z","swap":{"swapUsageBytes":1}},{"name":"b","startTime":null,"swap":{"swapUsageBytes":2}}`),
		want: Samples{Containers: []Container{
			container("n", "p", "a", Usage{Swap: 1, Has: HasSwap}),
			container("n", "p", "b", Usage{Swap: 2, Has: HasSwap}),
		}},
	},
	{
		name: "a container without values is listed",
		body: podOf(`{"name":"a","startTime":"1970-01-01T00:00:05Z"},{"name":"b"}`),
		want: Samples{Containers: []Container{
			container("n", "p", "a", Usage{Start: 5e9, Has: HasStart}),
			container("n", "p", "b", Usage{}),
		}},
	},
	{
		name: "the last of duplicates counts",
		body: podOf(`{"name":"a","memory":{"workingSetBytes":1}},{"name":"b","swap":{"swapUsageBytes":2}},{"name":"a","memory":{"workingSetBytes":3}}`),
		want: Samples{Containers: []Container{
			container("n", "p", "a", Usage{Time: sentAt.UnixNano(), Memory: 3, Has: HasMemory}),
			container("n", "p", "b", Usage{Swap: 2, Has: HasSwap}),
		}},
	},
	{
		name: "rejected timestamps",
		body: `{"node":{"cpu":{"time":"1970-01-01T00:00:00Z","usageCoreNanoSeconds":5},"memory":{"time":"1969-12-31T23:59:59Z","workingSetBytes":6},"swap":{"time":"2263-01-01T00:00:00Z","swapUsageBytes":7}}}`,
		want: Samples{Rejected: [NumRejections]int{RejectedTimestamp: 3}},
	},
	{
		name: "rejected start time",
		body: podOf(`{"name":"a","startTime":"2263-01-01T00:00:00Z"}`),
		want: Samples{Containers: []Container{container("n", "p", "a", Usage{})}, Rejected: [NumRejections]int{RejectedValue: 1}},
	},
	{
		name: "memory of no machine",
		body: `{"node":{"cpu":{"usageCoreNanoSeconds":5},"memory":{"workingSetBytes":1125899906842625},"swap":{"swapUsageBytes":18446744073709551615}}}`,
		want: Samples{Node: Usage{Time: sentAt.UnixNano(), CPU: 5, Has: HasCPU}, Rejected: [NumRejections]int{RejectedValue: 2}},
	},
	{
		name: "name that is too long",
		body: podOf(`{"name":"` + strings.Repeat("x", MaxName+1) + `","swap":{"swapUsageBytes":1}},{"name":"a","swap":{"swapUsageBytes":2}}`),
		want: Samples{Containers: []Container{container("n", "p", "a", Usage{Swap: 2, Has: HasSwap})}, Rejected: [NumRejections]int{RejectedLabels: 1}},
	},
	{
		name: "rejected labels",
		body: podOf(`{"name":"","startTime":"2263-01-01T00:00:00Z","cpu":{"usageCoreNanoSeconds":5},"memory":{"workingSetBytes":6}},{"name":"a","swap":{"swapUsageBytes":2}}`),
		want: Samples{Containers: []Container{container("n", "p", "a", Usage{Swap: 2, Has: HasSwap})}, Rejected: [NumRejections]int{RejectedLabels: 3}},
	},
}

func TestSummary(t *testing.T) {
	for _, c := range summaryCases {
		t.Run(c.name, func(t *testing.T) {
			checkSamples(t, decode(t, Summary, []byte(c.body)), &c.want)
		})
	}
}

// brokenSummary are answers that cannot be trusted.
var brokenSummary = []struct {
	name, body string
	reason     Reason
	message    string
}{
	{"nothing", "", ReasonEmpty, "the answer is blank"},
	{"white space", " \n", ReasonEmpty, "the answer is blank"},
	{"empty object", "{}", ReasonEmpty, "no usage of a node or container in an answer of 2 bytes"},
	{"null", "null", ReasonEmpty, "no usage"},
	{"names only", podOf(`{"name":"a"}`), ReasonEmpty, "no usage"},
	{"HTML page", "<html></html>\n", ReasonSyntax, "byte 1: not JSON: invalid character '<'"},
	{"cut short", `{"node":{"cpu":{"usageCoreNanoSeconds":5`, ReasonTruncated, "byte 40: the JSON does not end: the answer was cut short"},
	{"more after the end", `{"node":{"cpu":{"usageCoreNanoSeconds":5}}} {`, ReasonSyntax, `byte 43: expected nothing after the JSON, got "{"`},
	{"array", "[]", ReasonSyntax, `got "array"`},
	{"negative counter", `{"node":{"cpu":{"usageCoreNanoSeconds":-5}}}`, ReasonSyntax, `expected uint64, got "number -5"`},
	{"fraction", `{"node":{"memory":{"workingSetBytes":1.5}}}`, ReasonSyntax, `expected uint64, got "number 1.5"`},
	{"counter too large", `{"node":{"cpu":{"usageCoreNanoSeconds":18446744073709551616}}}`, ReasonSyntax, `expected uint64`},
	{"long number is quoted in part", `{"node":{"cpu":{"usageCoreNanoSeconds":` + strings.Repeat("1", 10_000) + `}}}`, ReasonSyntax, `1"...`},
	{"time in another format", `{"node":{"cpu":{"time":"yesterday","usageCoreNanoSeconds":5}}}`, ReasonSyntax, `not a summary: "parsing time \"yesterday\"`},
	{"object too deep", strings.Repeat(`{"node":`, 20_000), ReasonSyntax, "exceeded max depth"},

	{"too many commas", "[" + strings.Repeat(",", MaxCommas+1), ReasonTooLarge, "more than 262144 commas: over the limit of what one node can truly have"},
	{"too many containers", podOf(manySummaryContainers(MaxContainers + 1)), ReasonTooLarge, `pod "n/p": more than 16384 containers`},
}

func manySummaryContainers(n int) string {
	containers := make([]string, n)
	for i := range containers {
		containers[i] = fmt.Sprintf(`{"name":"c%d"}`, i)
	}
	return strings.Join(containers, ",")
}

func TestBrokenSummary(t *testing.T) {
	for _, c := range brokenSummary {
		t.Run(c.name, func(t *testing.T) {
			checkBroken(t, Summary, []byte(c.body), c.reason, c.message)
		})
	}
}
