// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// summary is the part of stats.Summary that is read. The rest is left out, as
// it would take many times the time and memory.
type summary struct {
	Node summaryStats `json:"node"`
	Pods []struct {
		PodRef     stats.PodReference `json:"podRef"`
		Containers []summaryContainer `json:"containers"`
	} `json:"pods"`
}

type summaryContainer struct {
	Name      string      `json:"name"`
	StartTime metav1.Time `json:"startTime"`
	summaryStats
}

type summaryStats struct {
	CPU    *stats.CPUStats    `json:"cpu"`
	Memory *stats.MemoryStats `json:"memory"`
	Swap   *stats.SwapStats   `json:"swap"`
}

// decoding has a place for each Summary that is decoded. Together with MaxCommas it
// bounds the memory that the JSON of hostile kubelets takes. What waits for a place
// would wait for a CPU.
var decoding = make(chan struct{}, min(4, runtime.GOMAXPROCS(0)))

// decodeSummary reads counters only. The kubelet's own rate, usageNanoCores, is
// left alone: it lags behind the counter and may be 0 for a busy container.
func (d *Decoder) decodeSummary(body []byte) *Error {
	if bytes.Count(body, []byte{','}) > MaxCommas {
		return tooLargeError("commas", MaxCommas)
	}
	decoding <- struct{}{}
	defer func() { <-decoding }()
	var s summary
	if err := s.unmarshal(body); err != nil {
		return err
	}
	d.addStats(&d.samples.Node, &s.Node)
	for _, pod := range s.Pods {
		for i := range pod.Containers {
			if err := d.addContainer(&pod.PodRef, &pod.Containers[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *summary) unmarshal(body []byte) *Error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	err := decoder.Decode(s)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		return &Error{Reason: ReasonEmpty, Cause: "the answer is blank"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Reason: ReasonTruncated, Position: fmt.Sprintf("byte %d", len(body)), Cause: "the JSON does not end: the answer was cut short"}
	default:
		return jsonError(err)
	}
	end := decoder.InputOffset()
	if rest := bytes.TrimSpace(body[end:]); len(rest) > 0 {
		return &Error{Reason: ReasonSyntax, Position: fmt.Sprintf("byte %d", end), Cause: "expected nothing after the JSON, got " + quote(rest)}
	}
	return nil
}

// jsonError leaves out what encoding/json says of input, which may be long.
func jsonError(err error) *Error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return &Error{Reason: ReasonSyntax, Position: fmt.Sprintf("byte %d", syntax.Offset), Cause: "not JSON: " + syntax.Error()}
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return &Error{Reason: ReasonSyntax, Position: fmt.Sprintf("byte %d", mismatch.Offset),
			Cause: fmt.Sprintf("field %s: expected %s, got %s", quote([]byte(mismatch.Field)), mismatch.Type, quote([]byte(mismatch.Value)))}
	}
	return syntaxError("not a summary: %s", quote([]byte(err.Error())))
}

func (d *Decoder) addContainer(pod *stats.PodReference, c *summaryContainer) *Error {
	u, err := d.findContainer(pod, c.Name)
	if err != nil {
		err.Position = "pod " + quote([]byte(pod.Namespace+"/"+pod.Name))
		return err
	}
	d.addStats(u, &c.summaryStats)
	d.addStart(u, c.StartTime)
	return nil
}

// findContainer gives nil if the names cannot be those of a container.
func (d *Decoder) findContainer(pod *stats.PodReference, container string) (*Usage, *Error) {
	var l labels
	for _, label := range [...]struct{ name, value string }{
		{"namespace", pod.Namespace}, {"pod", pod.Name}, {"container", container},
	} {
		l.set([]byte(label.name), []byte(label.value))
	}
	return d.containers.find(&l, nil)
}

// addStats takes in what is reported of u.
func (d *Decoder) addStats(u *Usage, s *summaryStats) {
	if s.CPU != nil && s.CPU.UsageCoreNanoSeconds != nil {
		d.addExact(u, HasCPU, *s.CPU.UsageCoreNanoSeconds, s.CPU.Time)
	}
	if s.Memory != nil && s.Memory.WorkingSetBytes != nil {
		d.addExact(u, HasMemory, *s.Memory.WorkingSetBytes, s.Memory.Time)
	}
	if s.Swap != nil && s.Swap.SwapUsageBytes != nil {
		d.addExact(u, HasSwap, *s.Swap.SwapUsageBytes, s.Swap.Time)
	}
}

// addStart takes in a start time. One at or before the epoch means that the
// kubelet does not know it, and is left out of /metrics/resource too.
func (d *Decoder) addStart(u *Usage, start metav1.Time) {
	if start.Unix() <= 0 {
		return
	}
	ns, ok := unixNano(start)
	if !ok && u != nil {
		d.series++
		d.reject(RejectedValue, HasStart, u, float64(start.Unix()))
		return
	}
	d.addExact(u, HasStart, uint64(ns), metav1.Time{})
}

// addExact does what add does, for integers in the units of Usage.
func (d *Decoder) addExact(u *Usage, field Fields, quantity uint64, at metav1.Time) {
	d.series++
	if u == nil {
		d.reject(RejectedLabels, field, nil, float64(quantity))
		return
	}
	if !isPlausible(field, quantity) {
		d.reject(RejectedValue, field, u, float64(quantity))
		return
	}
	t := d.requestTime
	if !at.IsZero() {
		var ok bool
		if t, ok = unixNano(at); !ok {
			d.reject(RejectedTimestamp, field, u, float64(quantity))
			return
		}
	}
	u.set(field, quantity, t)
}

// unixNano gives false for a time at or before the epoch, or too late for an
// int64.
func unixNano(t metav1.Time) (int64, bool) {
	const lastSecond = math.MaxInt64/int64(time.Second) - 1
	if s := t.Unix(); s < 0 || s > lastSecond {
		return 0, false
	}
	ns := t.UnixNano()
	return ns, ns > 0
}
