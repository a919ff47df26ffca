// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chaos breaks everything around a metrics server, and the server itself, at
// random, while readers list, get and watch through the aggregation layer. A model
// knows at every moment what may be answered and what must be:
//
//	go test -v ./chaos -args -for=30m -nodes=20 -seed=1
package chaos

import (
	"flag"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/ledger"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	resolution  = 10 * time.Second
	maxAge      = 4 * resolution // the default
	podsPerNode = 5
	// patience is how long a test waits for what takes some intervals at most.
	patience = 2 * time.Minute
)

var (
	duration  = flag.Duration("for", 90*time.Second, "how long there is chaos")
	nodeCount = flag.Int("nodes", 8, "number of nodes at the beginning")
	seedFlag  = flag.Uint64("seed", 0, "seed of what is random; 0 chooses one")

	local  *localcluster.Local
	record = ledger.New(5 * time.Minute)
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: *nodeCount, Pods: *nodeCount * podsPerNode, Describe: describe,
		Record:      func(n *kubeletsim.Node, a *kubeletsim.Answer) { record.Record(n, a) },
		ServerFlags: []string{"--metric-resolution=" + resolution.String(), "--kubelet-request-timeout=4s", "--v=1"},
	}, func(l *localcluster.Local) int {
		local = l
		return m.Run()
	}))
}

// TestChaos fails where anything is answered that the model does not allow, or not
// answered that it demands.
func TestChaos(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d", seed)
	m := newModel(t)
	c := newChaos(t, m, seed)
	r := newReader(t, m)

	stop := make(chan struct{})
	var readers sync.WaitGroup
	for i, read := range []func(*rand.Rand){r.listPods, r.listNodes, r.selectPods, r.getOne, r.listDirectly, r.watchPods, r.watchNodes} {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(2+i)))
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(random.Int64N(int64(readEvery)))):
					read(random)
				}
			}
		})
	}
	c.run()
	c.calm()
	m.waitWhole(t, r)
	close(stop)
	readers.Wait()
	t.Logf("chaos: %s", c)
	t.Logf("read: %s", m)
	m.requireAll(t)
}
