// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Formats are those of Write.
var Formats = []string{"text", "json"}

// Write writes the report as text or as JSON.
func (r *Report) Write(w io.Writer, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	var b strings.Builder
	for i := range r.Steps {
		r.Steps[i].write(&b)
	}
	b.WriteString("\n" + r.verdict() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Step) write(b *strings.Builder) {
	names := map[Result]string{ResultOK: "ok", ResultWarning: "WARNING", ResultProblem: "PROBLEM", ResultUnknown: "NOT CHECKED"}
	fmt.Fprintf(b, "%-12s %s\n", names[s.Result], s.Title)
	for _, fact := range s.Facts {
		fmt.Fprintf(b, "             - %s\n", fact)
	}
	for _, what := range s.NotChecked {
		fmt.Fprintf(b, "             - not checked: %s\n", what)
	}
	for i := range s.Findings {
		s.Findings[i].write(b)
	}
}

func (f *Finding) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n  %s %s: %s\n", f.Severity, f.Code, f.objects())
	fmt.Fprintf(b, "    seen: %s\n    why:  %s\n", f.Seen, f.Why)
	for i, line := range f.Mend {
		head := "mend:"
		if i > 0 {
			head = ""
		}
		// What is between the marks of a shell's document has to begin the line.
		fmt.Fprintf(b, "    %-5s %s\n", head, line)
	}
	b.WriteString("\n")
}

// objects names the first few.
func (f *Finding) objects() string {
	text := strings.Join(f.Objects[:min(len(f.Objects), maxNamed)], ", ")
	if more := len(f.Objects) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (r *Report) verdict() string {
	switch r.Result {
	case ResultProblem:
		return fmt.Sprintf("%s, %s.", number(r.Problems, "problem"), number(r.Warnings, "warning"))
	case ResultUnknown:
		return fmt.Sprintf("Not all could be checked; %s and %s were found.", number(r.Problems, "problem"), number(r.Warnings, "warning"))
	case ResultWarning:
		return fmt.Sprintf("No problem, %s.", number(r.Warnings, "warning"))
	}
	return "All is well."
}

func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
