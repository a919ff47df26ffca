// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
	"github.com/kubemeter/metrics-server/test/load"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--server", "x", "extra"},
		{"--plot"},
		{"--plot", "--server", "x", "file"},
		{"--nodes", "5,x", "--server", "x"},
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

func TestPlot(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i, nodes := range []int{20, 10} {
		file := filepath.Join(dir, string(rune('a'+i)))
		report := &load.Report{Runs: []*load.Run{{Nodes: nodes, Results: []*load.Result{{Name: "server", Ready: 1}}}}}
		if err := report.Write(file); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	var out, log bytes.Buffer
	drawn := filepath.Join(dir, "drawn")
	if err := run(t.Context(), append([]string{"--plot", "--out", drawn}, files...), &out, &log); err != nil {
		t.Fatal(err)
	}
	first, second := strings.Index(out.String(), "\n10 nodes"), strings.Index(out.String(), "\n20 nodes")
	if first < 0 || second < first {
		t.Errorf("the runs are not printed in order:\n%s", out.String())
	}
	for _, name := range []string{"load.svg", "load.png"} {
		if _, err := os.Stat(filepath.Join(drawn, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestNumbers(t *testing.T) {
	n := numbers{1}
	if err := n.Set("5, 10"); err != nil || !slices.Equal(n, numbers{5, 10}) || n.String() != "5,10" {
		t.Errorf("%v %v", n, err)
	}
}
