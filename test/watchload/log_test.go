// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import "testing"

func TestLog(t *testing.T) {
	l := &Log{}
	const ended = `I1123 api.go:105] "Ended a watch that did not keep up" resource="pods"`
	for _, part := range []string{"I1123 other\n" + ended[:20], ended[20:], "\nI1123 ", "other\n" + ended + "\n"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%d of %d bytes are written: %v", n, len(part), err)
		}
	}
	if got := l.lines(); len(got) != 2 || got[0] != ended || got[1] != ended {
		t.Errorf("%q", got)
	}
}
