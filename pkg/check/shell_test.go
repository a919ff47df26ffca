// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/pkg/status"
)

// hostile is text that means something to shells and terminals.
const hostile = "x; touch /dev/null; $(ran) `ran` | ran & 'ran' \"\n    mend: ran\n\x1b[2Jran\r\u202e"

// runsOnlyKubectl runs lines with commands that do nothing, and returns the words that
// kubectl was given.
func runsOnlyKubectl(t *testing.T, lines []string) []string {
	t.Helper()
	const commands = "kubectl() { printf '%s\\n' \"$@\"; }; sudo() { :; }; head() { cat; }; ran() { echo RAN; }; touch() { echo RAN; }; metrics-server() { kubectl \"$@\"; }\n"
	out, err := exec.CommandContext(t.Context(), "bash", "-c", commands+strings.Join(lines, "\n")).CombinedOutput()
	if err != nil || slices.Contains(strings.Fields(string(out)), "RAN") {
		t.Errorf("%v: %s of\n%s", err, out, strings.Join(lines, "\n"))
	}
	return strings.Split(string(out), "\n")
}

func checkPrintable(t *testing.T, r *Report) {
	t.Helper()
	for i := range r.Steps {
		for _, f := range r.Steps[i].Findings {
			for _, text := range slices.Concat(f.Objects, f.Mend, []string{f.Seen}, r.Steps[i].Facts, r.Steps[i].NotChecked) {
				if strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
					t.Errorf("%s: %q", f.Code, text)
				}
			}
			runsOnlyKubectl(t, f.Mend)
		}
	}
}

// What an autoscaler is to scale is text of whoever made it.
func TestHostileAutoscaler(t *testing.T) {
	for reason, condition := range map[string]string{"FailedGetScale": "AbleToScale", "FailedGetResourceMetric": "ScalingActive"} {
		h := autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "tenant", Name: "h"}}
		h.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{Kind: "--server=evil.example", Name: hostile}
		h.Spec.Metrics = []autoscalingv2.MetricSpec{{Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceName(hostile)}}}
		h.Status.Conditions = []autoscalingv2.HorizontalPodAutoscalerCondition{{
			Type: autoscalingv2.HorizontalPodAutoscalerConditionType(condition), Status: corev1.ConditionFalse, Reason: reason, Message: "missing request for " + hostile,
		}}
		f := newFakeAPI(t)
		f.set("/apis/autoscaling/v2/horizontalpodautoscalers", autoscalingv2.HorizontalPodAutoscalerList{Items: []autoscalingv2.HorizontalPodAutoscaler{h}})
		r := f.run(t, f.config(t))
		checkPrintable(t, r)
		step := r.stepOf("autoscalers")
		if len(step.Findings) != 1 {
			t.Fatalf("%s", r.text(t))
		}
		for _, given := range runsOnlyKubectl(t, step.Findings[0].Mend) {
			if strings.HasPrefix(given, "--server") {
				t.Errorf("kubectl is led elsewhere: %q", step.Findings[0].Mend)
			}
		}
	}
}

// Nor is a metrics server trusted with the user's terminal.
func TestHostileServer(t *testing.T) {
	s := sampleStatus()
	for i := range s.Nodes {
		s.Nodes[i].Reason += hostile
		s.Nodes[i].Message += hostile
		s.Nodes[i].Address = hostile
	}
	for _, reason := range []string{"incomplete", "stale", "not_scraped", "", "the last scrape failed: "} {
		s.WithheldPods.Pods = append(s.WithheldPods.Pods, status.Pod{Namespace: hostile, Name: hostile, Node: "--server=evil.example" + hostile, Reason: reason, Message: reason + hostile})
	}
	s.Server.Name = hostile
	s.Checks = []status.Check{{Name: hostile, Message: hostile}}
	checkPrintable(t, judged(t, s))
	f := newFakeAPI(t)
	c := f.checker(t)
	c.view = serverView{known: true, status: s}
	c.step(t.Context(), step{"server", "", (*checker).checkServer})
	checkPrintable(t, &c.report)
	c.Node, c.view.nodes = "n1", map[string]*status.Node{"n1": {Name: "n1", State: status.StateOK, Address: hostile, Sample: now}}
	c.step(t.Context(), step{"nodes", "", (*checker).checkNodes})
	for _, line := range c.report.stepOf("nodes").Facts {
		if strings.ContainsAny(line, "\n\x1b") {
			t.Errorf("%q", line)
		}
	}
}

// Some interactive shells take what is meant as a comment for a command, and expand it.
func TestHostileComments(t *testing.T) {
	c := &checker{}
	for _, lines := range [][]string{
		c.mendOld(hostile), c.mendIncomplete(hostile), c.mendRefused(hostile, "not_listed"),
		c.mendKubelet(hostile, "unauthorized"), c.mendKubelet(hostile, "connection_refused"),
	} {
		for _, line := range lines {
			if strings.Contains(line, "$(ran)") && !strings.Contains(line, word(hostile)) && !strings.HasPrefix(line, "kubectl ") {
				t.Errorf("%s", line)
			}
		}
	}
}
