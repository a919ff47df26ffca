// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"fmt"
	"strconv"
)

// Reason is the kind of an Error: one lower-case word, fit for the label of a
// metric.
type Reason string

const (
	// ReasonSyntax is an answer that is not in the format.
	ReasonSyntax Reason = "syntax"
	// ReasonTruncated is an answer that was cut short.
	ReasonTruncated Reason = "truncated"
	// ReasonTooLarge is an answer over one of the bounds of this package.
	ReasonTooLarge Reason = "too_large"
	// ReasonEmpty is an answer in the format, without a single series that is
	// read.
	ReasonEmpty Reason = "empty"
)

// Reasons lists every Reason that an Error can have.
var Reasons = [...]Reason{ReasonSyntax, ReasonTruncated, ReasonTooLarge, ReasonEmpty}

// Error says why an answer as a whole cannot be trusted.
type Error struct {
	// Reason is the kind of the error.
	Reason Reason
	// Position is where it was found: "line 7" or "byte 1234". It is empty if
	// the error is about the whole answer.
	Position string
	// Cause is what was found there and what was expected.
	Cause string
}

// Error gives position and cause. It quotes at most a few dozen bytes of the
// answer, escaped.
func (e *Error) Error() string {
	if e.Position == "" {
		return e.Cause
	}
	return e.Position + ": " + e.Cause
}

func syntaxError(format string, args ...any) *Error {
	return &Error{Reason: ReasonSyntax, Cause: fmt.Sprintf(format, args...)}
}

func tooLargeError(what string, limit int) *Error {
	return &Error{Reason: ReasonTooLarge, Cause: fmt.Sprintf("more than %d %s: over the limit of what one node can truly have", limit, what)}
}

// maxQuoted bounds how much of an answer appears in an error.
const maxQuoted = 48

// quote makes input safe to print: short, ASCII, on one line.
func quote(b []byte) string {
	if len(b) > maxQuoted {
		return strconv.QuoteToASCII(string(b[:maxQuoted])) + "..."
	}
	return strconv.QuoteToASCII(string(b))
}
