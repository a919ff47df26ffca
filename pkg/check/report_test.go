// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// What nodes have in common is one finding of the first of them; problems come first.
func TestGroup(t *testing.T) {
	var s Step
	s.find(codeNodeNotReady, "node/a", "A")
	s.find("kubelet-timeout", "node/c", "C", "mend C")
	s.find("kubelet-timeout", "node/b", "B", "mend B")
	s.find("kubelet-timeout", "node/d", "D")
	s.find(codeRight, "x", "first")
	s.find(codeRight, "x", "second")
	s.finish()
	var codes []Code
	for _, f := range s.Findings {
		codes = append(codes, f.Code)
	}
	if !slices.Equal(codes, []Code{"kubelet-timeout", codeRight, codeRight, codeNodeNotReady}) || s.Result != ResultProblem {
		t.Errorf("%q %s", codes, s.Result)
	}
	if f := s.Findings[0]; !slices.Equal(f.Objects, []string{"node/b", "node/c", "node/d"}) || f.Seen != "B" || f.Mend[0] != "mend B" {
		t.Errorf("%+v", f)
	}
}

func TestExitCode(t *testing.T) {
	step := func(add func(*Step)) Step {
		var s Step
		add(&s)
		s.finish()
		return s
	}
	ok := step(func(s *Step) { s.fact("well") })
	warned := step(func(s *Step) { s.find(codeNodeNotReady, "node/a", "") })
	failed := step(func(s *Step) { s.find(codeRight, "a", "") })
	unknown := step(func(s *Step) { s.skip("no rights") })
	partly := step(func(s *Step) { s.fact("well"); s.skip("no rights") })
	open := step(func(s *Step) { s.fact("well"); s.find(codeNodeNotReady, "node/a", ""); s.unknown("no rights") })
	for _, tc := range []struct {
		steps []Step
		code  int
		text  string
	}{
		{[]Step{ok, partly}, 0, "All is well."},
		{[]Step{ok, warned}, 0, "No problem, 1 warning."},
		{[]Step{warned, failed, unknown}, 1, "1 problem, 1 warning."},
		{[]Step{ok, open}, 2, "Not all could be checked; 0 problems and 1 warning were found."},
		{[]Step{ok, warned, unknown}, 2, "Not all could be checked; 0 problems and 1 warning were found."},
	} {
		r := &Report{Steps: tc.steps}
		r.finish()
		if r.ExitCode() != tc.code || r.verdict() != tc.text {
			t.Errorf("%d %q, want %d %q", r.ExitCode(), r.verdict(), tc.code, tc.text)
		}
	}
}

func TestText(t *testing.T) {
	var s Step
	for _, name := range strings.Split("abcdefg", "") {
		s.find("kubelet-forbidden", "node/"+name, "403", "# first", "second")
	}
	s.Title = "Nodes"
	s.finish()
	r := Report{Steps: []Step{s}}
	r.finish()
	text := r.text(t)
	for _, want := range []string{
		"PROBLEM      Nodes\n", "  problem kubelet-forbidden: node/a, node/b, node/c, node/d, node/e and 2 more\n", "    seen: 403\n",
		"    mend: # first\n          second\n", "\n1 problem, 0 warnings.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// What others say cannot break out of its line or of its word.
func TestQuoting(t *testing.T) {
	for _, word := range []string{"plain", "", "it's", "a b", "$(reboot)", "`reboot`", `a"b\c`, "a\nb", "*"} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+quoted(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q became %q: %v", word, out, err)
		}
	}
	if got := comment("%s", "a\nreboot"); got != "# a reboot" {
		t.Errorf("%q", got)
	}
	if got := plain(strings.Repeat("x", 2*maxQuoted)); len(got) > maxQuoted+len("…") {
		t.Errorf("%d bytes", len(got))
	}
}

func TestProgress(t *testing.T) {
	var b strings.Builder
	clock := clocktesting.NewFakeClock(now)
	p := newProgress(&b, clock)
	p.begin("Nodes")
	p.say(1, 5000)
	clock.Step(progressPeriod)
	p.say(2, 5000)
	p.say(3, 5000)
	clock.Step(time.Hour)
	p.say(4, 0)
	if b.String() != "Nodes: 2 of 5000 …\nNodes: 4 …\n" {
		t.Errorf("%q", b.String())
	}
	newProgress(nil, clock).say(1, 1)
}

// Every code is explained, and those of kubelets are known whatever the reason is.
func TestCodes(t *testing.T) {
	codes, why := Codes()
	for _, code := range codes {
		if why[code] == "" || catalog()[code].severity == "" {
			t.Errorf("%s is not explained", code)
		}
	}
	if got := kubeletCode("a_new_reason"); got != "kubelet-unreadable" || why[got] == "" {
		t.Errorf("%s", got)
	}
	for _, reason := range []string{"no_address", "tls_unknown_authority", "connection_refused", "syntax", "empty"} {
		if got := kubeletCode(reason); got == "kubelet-unreadable" {
			t.Errorf("%s has no code", reason)
		}
	}
}
