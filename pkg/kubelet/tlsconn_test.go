// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

// A connection keeps no buffer between requests, however large the records were,
// and a connection on which something is left keeps what it was lent.
func TestConnectionsKeepNoBuffer(t *testing.T) {
	if !canLend {
		t.Fatal("crypto/tls has other fields than expected: connections keep their buffers")
	}
	k := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textType)
		// The records of a new connection are small.
		w.Write([]byte(strings.Repeat("x", 500_000)))
	}, nil)
	f := newFetcher(t, k.config(t))
	for range 3 {
		answer, err := f.fetch()
		if err != nil {
			t.Fatal(err)
		}
		if n := len(answer.Body); n != 500_000 {
			t.Errorf("got %d bytes", n)
		}
		answer.Release()
		stream := f.idleStream(t)
		if n := rawInput(stream).Cap(); n != 0 {
			t.Errorf("the connection keeps a buffer of %d bytes", n)
		}
		if n := input(stream).Size(); n != 0 {
			t.Errorf("the connection keeps the %d bytes that it has read last", n)
		}
	}
	if accepted, _ := k.counts(); accepted != 1 {
		t.Errorf("%d connections were made, want 1", accepted)
	}
}

// A connection keeps no certificates, and goes on without them.
func TestConnectionsKeepNoCertificates(t *testing.T) {
	if !canForget {
		t.Fatal("crypto/tls has other fields than expected: connections keep their peers' certificates")
	}
	k := newKubelet(t, answer(textType, "body"), nil)
	f := newFetcher(t, k.config(t))
	for range 2 {
		f.succeeds(t)
		if s := f.idleStream(t).ConnectionState(); !s.HandshakeComplete || s.PeerCertificates != nil || s.VerifiedChains != nil {
			t.Errorf("the connection keeps %d certificates and %d chains", len(s.PeerCertificates), len(s.VerifiedChains))
		}
	}
}

// What crypto/tls holds when a connection is to be lent a buffer must not get lost.
func TestNothingIsLentToAConnectionInUse(t *testing.T) {
	k := newKubelet(t, answer(textType, "body"), nil)
	f := newFetcher(t, k.config(t))
	f.succeeds(t)
	stream := f.idleStream(t)
	rawInput(stream).WriteString("not decrypted")
	if l := lend(stream); l != nil {
		t.Error("a buffer was lent")
	}
	rawInput(stream).Reset()
	l := lend(stream)
	if l == nil {
		t.Fatal("nothing was lent")
	}
	rawInput(stream).WriteString("not decrypted")
	if !holds(stream) {
		t.Error("it is not seen that something has been received")
	}
	l.takeBack()
	if holds(stream) {
		t.Error("the buffer was not taken back")
	}
}

// idleStream is the TLS connection that the endpoint keeps.
func (f *fetcher) idleStream(t *testing.T) *tls.Conn {
	t.Helper()
	f.endpoint.mu.Lock()
	defer f.endpoint.mu.Unlock()
	if f.endpoint.idle == nil {
		t.Fatal("no connection is idle")
	}
	return f.endpoint.idle.stream.(*tls.Conn)
}
