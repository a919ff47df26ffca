// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// bodyFaults concern how a body is sent, not what a sound one says.
type bodyFaults struct {
	html, noise, cut, abort, endless bool
	noiseBytes                       int
	noiseSeed                        uint64
	dripBytes                        int
	dripInterval                     time.Duration
}

// HTMLBody answers 200 with a web page, as a proxy's login page would.
func HTMLBody() Fault {
	return newFault("HTML body", func(f *faults) { f.body.html = true })
}

// RandomBody answers 200 and the right content type with random bytes.
func RandomBody(bytes int, seed uint64) Fault {
	return newFault("random body", func(f *faults) {
		f.body.noise, f.body.noiseBytes, f.body.noiseSeed = true, bytes, seed
	})
}

// TruncatedBody cuts the body in the middle of a series; the HTTP answer is
// complete and correct.
func TruncatedBody() Fault {
	return newFault("truncated body", func(f *faults) { f.body.cut = true })
}

// TruncatedConnection announces the whole body with Content-Length and closes
// the connection (HTTP/2: resets the stream) after half of it.
func TruncatedConnection() Fault {
	return newFault("truncated connection", func(f *faults) { f.body.abort = true })
}

// EndlessBody repeats the body until the client leaves.
func EndlessBody() Fault {
	return newFault("endless body", func(f *faults) { f.body.endless = true })
}

// Drip sends the body in pieces of the given number of bytes and waits for the
// given time, by the simulation's clock, after each.
func Drip(bytes int, interval time.Duration) Fault {
	return Fault{fmt.Sprintf("drip %d bytes every %s", bytes, interval), func(_ *Node, f *faults) error {
		if bytes < 1 || interval <= 0 {
			return errors.New("use at least 1 byte and an interval above 0")
		}
		f.body.dripBytes, f.body.dripInterval = bytes, interval
		return nil
	}}
}

const htmlPage = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Sign in to continue</h1></body></html>\n"

// spoil replaces or cuts a sound answer.
func (f *bodyFaults) spoil(a answer) answer {
	if f.html {
		a.contentType, a.body = "text/html; charset=utf-8", []byte(htmlPage)
	}
	if f.noise {
		a.body = noise(f.noiseBytes, f.noiseSeed)
	}
	if f.cut {
		a.body = cutInMiddle(a.body)
	}
	return a
}

func noise(n int, seed uint64) []byte {
	source := rand.New(rand.NewPCG(seed, math.MaxUint64))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(source.Uint32())
	}
	return b
}

// cutInMiddle takes care not to cut between two lines, where nothing would be
// amiss.
func cutInMiddle(b []byte) []byte {
	half := len(b) / 2
	for half > 0 && (b[half-1] == '\n' || b[half] == '\n') {
		half--
	}
	return b[:half]
}
