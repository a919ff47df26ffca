// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
)

// bulkWorkers is how many objects are created at a time: enough to keep a few
// cores busy, and less than a connection carries at once.
const bulkWorkers = 32

// forEach calls create for every object from a bounded number of goroutines and
// returns the first error, which ends the others' work.
func forEach[T any](ctx context.Context, log *progress, noun string, objects iter.Seq[T], create func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done atomic.Int64
	defer log.heartbeat(func() string { return fmt.Sprintf("%d %s created", done.Load(), noun) })()

	work := make(chan T)
	var workers sync.WaitGroup
	for range bulkWorkers {
		workers.Go(func() {
			for object := range work {
				if err := create(ctx, object); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	for object := range objects {
		select {
		case work <- object:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}
