// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--server", "x", "extra"},
		{"--server", "x", "--for", "1"},
		{"--unknown"},
	} {
		var out, log bytes.Buffer
		if err := run(t.Context(), args, &out, &log); !errors.Is(err, errUsage) || log.Len() == 0 {
			t.Errorf("%q: %v, %q", args, err, log.String())
		}
	}
	var out, log bytes.Buffer
	if err := run(t.Context(), []string{"--server", "absent", "--nodes", "0"}, &out, &log); err == nil || errors.Is(err, errUsage) {
		t.Errorf("no nodes: %v", err)
	}
}
