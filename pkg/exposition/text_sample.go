// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"bytes"
	"errors"
	"strconv"
)

// textSample is what follows name and labels in a line.
type textSample struct {
	value        float64
	milliseconds int64
	timed        bool
}

// readPlainSample reads a value and perhaps a timestamp, if they are written as
// the Go clients write them, up to a newline or the end of b. It gives the
// length, or 0 if they are written otherwise.
func readPlainSample(b []byte) (s textSample, length int) {
	value, n := plainNumber(b)
	if n == 0 {
		return s, 0
	}
	s.value = value
	if n == len(b) || b[n] == '\n' {
		return s, n
	}
	n++
	milliseconds, digits := plainTimestamp(b[n:])
	n += digits
	if digits == 0 || n < len(b) && b[n] != '\n' {
		return s, 0
	}
	s.milliseconds = milliseconds
	s.timed = true
	return s, n
}

// readSample reads value and timestamp, which are all of b.
func readSample(b []byte) (s textSample, err *Error) {
	s, n := readPlainSample(b)
	if n == len(b) && n > 0 {
		return s, nil
	}
	token, rest := cutToken(b)
	if s.value, err = readValue(token); err != nil {
		return s, err
	}
	if s.timed = len(rest) > 0; s.timed {
		s.milliseconds, err = readTimestamp(skipBlanks(rest))
	}
	return s, err
}

// readValue reads a sample value. A number too large for a float64 becomes
// infinite.
func readValue(token []byte) (float64, *Error) {
	// strconv reads these, the text format does not have them.
	if !bytes.ContainsAny(token, "pP_") {
		value, err := strconv.ParseFloat(string(token), 64)
		if err == nil || errors.Is(err, strconv.ErrRange) {
			return value, nil
		}
	}
	return 0, syntaxError("expected a number as the value, got %s", quote(token))
}

// readTimestamp reads a timestamp, after which nothing may follow. One too large
// for an int64 becomes the largest.
func readTimestamp(token []byte) (int64, *Error) {
	milliseconds, err := strconv.ParseInt(string(token), 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return milliseconds, nil
	}
	return 0, syntaxError("expected a timestamp in milliseconds after the value, and nothing more, got %s", quote(token))
}

// cutToken gives what precedes the first blank, and the rest with that blank.
func cutToken(b []byte) (token, rest []byte) {
	for i, c := range b {
		if c == ' ' || c == '\t' {
			return b[:i], b[i:]
		}
	}
	return b, nil
}
