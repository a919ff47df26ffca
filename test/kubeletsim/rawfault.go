// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"bytes"
	"io"
	"net/http"
	"slices"
)

// RawResponse is a response that no HTTP server sends: its bytes are given.
type RawResponse struct {
	// Head is sent first.
	Head string
	// Sound has a sound answer sent after it, as text.
	Sound bool
	// Piece follows, Times over; until the client leaves if Times is below 0.
	Piece string
	Times int
	// Tail comes last, and the connection is closed after it.
	Tail string
	// Hang has the connection left open after the Tail, until the client leaves.
	Hang bool
}

// Raw sends a response as it is given, to requests that are authenticated. It takes
// HTTP/1.1.
func Raw(name string, r RawResponse) Fault {
	return newFault(name, func(f *faults) { f.raw = newRawResponse(r) })
}

type rawResponse struct {
	RawResponse
	block  []byte // pieces, to send many at once
	blocks int    // how many
	rest   []byte // pieces that are left then
}

// minBlock is about how many bytes are sent at once.
const minBlock = 32 << 10

func newRawResponse(r RawResponse) *rawResponse {
	raw := &rawResponse{RawResponse: r}
	if r.Piece == "" || r.Times == 0 {
		return raw
	}
	perBlock := minBlock/len(r.Piece) + 1
	raw.block = bytes.Repeat([]byte(r.Piece), perBlock)
	raw.blocks = r.Times / perBlock
	raw.rest = raw.block[:max(r.Times, 0)%perBlock*len(r.Piece)]
	return raw
}

// sendRaw takes the connection over.
func (s *Simulation) sendRaw(w *countingWriter, n *Node, f *faults) bool {
	w.count(http.StatusOK)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer conn.Close()
	done := make(chan struct{})
	defer close(done)
	go func() { // a write ends with the simulation
		select {
		case <-s.closing:
			conn.Close()
		case <-done:
		}
	}()
	// A client that is gone is no news.
	_ = f.raw.send(conn, func() []byte {
		buffers := renderings.Get().(*rendering)
		defer renderings.Put(buffers)
		return bytes.Clone(n.renderMetrics(buffers, false))
	})
	return true
}

func (r *rawResponse) send(conn io.ReadWriter, sound func() []byte) error {
	if _, err := io.WriteString(conn, r.Head); err != nil {
		return err
	}
	if r.Sound {
		if _, err := conn.Write(sound()); err != nil {
			return err
		}
	}
	for i := 0; r.block != nil && (r.Times < 0 || i < r.blocks); i++ {
		if _, err := conn.Write(r.block); err != nil {
			return err
		}
	}
	if _, err := conn.Write(slices.Concat(r.rest, []byte(r.Tail))); err != nil {
		return err
	}
	if r.Hang {
		_, err := io.Copy(io.Discard, conn)
		return err
	}
	return nil
}
