// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// maxOrdinaryBody is how large a body may get without a place among the large: more
// than a thousand containers take as much. Buffers for more are kept apart, so that a
// kubelet that sends much does not make others' buffers large.
const maxOrdinaryBody = 1 << 20

// minBuffer is what a buffer begins with.
const minBuffer = 4 << 10

// bodies are buffers for the bodies of answers. One is taken when the head of an
// answer has arrived, so that kubelets that do not answer hold none. largeBodies
// are those of answers with a place.
var (
	bodies      = sync.Pool{New: func() any { return new([]byte) }}
	largeBodies = sync.Pool{New: func() any { return new([]byte) }}
)

var errTurnEnded = errors.New("the body came too slowly for its size, and others as large waited")

// interrupter ends a read that is under way, and those that follow.
type interrupter interface{ interrupt() }

// bodyReader reads the body of an answer.
type bodyReader struct {
	ctx      context.Context
	deadline time.Time
	places   *places
	source   interrupter
}

// read reads all of r. Growth of the buffer follows what arrives and not what the
// Content-Length announces, so that a header alone costs no memory.
func (b *bodyReader) read(r io.Reader) (Answer, Reason, error) {
	a := Answer{buf: bodies.Get().(*[]byte)}
	body := (*a.buf)[:0]
	for {
		if len(body) == cap(body) {
			var reason Reason
			var err error
			if body, reason, err = b.grow(&a, body); err != nil {
				a.Release()
				return Answer{}, reason, err
			}
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		*a.buf = body
		if len(body) > maxBodyBytes {
			a.Release()
			return Answer{}, ReasonTooLarge, fmt.Errorf("the body has more than %d bytes", maxBodyBytes)
		}
		if err == nil {
			continue
		}
		interrupted := a.place.settle()
		if err == io.EOF {
			a.Body = body
			return a, "", nil
		}
		a.Release()
		if interrupted {
			return Answer{}, ReasonTimeout, fmt.Errorf("%w: %d bytes in %s", errTurnEnded, len(body), b.places.turn)
		}
		return Answer{}, bodyReason(err), fmt.Errorf("the body ends after %d bytes: %w", len(body), err)
	}
}

// grow gives the answer a larger buffer, after a wait for a place if it takes one.
// Sizes double, so that all that is left behind is not more than what is used.
func (b *bodyReader) grow(a *Answer, body []byte) ([]byte, Reason, error) {
	if len(body) < maxOrdinaryBody {
		larger := make([]byte, len(body), min(max(2*len(body), minBuffer), maxOrdinaryBody))
		copy(larger, body)
		return larger, "", nil
	}
	if a.place == nil {
		place, err := b.places.take(b.ctx, b.deadline, b.source)
		if err != nil {
			return nil, bodyReason(err), fmt.Errorf("a body of more than %d bytes found no memory, which others as large use: %w", maxOrdinaryBody, err)
		}
		small := a.buf
		a.place, a.buf = place, largeBodies.Get().(*[]byte)
		if cap(*a.buf) > len(body) {
			body = append((*a.buf)[:0], body...)
			bodies.Put(small)
			return body, "", nil
		}
		defer bodies.Put(small)
	}
	larger := make([]byte, len(body), min(2*len(body), maxBodyBytes+1))
	copy(larger, body)
	return larger, "", nil
}

// Release gives the body's buffer back. The body is not to be read afterwards.
func (a Answer) Release() {
	switch {
	case a.buf == nil:
	case a.place == nil:
		bodies.Put(a.buf)
	default:
		largeBodies.Put(a.buf)
		a.place.leave()
	}
}
