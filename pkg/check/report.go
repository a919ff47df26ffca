// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity is how bad a finding is.
type Severity string

const (
	// Warning is what works now and may not later, or is less safe than it could be.
	Warning Severity = "warning"
	// Problem is what keeps metrics from being served.
	Problem Severity = "problem"
)

// Result is how a step, or the check as a whole, came out.
type Result string

const (
	ResultOK       Result = "ok"
	ResultWarning  Result = "warning"
	ResultProblem  Result = "problem"
	ResultUnknown  Result = "not-checked"
	reportVersion         = 1
	maxNamed              = 5
	exitOK                = 0
	exitProblems          = 1
	exitNotChecked        = 2
)

// Finding is something that is not as it should be.
type Finding struct {
	// Code is what is wrong; Codes has all. It is stable.
	Code Code `json:"code"`
	// Severity is warning or problem.
	Severity Severity `json:"severity"`
	// Objects are what it was found of, as kubectl names them, such as
	// "node/worker-1", ordered. There is at least one.
	Objects []string `json:"objects"`
	// Seen is what was found, of the first object.
	Seen string `json:"seen"`
	// Why is what follows from it.
	Why string `json:"why"`
	// Mend is what to do, as lines for a shell: commands, and what a command cannot do
	// as comments. Those of several objects are for the first.
	Mend []string `json:"mend,omitempty"`
}

// Step is one link of the chain.
type Step struct {
	// Name is stable; Title is for people.
	Name  string `json:"name"`
	Title string `json:"title"`
	// Result is the worst of what was found, or not-checked if there is no problem in what
	// was seen, and what the step is about could not be seen.
	Result Result `json:"result"`
	// Facts are what was seen and is right.
	Facts []string `json:"facts,omitempty"`
	// NotChecked says what could not be looked at, and why.
	NotChecked []string  `json:"notChecked,omitempty"`
	Findings   []Finding `json:"findings,omitempty"`
	// open is set when what it is about could not be seen, or not all of it.
	open bool
}

// Report is what a check has found.
type Report struct {
	// Version is that of this format. Fields may be added without a new one.
	Version int `json:"version"`
	// Result is the worst of the steps.
	Result   Result `json:"result"`
	Problems int    `json:"problems"`
	Warnings int    `json:"warnings"`
	Steps    []Step `json:"steps"`
	// blind is set when not even the API server answered.
	blind bool
}

// What is added by these four is made fit for a terminal here: it has text of many others.

func (s *Step) fact(format string, args ...any) {
	s.Facts = append(s.Facts, oneLine(fmt.Sprintf(format, args...)))
}

// skip is for what the step can do without.
func (s *Step) skip(format string, args ...any) {
	s.NotChecked = append(s.NotChecked, oneLine(fmt.Sprintf(format, args...)))
}

// unknown is for what the step is about: it is not well if that could not be seen.
func (s *Step) unknown(format string, args ...any) {
	s.skip(format, args...)
	s.open = true
}

// find adds a problem, or what the catalog says that it is.
func (s *Step) find(code Code, object, seen string, mend ...string) {
	mend = slices.Clone(mend) // some are shared
	for i := range mend {
		mend[i] = oneLine(mend[i])
	}
	s.Findings = append(s.Findings, Finding{
		Code: code, Severity: catalog()[code].severity, Objects: []string{oneLine(object)}, Seen: oneLine(seen), Why: catalog()[code].why, Mend: mend,
	})
}

// finish puts findings of the same kind together, and says how the step came out.
func (s *Step) finish() {
	s.Findings = group(s.Findings)
	switch {
	case slices.ContainsFunc(s.Findings, func(f Finding) bool { return f.Severity == Problem }):
		s.Result = ResultProblem
	case s.open:
		s.Result = ResultUnknown
	case len(s.Findings) > 0:
		s.Result = ResultWarning
	case len(s.Facts) == 0 && len(s.NotChecked) > 0:
		s.Result = ResultUnknown
	default:
		s.Result = ResultOK
	}
}

// group makes one finding of those that differ in the object only, and perhaps in what
// was seen of it. Problems come first.
func group(findings []Finding) []Finding {
	var all []Finding
	for _, f := range findings {
		i := slices.IndexFunc(all, func(other Finding) bool { return other.Code == f.Code })
		if i < 0 || !catalog()[f.Code].many {
			all = append(all, f)
			continue
		}
		if f.Objects[0] < all[i].Objects[0] {
			f.Objects = append(f.Objects, all[i].Objects...)
			all[i] = f
			continue
		}
		all[i].Objects = append(all[i].Objects, f.Objects...)
	}
	for i := range all {
		slices.Sort(all[i].Objects[1:])
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Compare(a.Severity, b.Severity) // "problem" is before "warning"
	})
	return all
}

// finish counts.
func (r *Report) finish() {
	r.Version, r.Result = reportVersion, ResultOK
	unknown := false
	for i := range r.Steps {
		for _, f := range r.Steps[i].Findings {
			if f.Severity == Problem {
				r.Problems++
			} else {
				r.Warnings++
			}
		}
		unknown = unknown || r.Steps[i].Result == ResultUnknown
	}
	switch {
	case r.blind:
		r.Result = ResultUnknown
	case r.Problems > 0:
		r.Result = ResultProblem
	case unknown:
		r.Result = ResultUnknown
	case r.Warnings > 0:
		r.Result = ResultWarning
	}
}

// ExitCode is 0 if there is no problem, 1 if there is one, and 2 if there may be one
// in a step that could not be checked.
func (r *Report) ExitCode() int {
	switch r.Result {
	case ResultProblem:
		return exitProblems
	case ResultUnknown:
		return exitNotChecked
	}
	return exitOK
}
