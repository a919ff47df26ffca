// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

// logOf returns the lines that a pool of nodes logs during a test.
func logOf(t *testing.T, nodes int, test func(*testing.T, *fixture)) (lines []string) {
	t.Helper()
	var log bytes.Buffer
	klog.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log))))
	defer klog.ClearLogger()
	run(t, 0, nodes, test)
	for line := range strings.Lines(log.String()) {
		lines = append(lines, line)
	}
	return lines
}

// wantLines checks that each line has its parts, and that there are no others.
func wantLines(t *testing.T, lines []string, want ...[]string) {
	t.Helper()
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), strings.Join(lines, ""))
	}
	for i := range want {
		for _, part := range want[i] {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d lacks %s: %s", i, part, lines[i])
			}
		}
	}
}

// taking returns a behaviour that is each of some in turn.
func taking(turns ...func(context.Context) (string, error)) func(context.Context) (string, error) {
	next := 0
	return func(ctx context.Context) (string, error) {
		next++
		return turns[(next-1)%len(turns)](ctx)
	}
}

func answers(body string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return body, nil }
}

func TestFailureIsLoggedWhenItBeginsChangesAndEnds(t *testing.T) {
	lines := logOf(t, 1, func(_ *testing.T, f *fixture) {
		f.behave(nodeName(0), fails("timeout"))
		time.Sleep(2 * quiet)
		f.behave(nodeName(0), fails("forbidden"))
		time.Sleep(2 * quiet)
		f.behave(nodeName(0), answers("<html>"))
		time.Sleep(2 * quiet)
		f.behave(nodeName(0), nil)
		time.Sleep(2 * quiet)
	})
	node := `node="` + nodeName(0) + `"`
	wantLines(t, lines,
		[]string{"Scraping a node fails", node, `reason="timeout"`, "failures=2"},
		[]string{"Scraping a node fails", node, `reason="forbidden"`, `failingFor="10m`},
		[]string{"Scraping a node fails", node, `reason="decode_syntax"`, `failingFor="20m`},
		[]string{"works again", node, "failures=1", `failedFor="30m`})
}

func TestPassingFailureIsNotLogged(t *testing.T) {
	lines := logOf(t, 1, func(_ *testing.T, f *fixture) {
		f.behave(nodeName(0), taking(answers(answer), fails("timeout")))
		time.Sleep(time.Hour)
	})
	wantLines(t, lines)
}

func TestNodeThatChangesAllTheTimeHasFewLines(t *testing.T) {
	const hour = int(time.Hour / quiet)
	for _, tt := range []struct {
		name   string
		turns  []func(context.Context) (string, error)
		begins int // in an hour, at most
	}{
		{"reasons", []func(context.Context) (string, error){fails("timeout"), fails("forbidden"), fails("body")}, hour},
		{"flapping", []func(context.Context) (string, error){fails("timeout"), fails("timeout"), answers(answer)}, hour},
		{"refused", []func(context.Context) (string, error){answers(answer + "node_swap_usage_bytes NaN\n"), answers(answer + "node_swap_usage_bytes NaN\n"), answers(answer)}, hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begins, ends := 0, 0
			lines := logOf(t, 1, func(_ *testing.T, f *fixture) {
				f.behave(nodeName(0), taking(tt.turns...))
				time.Sleep(time.Hour)
			})
			for _, line := range lines {
				if strings.Contains(line, "again") {
					ends++
				} else {
					begins++
				}
			}
			if begins < 2 || begins > tt.begins || ends > begins {
				t.Errorf("%d lines begin a trouble, %d end one:\n%s", begins, ends, strings.Join(lines, ""))
			}
		})
	}
}

func TestRefusedSamplesAreLoggedWhenTheyBeginAndEnd(t *testing.T) {
	lines := logOf(t, 1, func(_ *testing.T, f *fixture) {
		time.Sleep(resolution)
		f.behave(nodeName(0), answers(answer+`container_cpu_usage_seconds_total{namespace="a",pod="p",container="c"} -1`+"\n"))
		time.Sleep(2 * quiet)
		f.behave(nodeName(0), nil)
		time.Sleep(2 * quiet)
	})
	node := `node="` + nodeName(0) + `"`
	wantLines(t, lines,
		[]string{"left out: look at its kubelet", node, `reason="value"`, `example="CPU of container a/p/c: -1"`},
		[]string{"sound again", node, "answers=40", `refusedFor="10m0s"`})
}

func TestOutageHasFewLines(t *testing.T) {
	const nodes = 500
	lines := logOf(t, nodes, func(_ *testing.T, f *fixture) {
		time.Sleep(10 * resolution)
		for i := range nodes {
			f.behave(nodeName(i), fails(kubelet.Reason([]string{"timeout", "unreachable"}[i%2])))
		}
		time.Sleep(time.Hour)
		for i := range nodes {
			f.behave(nodeName(i), nil)
		}
		time.Sleep(time.Hour)
	})
	want := [][]string{}
	for range maxLines {
		want = append(want, []string{"Scraping a node fails"})
	}
	want = append(want, []string{"leftOut=480 nodes=500 failing=500 answersNotSound=0", `reasons="timeout=250 unreachable=250"`})
	for range maxLines {
		want = append(want, []string{"works again"})
	}
	want = append(want, []string{"leftOut=480 nodes=500 failing=0", `reasons=""`})
	wantLines(t, lines, want...)
}

// Those that begin to fail little by little may all recover at once.
func TestRecoveryHasFewLines(t *testing.T) {
	const perMinute, minutes = maxLines - 5, 4
	lines := logOf(t, perMinute*minutes, func(_ *testing.T, f *fixture) {
		time.Sleep(10 * resolution)
		for i := range perMinute * minutes {
			f.behave(nodeName(i), fails("timeout"))
			if (i+1)%perMinute == 0 {
				time.Sleep(2 * time.Minute)
			}
		}
		for i := range perMinute * minutes {
			f.behave(nodeName(i), nil)
		}
		time.Sleep(time.Hour)
	})
	var want [][]string
	for range perMinute * minutes {
		want = append(want, []string{"Scraping a node fails"})
	}
	for range maxLines {
		want = append(want, []string{"works again"})
	}
	want = append(want, []string{fmt.Sprintf("leftOut=%d", perMinute*minutes-maxLines)})
	wantLines(t, lines, want...)
}

// What has just come may not be ready, and what is about to go may be down already.
func TestNodesThatComeAndGoAreNotLogged(t *testing.T) {
	lines := logOf(t, 5, func(t *testing.T, f *fixture) {
		time.Sleep(2 * resolution)
		f.wantWarm(t, "")
		for i := range 50 {
			name := fmt.Sprint("new-", i)
			f.behave(name, fails("connection_refused"))
			f.SetNode(kubelet.Node{Name: name})
			time.Sleep(newNode - time.Second)
			if i%2 == 0 {
				f.behave(name, nil)
				time.Sleep(2 * resolution)
				f.behave(name, fails("unreachable"))
				for before := f.fetches(name); f.fetches(name) == before; {
					time.Sleep(time.Second)
				}
			}
			f.RemoveNode(name)
		}
	})
	wantLines(t, lines)
}

func TestNewNodeThatKeepsFailingIsLogged(t *testing.T) {
	lines := logOf(t, 5, func(t *testing.T, f *fixture) {
		time.Sleep(2 * resolution) // nobody asks whether the pool is warm
		f.behave("new", fails("connection_refused"))
		f.SetNode(kubelet.Node{Name: "new"})
		time.Sleep(newNode + resolution)
	})
	wantLines(t, lines, []string{"Scraping a node fails", `node="new"`, `failingFor="2m`})
}

// Before, all nodes are new to us, and the first that an operator wants to know.
func TestFailuresAtTheStartAreLoggedAtOnce(t *testing.T) {
	lines := logOf(t, 0, func(_ *testing.T, f *fixture) {
		for i := range 3 {
			f.behave(nodeName(i), fails("tls_unknown_authority"))
		}
		f.add(3)
		time.Sleep(warmUpScrapes[0] + time.Second)
	})
	want := []string{"Scraping a node fails", `reason="tls_unknown_authority"`, fmt.Sprintf("failingFor=%q", warmUpScrapes[0])}
	wantLines(t, lines, want, want, want)
}
