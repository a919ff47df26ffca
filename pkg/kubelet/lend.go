// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"sync"
	"unsafe"
)

// A tls.Conn keeps the buffer that it reads records into for as long as it lives:
// 32 KiB as soon as its peer sends large records. For thousands of kubelets, each of
// which is read for milliseconds in an interval, that was more than half of the
// server's memory. So each connection is lent a buffer for a request.
//
// There is no other way to it than through the Conn's own fields. If a version of Go
// names them otherwise, nothing is lent, and a test fails.

var (
	rawInputField, hasRawInput = fieldOfConn("rawInput", reflect.TypeFor[bytes.Buffer]()) // what is not decrypted yet
	inputField, hasInput       = fieldOfConn("input", reflect.TypeFor[bytes.Reader]())    // what is not read yet, in the memory of rawInput
)

// canLend tells whether tls.Conn is as expected.
var canLend = hasRawInput && hasInput

func fieldOfConn(name string, want reflect.Type) (offset uintptr, ok bool) {
	field, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	return field.Offset, ok && field.Type == want
}

// lentSize holds the answer of most nodes, so that it can be read at once.
const lentSize = 64 << 10

// lent is a buffer that a connection reads into.
type lent struct {
	conn   *tls.Conn
	buffer bytes.Buffer
}

var lents = sync.Pool{New: func() any {
	l := new(lent)
	l.buffer.Grow(lentSize)
	return l
}}

// lend gives a connection that nobody reads from a buffer, until takeBack. It
// returns nil if that cannot be done.
func lend(conn *tls.Conn) *lent {
	if !canLend || rawInput(conn).Len() > 0 || input(conn).Len() > 0 {
		return nil
	}
	l := lents.Get().(*lent)
	l.conn = conn
	*rawInput(conn) = l.buffer
	return l
}

// takeBack takes the buffer from a connection that nobody reads from any more. It
// returns false, and leaves the buffer to the connection, if something is in it.
func (l *lent) takeBack() bool {
	raw := rawInput(l.conn)
	if raw.Len() > 0 || input(l.conn).Len() > 0 {
		return false
	}
	raw.Reset()
	l.buffer, l.conn = *raw, nil
	*raw = bytes.Buffer{}
	lents.Put(l)
	return true
}

func rawInput(conn *tls.Conn) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(conn), rawInputField))
}

func input(conn *tls.Conn) *bytes.Reader {
	return (*bytes.Reader)(unsafe.Add(unsafe.Pointer(conn), inputField))
}
