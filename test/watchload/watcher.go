// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubemeter/metrics-server/test/rawclient"
)

// counts is what watches have told.
type counts struct {
	added, modified, deleted, other atomic.Int64
	bytes                           atomic.Int64
}

// watchers are open watches whose events are read and counted.
type watchers struct {
	client   *http.Client
	base     string
	protobuf bool

	byKind  map[Kind]*counts
	ended   atomic.Int64
	stop    context.CancelFunc
	reading sync.WaitGroup
	started int

	mu  sync.Mutex
	why error // of the first watch that ended before it was stopped
}

// openWatchers opens one watch after the other, so that as many as the server
// allows share a connection, as they do behind the aggregation layer.
func openWatchers(ctx context.Context, client *http.Client, base string, protobuf bool, selectors []Selector) (*watchers, error) {
	ctx, stop := context.WithCancel(ctx)
	w := &watchers{client: client, base: base, protobuf: protobuf, byKind: map[Kind]*counts{}, stop: stop}
	for _, s := range selectors {
		if w.byKind[s.Kind] == nil {
			w.byKind[s.Kind] = &counts{}
		}
	}
	for _, s := range selectors {
		if err := w.open(ctx, s); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

func (w *watchers) open(ctx context.Context, s Selector) error {
	next, accept := nextJSON, "application/json"
	if w.protobuf {
		next, accept = nextProtobuf, "application/vnd.kubernetes.protobuf"
	}
	resp, err := rawclient.Open(ctx, w.client, w.base+s.path(true), http.Header{"Accept": {accept}})
	if err != nil {
		return err
	}
	w.started++
	w.reading.Go(func() {
		defer resp.Body.Close()
		err := w.byKind[s.Kind].read(bufio.NewReaderSize(resp.Body, 8<<10), next)
		if ctx.Err() != nil {
			return
		}
		w.ended.Add(1)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.why == nil {
			w.why = fmt.Errorf("watch %s ended: %w", s.path(true), err)
		}
	})
	return nil
}

func (w *watchers) close() {
	w.stop()
	w.reading.Wait()
}

// firstEnd says why a watch has ended that was not stopped, nil if none has.
func (w *watchers) firstEnd() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// alive is how many are still told of events.
func (w *watchers) alive() int { return w.started - int(w.ended.Load()) }

// events of all kinds of changes.
func (w *watchers) events() (n int64) {
	for _, c := range w.byKind {
		n += c.added.Load() + c.modified.Load() + c.deleted.Load()
	}
	return n
}

func (w *watchers) bytes() (n int64) {
	for _, c := range w.byKind {
		n += c.bytes.Load()
	}
	return n
}

var (
	// errStream is of a watch that does not speak its protocol.
	errStream = errors.New("this is no event of a watch")
	errTold   = errors.New("the server has told an error")
)

// read counts events until there are no more.
func (c *counts) read(r *bufio.Reader, next func(*bufio.Reader) (string, int, error)) error {
	for {
		event, size, err := next(r)
		if err != nil {
			return err
		}
		c.bytes.Add(int64(size))
		switch event {
		case "ADDED":
			c.added.Add(1)
		case "MODIFIED":
			c.modified.Add(1)
		case "DELETED":
			c.deleted.Add(1)
		case "BOOKMARK":
			c.other.Add(1)
		case "ERROR":
			return errTold
		default:
			return fmt.Errorf("%w: its type is %q", errStream, event)
		}
	}
}

// nextJSON returns the type of the next event, which is a line, and its size. It
// looks at the beginning only, so that reading costs little beside what is
// measured.
func nextJSON(r *bufio.Reader) (event string, size int, err error) {
	const before = `{"type":"`
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", 0, err
		}
		if first {
			rest, ok := bytes.CutPrefix(line, []byte(before))
			name, _, found := bytes.Cut(rest, []byte(`"`))
			if !ok || !found {
				return "", 0, fmt.Errorf("%w: %.60q", errStream, line)
			}
			event = string(name)
		}
		if size += len(line); err == nil {
			return event, size, nil
		}
	}
}

// nextProtobuf is nextJSON for events that follow their length, in four bytes. The
// type is their first field.
func nextProtobuf(r *bufio.Reader) (event string, size int, err error) {
	const typeField = 1<<3 | 2 // field 1, a string
	var head [6]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", 0, err
	}
	size = int(binary.BigEndian.Uint32(head[:]))
	name := make([]byte, head[5])
	if head[4] != typeField || len(name)+2 > size {
		return "", 0, fmt.Errorf("%w: %q", errStream, head)
	}
	if _, err := io.ReadFull(r, name); err != nil {
		return "", 0, err
	}
	_, err = r.Discard(size - 2 - len(name))
	return string(name), 4 + size, err
}

// probe lists one pod again and again, at least once, and notes how long that
// takes.
type probe struct {
	stop  chan struct{}
	ended sync.WaitGroup
	took  []time.Duration
	err   error // of the last that failed
	fails int
}

// probePeriod is between two lists.
const probePeriod = 200 * time.Millisecond

func startProbe(ctx context.Context, client *http.Client, url string) *probe {
	p := &probe{stop: make(chan struct{})}
	p.ended.Go(func() {
		again := time.NewTicker(probePeriod)
		defer again.Stop()
		for {
			began := time.Now()
			if err := get(ctx, client, url, io.Discard); err != nil {
				p.err, p.fails = err, p.fails+1
			} else {
				p.took = append(p.took, time.Since(began))
			}
			select {
			case <-p.stop:
				return
			case <-again.C:
			}
		}
	})
	return p
}

// finish ends the probing: only then may the results be read.
func (p *probe) finish() {
	close(p.stop)
	p.ended.Wait()
}

// get copies what a server answers.
func get(ctx context.Context, client *http.Client, url string, to io.Writer) error {
	resp, err := rawclient.Open(ctx, client, url, http.Header{"Accept": {"*/*"}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(to, resp.Body)
	return err
}
