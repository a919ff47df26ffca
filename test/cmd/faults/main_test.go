// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--server", "x", "extra"},
		{"--server", "x", "--outages", "1,x"},
		{"--unknown"},
	} {
		var out, log bytes.Buffer
		if err := run(t.Context(), args, &out, &log); !errors.Is(err, errUsage) || log.Len() == 0 {
			t.Errorf("%q: %v, %q", args, err, log.String())
		}
	}
	var out, log bytes.Buffer
	if err := run(t.Context(), []string{"--server", "absent"}, &out, &log); err == nil || errors.Is(err, errUsage) {
		t.Errorf("a binary that is absent: %v", err)
	}
}

func TestNumbers(t *testing.T) {
	if n, err := numbers("1, 3,10"); err != nil || !slices.Equal(n, []int{1, 3, 10}) {
		t.Errorf("%v %v", n, err)
	}
	if n, err := numbers(""); err != nil || n != nil {
		t.Errorf("%v %v", n, err)
	}
}
