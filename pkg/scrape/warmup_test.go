// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

// offsets are how long after a moment something happened.
func offsets(times []time.Time, from time.Time) (all []time.Duration) {
	for _, t := range times {
		all = append(all, t.Sub(from))
	}
	return all
}

// need has nodes lack a second point until they have answered n times.
func (f *fixture) need(n int) {
	f.stored.mu.Lock()
	defer f.stored.mu.Unlock()
	f.stored.points = n
}

// A new node is scraped until it has two points everywhere, three times at most, and
// then once an interval in its phase, whatever the interval.
func TestWarmUp(t *testing.T) {
	const nodes = 50
	for _, resolution := range []time.Duration{10 * time.Second, 15 * time.Second, time.Minute} {
		for points, want := range map[int][]time.Duration{
			1: {0},
			2: {0, 6 * time.Second},
			3: {0, 6 * time.Second, 11 * time.Second},
			9: {0, 6 * time.Second, 11 * time.Second}, // its times do not move
		} {
			t.Run(fmt.Sprintf("%v, %d points", resolution, points), func(t *testing.T) {
				runAt(t, resolution, 0, 0, func(t *testing.T, f *fixture) {
					f.need(points)
					f.add(nodes)
					time.Sleep(5 * resolution)
					for i := range nodes {
						times := f.puts(nodeName(i))
						if got := offsets(times[:len(want)], times[0]); !slices.Equal(got, want) {
							t.Errorf("%s: the first scrapes are at %v, want %v", nodeName(i), got, want)
						}
						target := newTarget(t.Context(), nodeName(i), resolution)
						if wait := times[len(want)].Sub(times[len(want)-1]); wait > resolution {
							t.Errorf("%s: %v from the warm-up to the next scrape", nodeName(i), wait)
						}
						for j, at := range times[len(want):] {
							if phase := at.Sub(at.Truncate(resolution)); phase != target.phase {
								t.Errorf("%s: scraped %v into the interval, and its phase is %v", nodeName(i), phase, target.phase)
							}
							if d := at.Sub(times[len(want)+j-1]); j > 0 && d != resolution {
								t.Errorf("%s: %v between scrapes", nodeName(i), d)
							}
						}
					}
				})
			})
		}
	}
}

// The samples of an answer may be as new as its end, and points that are closer than
// 5 s make no window.
func TestWarmUpCountsFromTheEndOfTheFirstAnswer(t *testing.T) {
	run(t, 0, 0, func(t *testing.T, f *fixture) {
		f.behave("n", func(context.Context) (string, error) {
			time.Sleep(3 * time.Second)
			return answer, nil
		})
		f.SetNode(kubelet.Node{Name: "n"})
		time.Sleep(resolution)
		f.kubelets.mu.Lock()
		defer f.kubelets.mu.Unlock()
		if got := offsets(f.kubelets.fetched["n"], f.puts("n")[0]); len(got) < 2 || got[1] != 6*time.Second {
			t.Errorf("scrapes begin at %v from the end of the first", got)
		}
	})
}

// Many nodes at once are asked in a few seconds, but not in one burst, and never more
// at a time than there are places. So they are in the rest of their warm-up.
func TestFirstScrapesAreSpread(t *testing.T) {
	const nodes, workers = 1000, 10
	run(t, workers, 0, func(t *testing.T, f *fixture) {
		for i := range nodes {
			f.behave(nodeName(i), func(context.Context) (string, error) {
				time.Sleep(15 * time.Millisecond)
				return answer, nil
			})
		}
		f.need(3)
		began := time.Now()
		f.add(nodes)
		time.Sleep(resolution)
		perSecond := map[int]int{}
		for i := range nodes {
			times := f.puts(nodeName(i))
			if len(times) < 3 {
				t.Fatalf("%s was scraped %d times", nodeName(i), len(times))
			}
			for _, d := range offsets(times[:3], began) {
				perSecond[int(d/time.Second)]++
			}
			if d := times[0].Sub(began); d > nodes*time.Second/startsPerSecond+time.Second {
				t.Errorf("%s was first scraped after %v", nodeName(i), d)
			}
		}
		for s, n := range perSecond {
			if n > startsPerSecond+workers {
				t.Errorf("%d scrapes in second %d", n, s)
			}
		}
		f.kubelets.mu.Lock()
		defer f.kubelets.mu.Unlock()
		if f.kubelets.most > workers {
			t.Errorf("%d scrapes at the same time, want %d", f.kubelets.most, workers)
		}
	})
}

// What fails at first may have started a moment ago, as we have.
func TestNewNodeThatFailsIsTriedAgainSoon(t *testing.T) {
	runAt(t, time.Minute, 0, 0, func(t *testing.T, f *fixture) {
		f.behave("n", fails("connection"))
		f.SetNode(kubelet.Node{Name: "n"})
		began := time.Now()
		time.Sleep(time.Second)
		f.behave("n", nil)
		time.Sleep(15 * time.Second)
		if got, want := offsets(f.puts("n"), began), []time.Duration{6 * time.Second, 12 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("scraped at %v, want %v", got, want)
		}
	})
}

// A scrape of the warm-up that fails does not end it.
func TestWarmUpOutlivesAPassingFailure(t *testing.T) {
	runAt(t, time.Minute, 0, 0, func(t *testing.T, f *fixture) {
		f.SetNode(kubelet.Node{Name: "n"})
		began := time.Now()
		time.Sleep(5 * time.Second)
		f.behave("n", fails("connection"))
		time.Sleep(2 * time.Second)
		f.behave("n", nil)
		time.Sleep(5 * time.Second)
		if got, want := offsets(f.puts("n"), began), []time.Duration{0, 11 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("scraped at %v, want %v", got, want)
		}
	})
}

// A node that has failed for long may have lost its points: it warms up again.
func TestNodeWarmsUpAfterALastingFailure(t *testing.T) {
	const resolution = time.Minute
	for _, tt := range []struct {
		name   string
		failed time.Duration
		want   time.Duration // from the first answer after it to the second
	}{
		{"passing", resolution / 2, 0},
		{"lasting", 5 * resolution, 6 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runAt(t, resolution, 0, 1, func(t *testing.T, f *fixture) {
				time.Sleep(2 * resolution)
				target := newTarget(t.Context(), nodeName(0), resolution)
				time.Sleep(time.Until(target.nextPhase(time.Now())) - time.Second)
				f.need(1000) // there will be something new on it
				f.behave(nodeName(0), fails("connection"))
				time.Sleep(tt.failed)
				f.behave(nodeName(0), nil)
				ended := time.Now()
				time.Sleep(2 * resolution)
				times := since(f.puts(nodeName(0)), ended)
				got := times[1].Sub(times[0])
				if tt.want == 0 && times[1].Sub(times[1].Truncate(resolution)) != target.phase || tt.want != 0 && got != tt.want {
					t.Errorf("the second scrape is %v after the first", got)
				}
			})
		})
	}
}

func TestStarts(t *testing.T) {
	var s starts
	now := time.Unix(1e9, 0)
	const gap = time.Second / startsPerSecond
	for i := range 3 {
		if got, want := s.take(now), now.Add(time.Duration(i)*gap); got != want {
			t.Errorf("start %d is at %v, want %v", i, got, want)
		}
	}
	later := now.Add(time.Second)
	if got := s.take(later); got != later {
		t.Errorf("after a pause it is at %v, want %v", got, later)
	}
}

// wantWarm checks Warm; want is a part of its error, empty if there is none.
func (f *fixture) wantWarm(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	if err := f.Warm(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("warm: %v, want %q", err, want)
	}
}

func TestWarm(t *testing.T) {
	const nodes, minute = 40, time.Minute
	// behave has the first n nodes behave so.
	behave := func(f *fixture, n int, b func(context.Context) (string, error)) {
		for i := range n {
			f.behave(nodeName(i), b)
		}
	}
	t.Run("when all are served, and not again", func(t *testing.T) {
		runAt(t, minute, 0, nodes, func(t *testing.T, f *fixture) {
			f.wantWarm(t, "of 40 nodes, 0 have been scraped as often as it takes to serve them and 0 fail")
			time.Sleep(6*time.Second - time.Millisecond)
			f.wantWarm(t, "of 40 nodes, 0 have")
			time.Sleep(time.Second)
			f.wantWarm(t, "")
			behave(f, nodes, fails("connection"))
			for i := range nodes {
				f.SetNode(kubelet.Node{Name: fmt.Sprint("new-", i)})
			}
			f.wantWarm(t, "")
			time.Sleep(minute + time.Second)
			f.wantWarm(t, "")
		})
	})
	t.Run("without those that always fail", func(t *testing.T) {
		runAt(t, minute, 0, 0, func(t *testing.T, f *fixture) {
			behave(f, nodes/2, fails("connection"))
			f.add(nodes)
			time.Sleep(6*time.Second - time.Millisecond)
			f.wantWarm(t, "0 fail")
			time.Sleep(time.Second)
			f.wantWarm(t, "")
		})
	})
	t.Run("without those that hang", func(t *testing.T) {
		runAt(t, minute, nodes, 0, func(t *testing.T, f *fixture) {
			behave(f, nodes/2, hangs)
			f.add(nodes)
			time.Sleep(26*time.Second - time.Millisecond) // two requests of 10 s, with 6 s between them
			f.wantWarm(t, "20 have been scraped as often as it takes to serve them and 0 fail")
			time.Sleep(time.Second)
			f.wantWarm(t, "")
		})
	})
	t.Run("with those that fail once", func(t *testing.T) {
		runAt(t, minute, 0, 0, func(t *testing.T, f *fixture) {
			behave(f, nodes/2, fails("connection"))
			f.add(nodes)
			time.Sleep(time.Second)
			behave(f, nodes/2, nil)
			time.Sleep(10 * time.Second)
			f.wantWarm(t, "of 40 nodes, 20 have")
			time.Sleep(2 * time.Second)
			f.wantWarm(t, "")
		})
	})
	t.Run("while most fail, for two intervals", func(t *testing.T) {
		runAt(t, minute, 0, 0, func(t *testing.T, f *fixture) {
			behave(f, nodes/2+1, fails("connection"))
			f.add(nodes)
			time.Sleep(2*minute - time.Millisecond)
			f.wantWarm(t, "19 have been scraped as often as it takes to serve them and 21 fail")
			time.Sleep(time.Second)
			f.wantWarm(t, "")
		})
	})
	t.Run("when a network that was down at first has come up", func(t *testing.T) {
		runAt(t, minute, 0, 0, func(t *testing.T, f *fixture) {
			behave(f, nodes, fails("connection"))
			f.add(nodes)
			time.Sleep(20 * time.Second)
			behave(f, nodes, nil)
			deadline := time.Now().Add(2 * minute)
			for f.Warm() != nil && time.Now().Before(deadline) {
				time.Sleep(time.Second)
			}
			f.wantWarm(t, "")
			for i := range nodes {
				if len(f.puts(nodeName(i))) == 0 {
					t.Errorf("%s has not answered yet", nodeName(i))
				}
			}
		})
	})
	t.Run("when nodes are known", func(t *testing.T) {
		runAt(t, minute, 0, 0, func(t *testing.T, f *fixture) {
			f.wantWarm(t, "")
			f.SetNode(kubelet.Node{Name: "n"})
			f.wantWarm(t, "of 1 nodes, 0 have")
		})
	})
}
