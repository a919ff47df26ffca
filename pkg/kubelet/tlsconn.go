// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
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

// A tls.Conn also keeps its peer's certificates, and crypto/tls their encoding for as
// long: 4 KB a kubelet, for nobody once they have been verified.

var (
	peerCertificatesField, hasPeerCertificates = fieldOfConn("peerCertificates", reflect.TypeFor[[]*x509.Certificate]())
	verifiedChainsField, hasVerifiedChains     = fieldOfConn("verifiedChains", reflect.TypeFor[[][]*x509.Certificate]())
)

// canForget tells whether tls.Conn is as expected.
var canForget = hasPeerCertificates && hasVerifiedChains

// forgetCertificates drops the certificates of the peer, when the handshake is done.
func forgetCertificates(conn *tls.Conn) {
	if !canForget {
		return
	}
	*(*[]*x509.Certificate)(unsafe.Add(unsafe.Pointer(conn), peerCertificatesField)) = nil
	*(*[][]*x509.Certificate)(unsafe.Add(unsafe.Pointer(conn), verifiedChainsField)) = nil
}

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
	if !canLend || holds(conn) {
		return nil
	}
	l := lents.Get().(*lent)
	l.conn = conn
	*rawInput(conn) = l.buffer
	return l
}

// takeBack takes the buffer, and what may be in it, from a connection that nobody
// reads from any more.
func (l *lent) takeBack() {
	raw := rawInput(l.conn)
	raw.Reset()
	l.buffer = *raw
	*raw = bytes.Buffer{}
	input(l.conn).Reset(nil) // it would keep the memory of the buffer
	l.conn = nil
	lents.Put(l)
}

// holds tells whether a connection has received something that is not read.
func holds(conn *tls.Conn) bool {
	return canLend && rawInput(conn).Len()+input(conn).Len() > 0
}

func rawInput(conn *tls.Conn) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(conn), rawInputField))
}

func input(conn *tls.Conn) *bytes.Reader {
	return (*bytes.Reader)(unsafe.Add(unsafe.Pointer(conn), inputField))
}
