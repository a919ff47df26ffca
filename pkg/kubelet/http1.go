// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/net/http/httpguts"
)

// This file reads HTTP/1.1 responses (RFC 9112), more strictly than net/http: what
// a kubelet never sends is an error.

const (
	// maxHeaderBytes is far above what a kubelet sends (under 1 KiB).
	maxHeaderBytes = 64 << 10
	// maxLineBytes bounds a line of the head.
	maxLineBytes = 4 << 10
	// maxInterim is how many 1xx responses may come before the final one.
	maxInterim = 5
	// maxChunks is how many chunks a body may have: those of a kubelet have 2 KiB or
	// more, and to read them byte by byte would take seconds of CPU.
	maxChunks = maxBodyBytes >> 10
)

var (
	errHeaderTooLarge = fmt.Errorf("response headers exceeded %d bytes, or %d bytes in a line", maxHeaderBytes, maxLineBytes)
	errMalformed      = errors.New("malformed HTTP response")
)

// exchange is what a request and its response need while they last. It is used
// again.
type exchange struct {
	request []byte
	reader  *bufio.Reader
	head    head
	body    body
}

func newExchange() *exchange {
	x := &exchange{reader: bufio.NewReaderSize(nil, maxLineBytes)}
	x.body.reader = x.reader
	return x
}

// ask sends the request and reads the head of the response.
func (x *exchange) ask(conn *connection) error {
	x.reader.Reset(conn)
	_, err := conn.Write(x.request)
	if waitErr := conn.wait(); err == nil {
		err = waitErr
	}
	// Why the kubelet has closed the connection, such as a client certificate that
	// it does not take, may only be read.
	if _, readErr := x.reader.Peek(1); err == nil || tlsReason(readErr) != "" {
		err = readErr
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = transportError{err}
		}
		if errors.As(err, new(transportError)) {
			err = unansweredError{err}
		}
		return err
	}
	if err := x.readHead(); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return transportError{err}
	}
	return nil
}

// finish makes the connection idle. It is sound if the response has been read to its
// end and another may follow.
func (x *exchange) finish(conn *connection) {
	idle := conn.end()
	conn.sound = idle && x.body.ended && !x.head.close && x.reader.Buffered() == 0
}

// readHead reads up to the body of the final response.
func (x *exchange) readHead() error {
	limit := maxHeaderBytes
	for range maxInterim + 1 {
		if err := x.readStatusLine(&limit); err != nil {
			return err
		}
		framing, err := x.readHeaders(&limit)
		if err != nil {
			return err
		}
		if x.head.status >= 200 {
			x.body.begin(&x.head, framing)
			return nil
		}
		if x.head.status == 101 {
			return fmt.Errorf("%w: it switches protocols", errMalformed)
		}
	}
	return fmt.Errorf("%w: more than %d interim responses", errMalformed, maxInterim)
}

// readLine returns a line without its end, valid until the next read.
func readLine(r *bufio.Reader, limit *int) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if *limit -= len(line); *limit < 0 || errors.Is(err, bufio.ErrBufferFull) {
		return nil, errHeaderTooLarge
	}
	if err != nil {
		return nil, err
	}
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return nil, fmt.Errorf("%w: a line does not end in CR LF", errMalformed)
	}
	return line, nil
}

// readStatusLine reads a line such as "HTTP/1.1 200 OK".
func (x *exchange) readStatusLine(limit *int) error {
	line, err := readLine(x.reader, limit)
	if err != nil {
		return err
	}
	const version, status = len("HTTP/1.1"), len("HTTP/1.1 200")
	if len(line) < status || line[version] != ' ' || len(line) > status && line[status] != ' ' {
		return fmt.Errorf("%w: the status line is %q", errMalformed, truncate(string(line)))
	}
	code, err := strconv.ParseUint(string(line[version+1:status]), 10, 16)
	protocol := string(line[:version])
	if err != nil || code < 100 || protocol != "HTTP/1.1" && protocol != "HTTP/1.0" {
		return fmt.Errorf("%w: the status line is %q", errMalformed, truncate(string(line)))
	}
	x.head.reset(int(code))
	x.head.http10 = protocol == "HTTP/1.0"
	x.head.close = x.head.http10
	return nil
}

// framing says how the length of a body is told.
type framing struct {
	length  int64 // -1 if it is not
	chunked bool
}

func (x *exchange) readHeaders(limit *int) (framing, error) {
	f := framing{length: -1}
	for {
		line, err := readLine(x.reader, limit)
		if err != nil {
			return f, err
		}
		if len(line) == 0 {
			if f.chunked && f.length >= 0 {
				return f, fmt.Errorf("%w: it has a Content-Length and is chunked", errMalformed)
			}
			if f.chunked && x.head.http10 {
				return f, fmt.Errorf("%w: it is of HTTP/1.0 and chunked", errMalformed)
			}
			return f, nil
		}
		name, value, err := cutHeader(line)
		if err != nil {
			return f, err
		}
		if err := f.take(&x.head, name, bytes.Trim(value, " \t")); err != nil {
			return f, err
		}
	}
}

// cutHeader takes the line of a header, or of a trailer, apart.
func cutHeader(line []byte) (name, value []byte, err error) {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found || !httpguts.ValidHeaderFieldName(string(name)) || bytes.ContainsFunc(value, isControl) {
		return nil, nil, fmt.Errorf("%w: the header line %q", errMalformed, truncate(string(line)))
	}
	return name, value, nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// take notes a header.
func (f *framing) take(h *head, name, value []byte) error {
	switch {
	case is(name, "Content-Type"):
		return set(&h.contentType, name, value)
	case is(name, "Content-Encoding"):
		return set(&h.contentEncoding, name, value)
	case is(name, "Location"):
		return set(&h.location, name, value)
	case is(name, "Connection"):
		for option := range bytes.SplitSeq(value, []byte(",")) {
			h.close = h.close || is(bytes.Trim(option, " \t"), "close")
		}
	case is(name, "Content-Length"):
		n, err := strconv.ParseUint(string(value), 10, 63)
		if err != nil || f.length >= 0 && f.length != int64(n) {
			return fmt.Errorf("%w: Content-Length is %q", errMalformed, truncate(string(value)))
		}
		f.length = int64(n)
	case is(name, "Transfer-Encoding"):
		if !is(value, "chunked") || f.chunked {
			return fmt.Errorf("%w: Transfer-Encoding is %q", errMalformed, truncate(string(value)))
		}
		f.chunked = true
	}
	return nil
}

// is compares without regard to case.
func is(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i]|0x20 != b[i]|0x20 {
			return false
		}
	}
	return true
}

// set keeps a value, once. Nothing is allocated while it stays the same from
// response to response.
func set(field *field, name, value []byte) error {
	if field.isSet {
		return fmt.Errorf("%w: it has %s twice", errMalformed, name)
	}
	if field.isSet = true; field.value != string(value) {
		field.value = string(value)
	}
	return nil
}

// body reads the body of a response.
type body struct {
	reader *bufio.Reader
	// left is what is to come of the body, or of the chunk; -1 if only the end of
	// the connection tells.
	left    int64
	chunked bool
	chunks  int // so far
	ended   bool
}

func (b *body) begin(h *head, f framing) {
	b.chunked, b.chunks, b.ended = f.chunked, 0, false
	switch {
	case h.status == 204 || h.status == 304:
		b.left, b.chunked, b.ended = 0, false, true
	case f.chunked:
		b.left = 0
	default:
		b.left = f.length
		b.ended = f.length == 0
		h.close = h.close || f.length < 0
	}
	h.contentLength = b.left
	if b.chunked {
		h.contentLength = -1
	}
}

// Read implements io.Reader. A body that ends too soon is io.ErrUnexpectedEOF.
func (b *body) Read(p []byte) (int, error) {
	if b.chunked && b.left == 0 && !b.ended {
		if err := b.nextChunk(); err != nil {
			return 0, unexpected(err)
		}
	}
	if b.ended {
		return 0, io.EOF
	}
	if b.left >= 0 {
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err := b.reader.Read(p)
	if b.left < 0 {
		b.ended = errors.Is(err, io.EOF)
		return n, err
	}
	if b.left -= int64(n); b.left == 0 && !b.chunked {
		b.ended = true
		return n, nil
	}
	return n, unexpected(err)
}

// nextChunk reads the end of a chunk and the head of the next, and after the last
// one the trailers, which are not used.
func (b *body) nextChunk() error {
	limit := maxHeaderBytes
	if b.chunks > 0 {
		line, err := readLine(b.reader, &limit)
		if err != nil {
			return err
		}
		if len(line) > 0 {
			return fmt.Errorf("%w: a chunk is longer than it says", errMalformed)
		}
	}
	if b.chunks++; b.chunks > maxChunks {
		return fmt.Errorf("%w: it has more than %d chunks", errMalformed, maxChunks)
	}
	line, err := readLine(b.reader, &limit)
	if err != nil {
		return err
	}
	size, err := strconv.ParseUint(string(line), 16, 31)
	if err != nil {
		return fmt.Errorf("%w: a chunk has the size %q", errMalformed, truncate(string(line)))
	}
	if b.left = int64(size); size > 0 {
		return nil
	}
	for {
		line, err := readLine(b.reader, &limit)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			b.ended = true
			return nil
		}
		if _, _, err := cutHeader(line); err != nil {
			return err
		}
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
