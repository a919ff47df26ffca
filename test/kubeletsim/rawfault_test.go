// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

const rawTextHead = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"

func TestRaw(t *testing.T) {
	f := newFaultFixture(t)
	sound := string(f.get(resourceMetricsPath).body)
	for name, c := range map[string]struct {
		raw  RawResponse
		want string
	}{
		"head only":        {RawResponse{Head: rawTextHead}, ""},
		"few pieces":       {RawResponse{Head: rawTextHead, Piece: "ab", Times: 3, Tail: "."}, "ababab."},
		"a block":          {RawResponse{Head: rawTextHead, Piece: "ab", Times: minBlock/2 + 1}, strings.Repeat("ab", minBlock/2+1)},
		"blocks and a few": {RawResponse{Head: rawTextHead, Piece: "ab", Times: minBlock + 5, Tail: "."}, strings.Repeat("ab", minBlock+5) + "."},
		"sound":            {RawResponse{Head: rawTextHead, Sound: true, Piece: "m", Times: 2, Tail: "ore"}, sound + "mmore"},
	} {
		f.setFaults(Raw(name, c.raw))
		if got := f.get(resourceMetricsPath); got.err != nil || string(got.body) != c.want {
			t.Errorf("%s: got %d bytes and error %v, want %d", name, len(got.body), got.err, len(c.want))
		}
	}
	f.setFaults(Raw("not HTTP", RawResponse{Head: "SSH-2.0\r\n"}))
	if _, err := f.request(t.Context(), resourceMetricsPath); err == nil || !strings.Contains(err.Error(), "malformed HTTP") {
		t.Errorf("error = %v", err)
	}
	if got := f.node.Requests()[Request{resourceMetricsPath, http.StatusOK}]; got != 7 {
		t.Errorf("%d requests are counted, want 7", got)
	}
}

// Both end with the simulation at the latest.
func TestRawWithoutEnd(t *testing.T) {
	for name, raw := range map[string]RawResponse{
		"endless": {Head: rawTextHead, Piece: "x", Times: -1},
		"hanging": {Head: rawTextHead, Tail: strings.Repeat("x", 1000), Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFaultFixture(t)
			f.setFaults(Raw(name, raw))
			answer, err := f.client.Do(newRequest(t.Context(), t, url(f.simulation, f.node, resourceMetricsPath)))
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if n, err := io.CopyN(io.Discard, answer.Body, 1000); err != nil {
				t.Errorf("the body ended after %d bytes: %v", n, err)
			}
			f.simulation.Close()
		})
	}
}

// A kubelet that is too old for a path may be hostile on another.
func TestRawSummary(t *testing.T) {
	f := newFaultFixture(t)
	f.setFaults(ResourceMetricsNotFound(), Raw("summary", RawResponse{Head: rawTextHead, Tail: "{}"}))
	if got := f.get(resourceMetricsPath).status; got != http.StatusNotFound {
		t.Errorf("status = %d", got)
	}
	if got := string(f.get(summaryQuery).body); got != "{}" {
		t.Errorf("summary = %q", got)
	}
}
