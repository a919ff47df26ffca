// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const textNow = 1_700_000_000_000

// textCases are sound answers. Those that expfmt accepts are compared with it
// too.
var textCases = []struct {
	name, body string
	want       Samples
}{
	{
		name: "node only",
		body: "node_cpu_usage_seconds_total 1.5 1700000000000\n",
		want: Samples{Node: Usage{Time: textNow * 1e6, CPU: 1.5e9, Has: HasCPU}},
	},
	{
		name: "no timestamp",
		body: "node_memory_working_set_bytes 7\n",
		want: Samples{Node: Usage{Time: sentAt.UnixNano(), Memory: 7, Has: HasMemory}},
	},
	{
		name: "time of CPU goes before time of memory, which comes later",
		body: "node_cpu_usage_seconds_total 1 1000\nnode_memory_working_set_bytes 7 2000\nnode_swap_usage_bytes 3 3000\n",
		want: Samples{Node: Usage{Time: 1000e6, CPU: 1e9, Memory: 7, Swap: 3, Has: HasCPU | HasMemory | HasSwap}},
	},
	{
		name: "time of CPU goes before time of memory, which comes earlier",
		body: "node_memory_working_set_bytes 7 2000\nnode_cpu_usage_seconds_total 1 1000\n",
		want: Samples{Node: Usage{Time: 1000e6, CPU: 1e9, Memory: 7, Has: HasCPU | HasMemory}},
	},
	{
		name: "swap and start have no part in the time",
		body: `container_swap_usage_bytes{namespace="n",pod="p",container="c"} 5 1000` + "\n" +
			`container_start_time_seconds{namespace="n",pod="p",container="c"} 6 1000` + "\n",
		want: Samples{Containers: []Container{container("n", "p", "c", Usage{Swap: 5, Start: 6e9, Has: HasSwap | HasStart})}},
	},
	{
		name: "order of labels, other labels, trailing comma",
		body: `container_cpu_usage_seconds_total{pod="p",namespace="n",container="c"} 1 1000` + "\n" +
			`container_memory_working_set_bytes{id="x",container="c",pod="p",namespace="n",} 2 1000` + "\n",
		want: Samples{Containers: []Container{container("n", "p", "c", Usage{Time: 1000e6, CPU: 1e9, Memory: 2, Has: HasCPU | HasMemory})}},
	},
	{
		name: "blanks wherever the grammar allows them",
		body: "\t node_cpu_usage_seconds_total \t 1\t  1000\n \t\n" +
			"container_cpu_usage_seconds_total\t{ \tpod\t=\t\"p\" , namespace = \"n\" ,container=\"c\" , }\t1 \t 1000\n \t",
		want: Samples{
			Node:       Usage{Time: 1000e6, CPU: 1e9, Has: HasCPU},
			Containers: []Container{container("n", "p", "c", Usage{Time: 1000e6, CPU: 1e9, Has: HasCPU})},
		},
	},
	{
		name: "no blank before the value",
		body: `container_cpu_usage_seconds_total{namespace="n",pod="p",container="c"}1 1000` + "\nnode_swap_usage_bytes+5 1000\n",
		want: Samples{
			Node:       Usage{Swap: 5, Has: HasSwap},
			Containers: []Container{container("n", "p", "c", Usage{Time: 1000e6, CPU: 1e9, Has: HasCPU})},
		},
	},
	{
		name: "escapes",
		body: `container_cpu_usage_seconds_total{namespace="a\\b",pod="\"p\"",container="c\nd"} 1 1000` + "\n" +
			`container_memory_working_set_bytes{container="c\nd",namespace="a\\b",pod="\"p\""} 2 1000` + "\n",
		want: Samples{Containers: []Container{container(`a\b`, `"p"`, "c\nd", Usage{Time: 1000e6, CPU: 1e9, Memory: 2, Has: HasCPU | HasMemory})}},
	},
	{
		name: "braces, commas and quotes in values",
		body: `container_cpu_usage_seconds_total{namespace="}",pod=",",container="=\"x\"}"} 1 1000` + "\n",
		want: Samples{Containers: []Container{container("}", ",", `="x"}`, Usage{Time: 1000e6, CPU: 1e9, Has: HasCPU})}},
	},
	{
		name: "quoted metric names",
		body: `{"container_cpu_usage_seconds_total",namespace="n",pod="p",container="c"} 1 1000` + "\n" +
			`{namespace="n","container_memory_working_set_bytes","pod"="p",container="c"} 2 1000` + "\n" +
			`"container_swap_usage_bytes"{namespace="n",pod="p",container="c"} 3 1000` + "\n" +
			`container_"start_time_seconds"{name"space"="n",pod="p",container="c"} 4` + "\n" +
			`{node_swap_usage_bytes} 5` + "\n",
		want: Samples{
			Node:       Usage{Swap: 5, Has: HasSwap},
			Containers: []Container{container("n", "p", "c", Usage{Time: 1000e6, CPU: 1e9, Memory: 2, Swap: 3, Start: 4e9, Has: everything})},
		},
	},
	{
		name: "comments and other families",
		body: "# HELP node_swap_usage_bytes \\x {\n# TYPE node_swap_usage_bytes gauge\n#\n# node_swap_usage_bytes 9\n\n" +
			"node_swap_usage_bytes 5\nnode_swap_usage_bytes_total 9\nnode_swap_usage 9\nother{a=\"}\"} 1e9 5\nother 1\nother{} NaN\n" +
			"h_bucket{le=\"+Inf\"} 4\nh_sum 1\nh_count 4\nnode_swap_usage_byte{x=\"\"} 9\n:colon 1\n_x 1\n",
		want: Samples{Node: Usage{Swap: 5, Has: HasSwap}},
	},
	{
		name: "other families are not looked into",
		body: "other this is not the format\nother{\nother{ nor this\nnode_swap_usage_bytes 5\n",
		want: Samples{Node: Usage{Swap: 5, Has: HasSwap}},
	},
	{
		name: "the last of duplicates counts, families in pieces, containers in the order of their first series",
		body: `container_cpu_usage_seconds_total{namespace="n",pod="p",container="b"} 1 1000` + "\n" +
			`container_memory_working_set_bytes{namespace="n",pod="p",container="a"} 2 1000` + "\n" +
			`container_cpu_usage_seconds_total{namespace="n",pod="p",container="a"} 3 3000` + "\n" +
			`container_cpu_usage_seconds_total{namespace="n",pod="p",container="b"} 4 4000` + "\n" +
			`container_cpu_usage_seconds_total{namespace="n",pod="p",container="b"} 5 2000` + "\n",
		want: Samples{Containers: []Container{
			container("n", "p", "b", Usage{Time: 2000e6, CPU: 5e9, Has: HasCPU}),
			container("n", "p", "a", Usage{Time: 3000e6, CPU: 3e9, Memory: 2, Has: HasCPU | HasMemory}),
		}},
	},
	{
		name: "labels of a node do not matter",
		body: `container_cpu_usage_seconds_total{namespace="n",pod="p",container="c"} 1 1000` + "\n" + "node_cpu_usage_seconds_total 1 1000\n" +
			`node_cpu_usage_seconds_total{namespace="n",pod="p",container="c"} 2 2000` + "\n",
		want: Samples{
			Node:       Usage{Time: 2000e6, CPU: 2e9, Has: HasCPU},
			Containers: []Container{container("n", "p", "c", Usage{Time: 1000e6, CPU: 1e9, Has: HasCPU})},
		},
	},
	{
		name: "values at the edge",
		body: "node_cpu_usage_seconds_total 1e-10 1\nnode_memory_working_set_bytes 1125899906842624\nnode_swap_usage_bytes -0\n",
		want: Samples{Node: Usage{Time: 1e6, CPU: 0, Memory: MaxBytes, Swap: 0, Has: HasCPU | HasMemory | HasSwap}},
	},
	{
		name: "rejected values",
		body: "node_cpu_usage_seconds_total NaN 1\nnode_cpu_usage_seconds_total +Inf\nnode_cpu_usage_seconds_total -inf\n" +
			"node_cpu_usage_seconds_total -1e-30\nnode_cpu_usage_seconds_total 18446744074\nnode_cpu_usage_seconds_total 1e400\n" +
			"node_memory_working_set_bytes 18446744073709551616\nnode_memory_working_set_bytes -0.1\nnode_memory_working_set_bytes 1125899906842625\n" +
			"node_swap_usage_bytes 5\nnode_swap_usage_bytes 1e16\n",
		want: Samples{Node: Usage{Swap: 5, Has: HasSwap}, Rejected: [NumRejections]int{RejectedValue: 10}},
	},
	{
		name: "rejected start times",
		body: startLines("0", "-6.795364578871e+09", "NaN", "1e-10", "9223372037", "9.223372036e9"),
		want: Samples{
			Containers: []Container{container("n", "p", "c", Usage{Start: 9223372036e9, Has: HasStart})},
			Rejected:   [NumRejections]int{RejectedValue: 5},
		},
	},
	{
		name: "rejected timestamps",
		body: "node_cpu_usage_seconds_total 1 0\nnode_cpu_usage_seconds_total 2 -1\nnode_cpu_usage_seconds_total 3 9223372036855\n" +
			"node_cpu_usage_seconds_total 4 99999999999999999999\nnode_cpu_usage_seconds_total 5 +9223372036854\n",
		want: Samples{Node: Usage{Time: 9223372036854e6, CPU: 5e9, Has: HasCPU}, Rejected: [NumRejections]int{RejectedTimestamp: 4}},
	},
	{
		name: "rejected labels",
		body: "node_swap_usage_bytes 5\ncontainer_swap_usage_bytes 1\ncontainer_swap_usage_bytes{} 1\n" +
			`container_swap_usage_bytes{namespace="n",pod="p"} 1` + "\n" +
			`container_swap_usage_bytes{namespace="n",container="c"} 1` + "\n" +
			`container_swap_usage_bytes{pod="p",container="c"} 1` + "\n" +
			`container_swap_usage_bytes{namespace="n",pod="p",container=""} 1` + "\n" +
			`container_swap_usage_bytes{namespace="",pod="p",container="c"} 1` + "\n" +
			`container_swap_usage_bytes{namespace="n",pod="p",pod="p",container="c"} 1` + "\n" +
			`container_swap_usage_bytes{namespace="n",pod="` + "\xff" + `",container="c"} 1` + "\n",
		want: Samples{Node: Usage{Swap: 5, Has: HasSwap}, Rejected: [NumRejections]int{RejectedLabels: 9}},
	},
	{
		name: "an earlier sample stays when the later one is rejected",
		body: "node_cpu_usage_seconds_total 1 1000\nnode_cpu_usage_seconds_total NaN 2000\nnode_cpu_usage_seconds_total 2 0\n",
		want: Samples{Node: Usage{Time: 1000e6, CPU: 1e9, Has: HasCPU}, Rejected: [NumRejections]int{RejectedValue: 1, RejectedTimestamp: 1}},
	},
	{
		name: "a container is listed though its samples are rejected",
		body: `container_cpu_usage_seconds_total{namespace="n",pod="p",container="c"} NaN` + "\n",
		want: Samples{Containers: []Container{container("n", "p", "c", Usage{})}, Rejected: [NumRejections]int{RejectedValue: 1}},
	},
	{
		name: "longest name",
		body: `container_swap_usage_bytes{namespace="n",pod="p",container="` + strings.Repeat("c", MaxName) + `"} 1` + "\n" +
			`container_swap_usage_bytes{namespace="n",pod="p",container="` + strings.Repeat("c", MaxName+1) + `"} 2` + "\n",
		want: Samples{Containers: []Container{container("n", "p", strings.Repeat("c", MaxName), Usage{Swap: 1, Has: HasSwap})}, Rejected: [NumRejections]int{RejectedLabels: 1}},
	},
	{
		name: "many labels, and long ones",
		body: "node_swap_usage_bytes{" + manyLabels(5000) + `,z="` + strings.Repeat("x", 10_000) + "\"} 1\n",
		want: Samples{Node: Usage{Swap: 1, Has: HasSwap}},
	},
	{
		name: "longest line",
		body: "#" + strings.Repeat("x", MaxLineLength-1) + "\nnode_swap_usage_bytes 1\n",
		want: Samples{Node: Usage{Swap: 1, Has: HasSwap}},
	},
}

func startLines(values ...string) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "container_start_time_seconds{namespace=\"n\",pod=\"p\",container=\"c\"} %s\n", v)
	}
	return b.String()
}

func manyLabels(n int) string {
	labels := make([]string, n)
	for i := range labels {
		labels[i] = fmt.Sprintf("l%d=\"\"", i)
	}
	return strings.Join(labels, ",")
}

func TestText(t *testing.T) {
	var used Decoder
	for _, c := range textCases {
		t.Run(c.name, func(t *testing.T) {
			checkSamples(t, decode(t, Text, []byte(c.body)), &c.want)
			checkWithOracle(t, Text, []byte(c.body), &used)
		})
	}
}

// brokenText are answers that cannot be trusted.
var brokenText = []struct {
	name, body string
	reason     Reason
	message    string
}{
	{"nothing", "", ReasonEmpty, "no usage of a node or container in an answer of 0 bytes: check that this is the kubelet's resource metrics endpoint, and the kubelet's log"},
	{"blanks", " \n\t\n ", ReasonEmpty, "no usage"},
	{"only other families", "# HELP x y\nx 1\nscrape_error 1\n", ReasonEmpty, "no usage"},
	{"HTML page", "<!DOCTYPE html>\n<html></html>\n", ReasonSyntax, `line 1: expected a metric name or a comment, got "<!DOCTYPE html>"`},
	{"HTML page without a newline", "<html><body>" + strings.Repeat("x", 100), ReasonSyntax, `line 1: expected a metric name or a comment, got "<html><body>xxxx`},
	{"JSON", `{"kind":"Status"}` + "\n", ReasonSyntax, `line 1: expected ',' or '}' after label "kind", got ":\"Status\"}"`},
	{"plain words", "404 page not found\n", ReasonSyntax, `line 1: expected a metric name or a comment, got "404 page not found"`},
	{"binary", "\x9d\x03\x0a!container_cpu\n", ReasonSyntax, `line 1: expected a metric name or a comment, got "\x9d\x03"`},
	{"no last newline", "node_swap_usage_bytes 1\nnode_cpu_usage_seconds_total 12", ReasonTruncated, "line 2: the last line has no newline: the answer was cut short"},
	{"no last newline after another family", "node_swap_usage_bytes 1\nother 12", ReasonTruncated, "line 2: "},
	{"no last newline after the same other family", "node_swap_usage_bytes 1\nother 1\nother 12", ReasonTruncated, "line 3: "},
	{"no last newline after a comment", "node_swap_usage_bytes 1\n# E", ReasonTruncated, "line 2: "},
	{"no value", "node_swap_usage_bytes\n", ReasonSyntax, `line 1: expected a number as the value, got ""`},
	{"no value after labels", "node_swap_usage_bytes{}\n", ReasonSyntax, `line 1: expected a number as the value, got ""`},
	{"value is not a number", "node_swap_usage_bytes many\n", ReasonSyntax, `line 1: expected a number as the value, got "many"`},
	{"value with an underscore", "node_swap_usage_bytes 1_0\n", ReasonSyntax, `got "1_0"`},
	{"value in hexadecimal", "node_swap_usage_bytes 0x1p4\n", ReasonSyntax, `got "0x1p4"`},
	{"value with two points", "node_swap_usage_bytes 1.2.3\n", ReasonSyntax, `got "1.2.3"`},
	{"value is a point", "node_swap_usage_bytes .\n", ReasonSyntax, `got "."`},
	{"blank after the value", "node_swap_usage_bytes 1 \n", ReasonSyntax, `line 1: expected a timestamp in milliseconds after the value, and nothing more, got ""`},
	{"timestamp is not an integer", "node_swap_usage_bytes 1 1.5\n", ReasonSyntax, `got "1.5"`},
	{"blank after the timestamp", "node_swap_usage_bytes 1 1000 \n", ReasonSyntax, `got "1000 "`},
	{"words after the timestamp", "node_swap_usage_bytes 1 1000 # x\n", ReasonSyntax, `got "1000 # x"`},
	{"CRLF after the value", "node_swap_usage_bytes 1\r\n", ReasonSyntax, `got "1\r"`},
	{"CRLF after the timestamp", "node_swap_usage_bytes 1 1000\r\n", ReasonSyntax, `got "1000\r"`},
	{"CRLF on a blank line", "\r\nnode_swap_usage_bytes 1\n", ReasonSyntax, `expected a metric name or a comment, got "\r"`},
	{"labels do not end", `node_swap_usage_bytes{a="b"` + "\n", ReasonSyntax, `line 1: expected ',' or '}' after label "a", got ""`},
	{"labels do not start", `node_swap_usage_bytes a="b"} 1` + "\n", ReasonSyntax, `expected a number as the value, got "a=\"b\"}"`},
	{"two commas", `node_swap_usage_bytes{a="b",,} 1` + "\n", ReasonSyntax, `expected a label name or '}', got ",} 1"`},
	{"label without a value", "node_swap_usage_bytes{a} 1\n", ReasonSyntax, `expected '=' after label name "a", got "} 1"`},
	{"label value without quotes", "node_swap_usage_bytes{a=b} 1\n", ReasonSyntax, `expected '"' at the start of the value of label "a", got "b} 1"`},
	{"label value does not end", `node_swap_usage_bytes{a="b} 1` + "\n", ReasonSyntax, `no closing quote after "b} 1"`},
	{"label value ends in an escape", `node_swap_usage_bytes{a="b\"} 1` + "\n", ReasonSyntax, `no closing quote after "b\\\"} 1"`},
	{"label value ends in a backslash", `node_swap_usage_bytes{a="\"b\` + "\n", ReasonSyntax, `no closing quote after "\\\"b\\"`},
	{"unknown escape", `node_swap_usage_bytes{a="\t"} 1` + "\n", ReasonSyntax, `expected \\, \" or \n as an escape, got "\\t"`},
	{"metric name does not end", `"node_swap_usage_bytes 1` + "\n", ReasonSyntax, `no closing quote after "node_swap_usage_bytes 1"`},
	{"no metric name", "node_swap_usage_bytes 1\n{} 2\n", ReasonSyntax, `line 2: no metric name in "{} 2"`},
	{"two metric names", `{"node_swap_usage_bytes","x"} 2` + "\n", ReasonSyntax, `expected '=' after label name "x", got "} 2"`},
	{"long input is quoted in part", "node_swap_usage_bytes " + strings.Repeat("\x00", 1000) + "\n", ReasonSyntax, strings.Repeat(`\x00`, maxQuoted) + `"...`},

	{"line too long", "x" + strings.Repeat("x", MaxLineLength) + "\nnode_swap_usage_bytes 1\n", ReasonTooLarge, "line 1: more than 65536 bytes in a line"},
	{"line too long, after one of the same family", "x 1\nx " + strings.Repeat("1", MaxLineLength) + "\nnode_swap_usage_bytes 1\n", ReasonTooLarge, "line 2: more than 65536 bytes in a line"},
	{"too many lines", "node_swap_usage_bytes 1\n" + strings.Repeat("\n", MaxLines), ReasonTooLarge, "more than 524288 lines: over the limit of what one node can truly have"},
	{"too many containers", manyContainers(MaxContainers + 1), ReasonTooLarge, "line 16385: more than 16384 containers"},
}

func manyContainers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`container_swap_usage_bytes{namespace="n",pod="p`)
		b.WriteString(strconv.Itoa(i))
		b.WriteString("\",container=\"c\"} 1\n")
	}
	return b.String()
}

func TestBrokenText(t *testing.T) {
	for _, c := range brokenText {
		t.Run(c.name, func(t *testing.T) {
			checkBroken(t, Text, []byte(c.body), c.reason, c.message)
		})
	}
}

// checkBroken checks that the answer gives an error of that reason, whose
// message starts or ends with the one given.
func checkBroken(t *testing.T, format Format, body []byte, reason Reason, message string) {
	t.Helper()
	got := checkReuse(t, format, body, new(Decoder))
	if got.err == nil {
		t.Fatalf("got no error, want %s", reason)
	}
	if e := got.err.(*Error); e.Reason != reason || !strings.Contains(e.Error(), message) {
		t.Errorf("got %s: %s\nwant %s: %s", e.Reason, e, reason, message)
	}
}

func TestMostContainersInAnyOrder(t *testing.T) {
	body := manyContainers(MaxContainers)
	lines := strings.SplitAfter(strings.ReplaceAll(body, "swap_usage_bytes", "memory_working_set_bytes"), "\n")
	slices.Reverse(lines)
	samples := decode(t, Text, []byte(body+strings.Join(lines, "")))
	if len(samples.Containers) != MaxContainers {
		t.Fatalf("got %d containers, want %d", len(samples.Containers), MaxContainers)
	}
	for i := range samples.Containers {
		c := &samples.Containers[i]
		if want := "p" + strconv.Itoa(i); string(c.Pod) != want || c.Has != HasSwap|HasMemory {
			t.Fatalf("container %d: got %s, want pod %s with swap and memory", i, show(c), want)
		}
	}
}
