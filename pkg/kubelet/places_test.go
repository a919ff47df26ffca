// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// large is a body that takes a place.
var large = strings.Repeat("x", maxOrdinaryBody+1)

// slowKubelet sends a large body without its end when asked by the node slow, and
// whole bodies to others. It says when the slow one has a place.
type slowKubelet struct {
	*fetcher
	slow *Endpoint
}

// newSlowKubelet has one place, for a turn. proxy has net/http used.
func newSlowKubelet(t *testing.T, turn time.Duration, change func(*Config)) *slowKubelet {
	t.Helper()
	c := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textType)
		io.WriteString(w, large)
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			hang(r)
		}
	}, nil).config(t)
	change(&c)
	k := &slowKubelet{fetcher: newFetcher(t, c)}
	k.dialer.steady, k.dialer.failing = newPlaces(1, turn), newPlaces(1, turn)
	slow, err := k.Endpoint(Node{Name: "n1", Addresses: addresses("InternalIP", "127.0.0.1"), MetricsPath: "/slow"})
	if err != nil {
		t.Fatal(err)
	}
	k.slow = slow
	return k
}

// fetchSlow fetches from the slow one, and returns when it has the place.
func (k *slowKubelet) fetchSlow(t *testing.T, ctx context.Context) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := k.Fetch(ctx, k.slow)
		ended <- err
	}()
	eventually(t, "the slow one has the place", func() bool {
		if k.dialer.steady.TryAcquire(1) {
			k.dialer.steady.Release(1)
			return false
		}
		return true
	})
	return ended
}

var bothWays = map[string]func(*Config){
	"direct":   func(*Config) {},
	"net-http": func(c *Config) { c.Client.Proxy = noProxy },
}

func TestSlowLargeBodyGivesWay(t *testing.T) {
	for name, change := range bothWays {
		t.Run(name, func(t *testing.T) {
			k := newSlowKubelet(t, 10*time.Millisecond, change)
			ended := k.fetchSlow(t, context.Background())
			if got := k.succeeds(t); string(got.Body) != large {
				t.Errorf("got %d bytes", len(got.Body))
			}
			expectError(t, <-ended, ReasonTimeout, "the body came too slowly for its size, and others as large waited", "1048577 bytes in 10ms")
		})
	}
}

func TestNoPlaceForALargeBody(t *testing.T) {
	for name, change := range bothWays {
		t.Run(name, func(t *testing.T) {
			k := newSlowKubelet(t, time.Hour, func(c *Config) {
				change(c)
				c.Timeout = 2 * time.Second
			})
			held, err := k.dialer.steady.take(context.Background(), time.Now().Add(time.Hour), canceller(func() {}))
			if err != nil {
				t.Fatal(err)
			}
			k.fails(t, ReasonTimeout, "a body of more than 1048576 bytes found no memory")
			// The failed have places of their own, and do not wait for those of the steady.
			if got := k.succeeds(t); string(got.Body) != large {
				t.Errorf("got %d bytes", len(got.Body))
			} else {
				got.Release()
			}
			held.leave()
			k.succeeds(t)
			// What has not been released has its place still.
			k.fails(t, ReasonTimeout, "found no memory")
		})
	}
}

// Nobody waits: a body may take as long as its request.
func TestTurnEndsOnlyWhenOthersWait(t *testing.T) {
	p := newPlaces(1, time.Hour)
	interrupted := 0
	l, err := p.take(context.Background(), time.Now().Add(time.Hour), canceller(func() { interrupted++ }))
	if err != nil {
		t.Fatal(err)
	}
	l.look()
	if interrupted != 0 {
		t.Error("it was interrupted, though nobody waits")
	}
	p.waiting.Add(1)
	l.look()
	l.look()
	if interrupted != 1 {
		t.Errorf("it was interrupted %d times, want once", interrupted)
	}
	if !l.settle() {
		t.Error("it does not say so")
	}
	l.leave()
	if !p.TryAcquire(1) {
		t.Error("the place was not given back")
	}
}

// A body that has been read may wait for its turn in the decoder for long.
func TestSettledPlaceIsNotInterrupted(t *testing.T) {
	p := newPlaces(1, time.Hour)
	l, err := p.take(context.Background(), time.Now().Add(time.Hour), canceller(func() { t.Error("it was interrupted") }))
	if err != nil {
		t.Fatal(err)
	}
	p.waiting.Add(1)
	if l.settle() {
		t.Error("it says that it was interrupted")
	}
	l.look()
}

// Buffers for large bodies are not given to small ones, which are many.
func TestLargeBuffersAreKeptApart(t *testing.T) {
	sizes := []int{1, maxOrdinaryBody - 1, maxOrdinaryBody, maxOrdinaryBody + 1, 3 * maxOrdinaryBody, 1}
	for _, size := range sizes {
		want := bytes.Repeat([]byte{byte(size)}, size)
		b := bodyReader{context.Background(), time.Now().Add(time.Hour), newPlaces(1, time.Hour), canceller(func() {})}
		a, reason, err := b.read(bytes.NewReader(want))
		if err != nil {
			t.Fatal(reason, err)
		}
		if !bytes.Equal(a.Body, want) {
			t.Errorf("a body of %d bytes is not as it was sent", size)
		}
		if isLarge := size >= maxOrdinaryBody; isLarge != (a.place != nil) || !isLarge && cap(*a.buf) > maxOrdinaryBody {
			t.Errorf("a body of %d bytes is in a buffer of %d, with place %v", size, cap(*a.buf), a.place)
		}
		a.Release()
		if !b.places.TryAcquire(1) {
			t.Errorf("a body of %d bytes keeps its place", size)
		}
	}
}
