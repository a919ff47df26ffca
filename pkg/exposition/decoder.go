// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"fmt"
	"time"
)

// Decoder decodes answers, one after the other, into one Samples. The zero
// Decoder is ready for use. It is not safe for concurrent use.
type Decoder struct {
	samples     Samples
	containers  containerSet
	requestTime int64
	// series counts the series of families that are read, rejected or not.
	series int
	// unescaped holds what label values and quoted names with escapes stand for.
	unescaped []byte
	// run is the family of the last line of a Text answer.
	run textRun
}

// Decode reads one whole answer. requestTime stands in for samples that carry
// no time. The Samples returned belong to the Decoder and hold until the next
// Decode; they alias body.
//
// An answer that cannot be trusted as a whole (cut short, not in the format,
// over a limit, or without a single series of ours) gives an *Error.
func (d *Decoder) Decode(format Format, body []byte, requestTime time.Time) (*Samples, error) {
	d.reset(requestTime)
	var err *Error
	switch format {
	case Text:
		err = d.decodeText(body)
	case Delimited:
		err = d.decodeDelimited(body)
	case Summary:
		err = d.decodeSummary(body)
	default:
		return nil, fmt.Errorf("unknown format %d: use Text, Delimited or Summary", format)
	}
	if err != nil {
		return nil, err
	}
	if d.series == 0 {
		return nil, &Error{Reason: ReasonEmpty, Cause: fmt.Sprintf(
			"no usage of a node or container in an answer of %d bytes: check that this is the kubelet's resource metrics endpoint, and the kubelet's log", len(body))}
	}
	d.samples.Containers = d.containers.list
	return &d.samples, nil
}

func (d *Decoder) reset(requestTime time.Time) {
	d.samples = Samples{}
	d.containers.reset()
	d.requestTime = requestTime.UnixNano()
	d.series = 0
	d.unescaped = d.unescaped[:0]
	if cap(d.unescaped) > maxKeptUnescaped {
		d.unescaped = nil
	}
	d.run = textRun{}
}

// add takes one sample of u in, or counts why not. milliseconds counts only if
// timed. u is nil if the labels name no container.
func (d *Decoder) add(u *Usage, field Fields, value float64, milliseconds int64, timed bool) {
	d.series++
	if u == nil {
		d.reject(RejectedLabels, field, nil, value)
		return
	}
	q, ok := quantity(field, value)
	if !ok {
		d.reject(RejectedValue, field, u, value)
		return
	}
	t := d.requestTime
	if timed {
		if t, ok = nanoseconds(milliseconds); !ok {
			d.reject(RejectedTimestamp, field, u, value)
			return
		}
	}
	u.set(field, q, t)
}

// reject leaves out a sample of u, which is the node's or the container's that was
// found last.
func (d *Decoder) reject(reason Rejection, field Fields, u *Usage, value float64) {
	var c *Container
	if u != nil && u != &d.samples.Node {
		c = &d.containers.list[d.containers.next-1]
	}
	d.samples.Reject(reason, field, c, value)
}
