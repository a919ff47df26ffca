// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package exposition

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// Answers of real kubelets, with containers that burn CPU, hold memory, idle, crash and
// have ended, are in folders of testdata. To record those of a version anew, remove its
// folder and run, in the root of the repository:
//
//	make test-node KUBERNETES=v1.36 ARGS="-test.run=TestAnswers -record=../../pkg/exposition/testdata"
func TestRecordedAnswers(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join("testdata", "kubelet-v*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) < 4 {
		t.Fatalf("there are answers of %q only", folders)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			read := func(name string) []byte {
				body, err := os.ReadFile(filepath.Join(folder, name))
				if err != nil {
					t.Fatal(err)
				}
				return body
			}
			text, delimited, summary := read(textFixture), read(delimitedFixture), read(summaryFixture)
			checkWithOracle(t, Text, text, new(Decoder))
			checkWithOracle(t, Delimited, delimited, new(Decoder))
			checkSamples(t, decode(t, Summary, summary), summaryOracle(t, summary))
			checkAlike(t, decode(t, Text, text), decode(t, Delimited, delimited))
			checkAlike(t, decode(t, Text, text), decode(t, Summary, summary))
		})
	}
}

// summaryOracle builds what Decode must give of the kubelet's own types.
func summaryOracle(t *testing.T, body []byte) *Samples {
	t.Helper()
	var summary stats.Summary
	if err := json.Unmarshal(body, &summary); err != nil {
		t.Fatal(err)
	}
	n := summary.Node
	samples := &Samples{Node: summaryUsage(metav1.Time{}, n.CPU, n.Memory, n.Swap)}
	for _, p := range summary.Pods {
		for _, c := range p.Containers {
			u := summaryUsage(c.StartTime, c.CPU, c.Memory, c.Swap)
			samples.Containers = append(samples.Containers, container(p.PodRef.Namespace, p.PodRef.Name, c.Name, u))
		}
	}
	return samples
}

func summaryUsage(start metav1.Time, cpu *stats.CPUStats, memory *stats.MemoryStats, swap *stats.SwapStats) (u Usage) {
	if !start.IsZero() {
		u.Start, u.Has = start.UnixNano(), u.Has|HasStart
	}
	if swap != nil && swap.SwapUsageBytes != nil {
		u.Swap, u.Has = *swap.SwapUsageBytes, u.Has|HasSwap
	}
	if memory != nil && memory.WorkingSetBytes != nil {
		u.Memory, u.Time, u.Has = *memory.WorkingSetBytes, memory.Time.UnixNano(), u.Has|HasMemory
	}
	if cpu != nil && cpu.UsageCoreNanoSeconds != nil {
		u.CPU, u.Time, u.Has = *cpu.UsageCoreNanoSeconds, cpu.Time.UnixNano(), u.Has|HasCPU
	}
	return u
}

// checkAlike checks that two answers are of the same moment, as answers to requests in a
// row are.
func checkAlike(t *testing.T, a, b *Samples) {
	t.Helper()
	all := func(s *Samples) map[string]Usage {
		byName := map[string]Usage{"node": s.Node}
		for _, c := range s.Containers {
			byName[string(c.Namespace)+"/"+string(c.Pod)+"/"+string(c.Name)] = c.Usage
		}
		return byName
	}
	as, bs := all(a), all(b)
	if names := slices.Sorted(maps.Keys(as)); !slices.Equal(names, slices.Sorted(maps.Keys(bs))) {
		t.Errorf("got %q, and %q in another format", names, slices.Sorted(maps.Keys(bs)))
	}
	apart := func(a, b int64) time.Duration { return time.Duration(a - b).Abs() }
	for name, x := range as {
		y := bs[name]
		// A summary has whole seconds. A kubelet may look anew between two requests, and
		// a machine has many cores and much memory.
		cpu, memory := time.Second, int64(1<<20)
		if name == "node" {
			cpu, memory = time.Minute, 1<<30
		}
		if x.Has != y.Has || apart(x.Start, y.Start) >= time.Second || apart(x.Time, y.Time) >= 20*time.Second ||
			apart(int64(x.CPU), int64(y.CPU)) > cpu || int64(apart(int64(x.Memory), int64(y.Memory))) > memory {
			t.Errorf("%s: got %+v, and %+v in another format", name, x, y)
		}
	}
}
