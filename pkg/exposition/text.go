// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"bytes"
	"fmt"
)

// The grammar is that of expfmt.TextParser of github.com/prometheus/common,
// which the Prometheus client libraries follow. Families are known by their
// names alone: TYPE and HELP lines are comments.

// textRun is the family of the last line. Lines of one family follow each
// other, so the next line is compared with it first.
type textRun struct {
	// name is the metric name as the answer wrote it; empty if the next line
	// cannot be compared with it.
	name   []byte
	family family
}

func (d *Decoder) decodeText(body []byte) *Error {
	rest := body
	for number := 1; len(rest) > 0; number++ {
		if number > MaxLines {
			return tooLargeError("lines", MaxLines)
		}
		n := d.expectedSeries(rest)
		if n == 0 {
			var err *Error
			if n, err = d.readLine(rest); err != nil {
				err.Position = fmt.Sprintf("line %d", number)
				return err
			}
		}
		rest = rest[n:]
	}
	return nil
}

// expectedSeries reads the line that b starts with, if it is a series of the
// same family as the last line with the labels that are expected next, or of
// the same family that is not read. It gives the length of the line with its
// newline, or 0 if the line is to be read in full.
func (d *Decoder) expectedSeries(b []byte) int {
	name := d.run.name
	if len(name) == 0 || len(b) <= len(name) || !bytes.Equal(b[:len(name)], name) {
		return 0
	}
	i := len(name)
	if d.run.family == otherFamily {
		if b[i] != '{' && b[i] != ' ' {
			return 0
		}
		return lineLength(b)
	}
	encoded := d.containers.expected()
	if len(encoded) == 0 || !d.run.family.ofContainers() || !bytes.HasPrefix(b[i:], encoded) {
		return 0
	}
	i += len(encoded)
	if i == len(b) || b[i] != ' ' {
		return 0
	}
	i++
	p, n := readPlainSample(b[i:])
	i += n
	if n == 0 || i == len(b) || b[i] != '\n' || i > MaxLineLength {
		return 0
	}
	d.add(d.containers.take(), d.run.family.field(), p.value, p.milliseconds, p.timed)
	return i + 1
}

// lineLength gives the length of the line that b starts with, with its newline,
// or 0 if it has none or the line is too long.
func lineLength(b []byte) int {
	n := bytes.IndexByte(b, '\n')
	if n > MaxLineLength {
		return 0
	}
	return n + 1
}

// readLine reads the line that b starts with, and gives its length with its
// newline.
func (d *Decoder) readLine(b []byte) (int, *Error) {
	length := bytes.IndexByte(b, '\n')
	line := b
	if length >= 0 {
		line = b[:length]
	}
	if len(line) > MaxLineLength {
		return 0, tooLargeError("bytes in a line", MaxLineLength)
	}
	line = skipBlanks(line)
	if len(line) > 0 && line[0] != '#' && line[0] != '{' && line[0] != '"' && !isNameStart(line[0]) {
		return 0, syntaxError("expected a metric name or a comment, got %s", quote(line))
	}
	if length < 0 {
		if len(line) == 0 {
			return len(b), nil
		}
		return 0, &Error{Reason: ReasonTruncated, Cause: "the last line has no newline: the answer was cut short"}
	}
	if len(line) == 0 || line[0] == '#' {
		return length + 1, nil
	}
	return length + 1, d.readSeries(line)
}

// readSeries reads a line that holds a series.
func (d *Decoder) readSeries(line []byte) *Error {
	if line[0] == '{' {
		return d.readBracedSeries(line)
	}
	name, rest, err := d.readName(line)
	if err != nil {
		return err
	}
	d.startRun(name, len(line)-len(rest))
	if d.run.family == otherFamily {
		return nil
	}
	s := textSeries{name: name}
	rest = skipBlanks(rest)
	if len(rest) == 0 || rest[0] != '{' {
		return d.addSeries(&s.labels, nil, rest)
	}
	value, err := d.readLabels(&s, rest[1:])
	if err != nil {
		return err
	}
	encoded := rest[:len(rest)-len(value)]
	return d.addSeries(&s.labels, encoded, skipBlanks(value))
}

// readBracedSeries reads a line whose metric name is among its labels.
func (d *Decoder) readBracedSeries(line []byte) *Error {
	var s textSeries
	rest, err := d.readLabels(&s, line[1:])
	if err != nil {
		return err
	}
	if s.name == nil {
		return syntaxError("no metric name in %s", quote(line))
	}
	d.startRun(s.name, 0)
	if d.run.family == otherFamily {
		return nil
	}
	return d.addSeries(&s.labels, nil, skipBlanks(rest))
}

// textSeries is what precedes the value in a line.
type textSeries struct {
	name   []byte
	labels labels
}

// startRun notes the family of a line. written is how many bytes at the start
// of the line are the name; if the name is not written as it is, no line is
// compared with it.
func (d *Decoder) startRun(name []byte, written int) {
	f := familyOf(name)
	if f != d.run.family {
		d.containers.next = 0
	}
	d.run = textRun{family: f}
	if len(name) == written {
		d.run.name = name
	}
}

// addSeries takes in a series of the family of the run, of which rest is left:
// value and timestamp.
func (d *Decoder) addSeries(l *labels, encoded, rest []byte) *Error {
	sample, err := readSample(rest)
	if err != nil {
		return err
	}
	u := &d.samples.Node
	if d.run.family.ofContainers() {
		if u, err = d.containers.find(l, encoded); err != nil {
			return err
		}
	}
	d.add(u, d.run.family.field(), sample.value, sample.milliseconds, sample.timed)
	return nil
}

// readName reads a metric or label name: plain, quoted, or, as expfmt has it,
// with a quoted end.
func (d *Decoder) readName(b []byte) (name, rest []byte, err *Error) {
	n := nameLength(b)
	if n == len(b) || b[n] != '"' {
		return b[:n], b[n:], nil
	}
	quoted, rest, err := d.readQuoted(b[n+1:])
	if err != nil || n == 0 {
		return quoted, rest, err
	}
	start := len(d.unescaped)
	d.unescaped = append(append(d.unescaped, b[:n]...), quoted...)
	return d.unescaped[start:len(d.unescaped):len(d.unescaped)], rest, nil
}

// readLabels reads labels up to and with the closing brace. A metric name among
// them is put into s, unless it has one.
func (d *Decoder) readLabels(s *textSeries, b []byte) (rest []byte, err *Error) {
	for {
		b = skipBlanks(b)
		if len(b) > 0 && b[0] == '}' {
			return b[1:], nil
		}
		var name []byte
		from := b
		if name, b, err = d.readName(b); err != nil {
			return nil, err
		}
		if len(name) == 0 {
			return nil, syntaxError("expected a label name or '}', got %s", quote(from))
		}
		b = skipBlanks(b)
		if len(b) > 0 && b[0] == '=' {
			b, err = d.readLabelValue(s, name, skipBlanks(b[1:]))
		} else if s.name == nil {
			s.name = name
		} else {
			err = syntaxError("expected '=' after label name %s, got %s", quote(name), quote(b))
		}
		if err != nil {
			return nil, err
		}
		b = skipBlanks(b)
		if len(b) > 0 && b[0] == ',' {
			b = b[1:]
		} else if len(b) == 0 || b[0] != '}' {
			return nil, syntaxError("expected ',' or '}' after label %s, got %s", quote(name), quote(b))
		}
	}
}

// readLabelValue reads the value of a label.
func (d *Decoder) readLabelValue(s *textSeries, name, b []byte) (rest []byte, err *Error) {
	if len(b) == 0 || b[0] != '"' {
		return nil, syntaxError("expected '\"' at the start of the value of label %s, got %s", quote(name), quote(b))
	}
	value, rest, err := d.readQuoted(b[1:])
	if err != nil {
		return nil, err
	}
	s.labels.set(name, value)
	return rest, nil
}

// readQuoted reads up to the closing quote; b starts after the opening one.
func (d *Decoder) readQuoted(b []byte) (value, rest []byte, err *Error) {
	end := bytes.IndexByte(b, '"')
	if end < 0 {
		return nil, nil, syntaxError("no closing quote after %s", quote(b))
	}
	if bytes.IndexByte(b[:end], '\\') < 0 {
		return b[:end], b[end+1:], nil
	}
	return d.readEscaped(b)
}

// readEscaped does what readQuoted does, where there are escapes.
func (d *Decoder) readEscaped(b []byte) (value, rest []byte, err *Error) {
	start := len(d.unescaped)
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '"' {
			return d.unescaped[start:len(d.unescaped):len(d.unescaped)], b[i+1:], nil
		}
		if c == '\\' {
			if i++; i == len(b) {
				break
			}
			switch b[i] {
			case '\\', '"':
				c = b[i]
			case 'n':
				c = '\n'
			default:
				return nil, nil, syntaxError(`expected \\, \" or \n as an escape, got %s`, quote(b[i-1:i+1]))
			}
		}
		d.unescaped = append(d.unescaped, c)
	}
	return nil, nil, syntaxError("no closing quote after %s", quote(b))
}

func skipBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// nameLength gives how many bytes at the start of b are a plain metric name.
func nameLength(b []byte) int {
	if len(b) == 0 || !isNameStart(b[0]) {
		return 0
	}
	n := 1
	for n < len(b) && (isNameStart(b[n]) || isDigit(b[n])) {
		n++
	}
	return n
}

func isNameStart(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == ':'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
