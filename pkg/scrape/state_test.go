// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

// states are those of a pool by node.
func states(p *Pool) map[string]State {
	all := map[string]State{}
	for _, s := range p.States() {
		all[s.Node] = s
	}
	return all
}

func TestStates(t *testing.T) {
	run(t, 0, 3, func(t *testing.T, f *fixture) {
		began := time.Now()
		f.SetNode(kubelet.Node{Name: "lost", Port: -1})
		f.behave(nodeName(1), func(ctx context.Context) (string, error) {
			time.Sleep(200 * time.Millisecond)
			return fails(kubelet.ReasonForbidden)(ctx)
		})
		f.behave(nodeName(2), answers(strings.Replace(answer, "node_memory_working_set_bytes 1", "node_memory_working_set_bytes -1", 1)))
		// The first node is due at once, the last one when time passes.
		if s := states(f.Pool)[nodeName(2)]; !s.WarmingUp || !s.Succeeded.IsZero() || s.Err != nil {
			t.Errorf("before its first scrape: %+v", s)
		}
		time.Sleep(4 * resolution)
		now := time.Now()
		all := states(f.Pool)
		if len(all) != 4 {
			t.Fatalf("there are %d states", len(all))
		}
		if s := all[nodeName(0)]; s.WarmingUp || now.Sub(s.Succeeded) > resolution || s.Failures != 0 || s.Err != nil || s.Reason != "" || s.Refused != "" {
			t.Errorf("a sound node: %+v", s)
		}
		if s := all[nodeName(1)]; s.Failures < 3 || s.Err == nil || s.Reason != "forbidden" || !s.Succeeded.IsZero() ||
			s.FailingSince.Sub(began) > time.Second || s.Duration != 200*time.Millisecond {
			t.Errorf("a node that fails: %+v", s)
		}
		if s := all[nodeName(2)]; s.Refused != "value" || s.RefusedExample == "" || s.RefusingSince.Sub(began) > time.Second || s.Err != nil {
			t.Errorf("a node of which something is refused: %+v", s)
		}
		if s := all["lost"]; s.Reason != "no_address" || s.Address != "" || s.Failures == 0 {
			t.Errorf("a node without an address: %+v", s)
		}

		f.behave(nodeName(1), nil)
		f.behave(nodeName(2), nil)
		time.Sleep(2 * resolution)
		all = states(f.Pool)
		if s := all[nodeName(1)]; s.Failures != 0 || s.Err != nil || s.Reason != "" || s.Succeeded.IsZero() || !s.FailingSince.IsZero() {
			t.Errorf("a node that works again: %+v", s)
		}
		if s := all[nodeName(2)]; s.Refused != "" || !s.RefusingSince.IsZero() {
			t.Errorf("a node that is sound again: %+v", s)
		}
	})
}

// BenchmarkStates is for how long a look at the status holds up scraping, and more.
func BenchmarkStates(b *testing.B) {
	p := NewPool(Config{Resolution: resolution})
	for i := range 5000 {
		t := newTarget(b.Context(), nodeName(i), resolution)
		p.targets[t.name] = t
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := len(p.States()); n != 5000 {
			b.Fatalf("%d states", n)
		}
	}
}
