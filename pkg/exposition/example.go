// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"bytes"
	"fmt"
	"strconv"
)

// example is the first of an answer that was left out, for people to find it.
type example struct {
	known     bool
	reason    Rejection
	field     Fields
	container *Container
	value     float64
}

// Reject counts what is left out: a sample of a field, or all that is told of a
// container if field is 0. container is nil where it is the node's, or where nothing
// says whose it is. value is that of a RejectedValue, in the units of the answer.
func (s *Samples) Reject(reason Rejection, field Fields, container *Container, value float64) {
	if !s.example.known {
		s.example = example{true, reason, field, container, value}
	}
	s.Rejected[reason]++
}

// FirstRejected says why the first sample or container that was left out was, and which
// it is, on one line. ok is false if none was. It reads the names of Containers.
func (s *Samples) FirstRejected() (reason Rejection, which string, ok bool) {
	if !s.example.known {
		return 0, "", false
	}
	return s.example.reason, s.example.String(), true
}

// maxExample is how many bytes of the names of a container are told. Those of nearly all
// are shorter.
const maxExample = 200

func (e example) String() string {
	whose := "the node"
	if c := e.container; c != nil {
		names := bytes.Join([][]byte{c.Namespace, c.Pod, c.Name}, []byte("/"))
		quoted := strconv.QuoteToASCII(string(names[:min(len(names), maxExample)]))
		whose = "container " + quoted[1:len(quoted)-1]
	} else if e.reason == RejectedLabels {
		whose = "a container that the labels do not name"
	}
	switch {
	case e.field == 0:
		return whose
	case e.reason == RejectedValue:
		return fmt.Sprintf("%s of %s: %v", e.field, whose, e.value)
	}
	return fmt.Sprintf("%s of %s", e.field, whose)
}

// String names a single field for people.
func (f Fields) String() string {
	switch f {
	case HasCPU:
		return "CPU"
	case HasMemory:
		return "memory"
	case HasSwap:
		return "swap"
	case HasStart:
		return "start time"
	}
	return fmt.Sprintf("fields %#x", uint8(f))
}
