// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package follow tests that whoever follows metrics.k8s.io with an informer has
// at every moment what a list would give: through a real kube-aggregator, while
// pods and nodes come, go, are relabelled and fail, and connections break.
package follow

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	resolution = 10 * time.Second
	maxAge     = 2 * resolution // the least that the server takes
	nodeCount  = 10
	podCount   = 1000
	// patience is how long a test waits for what has to come. An informer that
	// has often met with errors waits for up to a minute before its next attempt.
	patience = 2 * time.Minute
	// checkPeriod is the time between two checks of one informer.
	checkPeriod = time.Second
)

var (
	duration = flag.Duration("for", 40*time.Second, "how long each test runs")
	seedFlag = flag.Uint64("seed", 0, "seed of what is random; 0 chooses one")

	local *localcluster.Local
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: nodeCount, Pods: podCount,
		ServerFlags: []string{
			"--metric-resolution=" + resolution.String(), "--metric-max-age=" + maxAge.String(),
			"--kubelet-request-timeout=4s", "--v=1",
		},
	}, func(l *localcluster.Local) int {
		local = l
		return m.Run()
	}))
}

// An informer's store is what a list shows, at every check.
func TestInformers(t *testing.T) {
	for _, f := range follow(t, seed(t), local.AdminConfig().Host) {
		if least := int(*duration/checkPeriod) / 4; f.checks < least {
			t.Errorf("%s: %d checks, want %d", f.name, f.checks, least)
		}
		// A watch that ends is begun again where it ended.
		if n := f.requests.relists(); n != 0 {
			t.Errorf("%s has listed %d times again", f.name, n)
		}
	}
}

// It is, too, when connections break all the time.
func TestInformersWhoseConnectionsBreak(t *testing.T) {
	seed := seed(t)
	p := newProxy(t, local.AdminConfig().Host, seed)
	watches, relists := 0, 0
	for _, f := range follow(t, seed, p.url()) {
		if f.checks < 3 {
			t.Errorf("%s: %d checks, want 3", f.name, f.checks)
		}
		watches += f.requests.count(watchRequest)
		relists += f.requests.relists()
	}
	t.Logf("%d connections were cut", p.cut.Load())
	if least := 10 * len(followers); watches < least || relists == 0 {
		t.Errorf("%d watches were begun, want %d, and %d times was listed again", watches, least, relists)
	}
}

func seed(t *testing.T) uint64 {
	s := *seedFlag
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	return s
}

// follow runs informers and checks them, while the cluster changes and until it
// has come to rest.
func follow(t *testing.T, seed uint64, host string) (all []*follower) {
	for _, newFollower := range followers {
		all = append(all, newFollower(t, host))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var informers, others sync.WaitGroup
	defer informers.Wait()
	defer cancel()
	defer others.Wait()
	for _, f := range all {
		informers.Go(func() { f.informer.RunWithContext(ctx) })
	}
	for _, f := range all {
		f.waitSynced(t)
	}
	churn := newChurn(t, seed)
	end := time.Now().Add(*duration)
	others.Go(func() { churn.run(end) })
	for _, f := range all {
		others.Go(func() {
			for next := time.Now(); next.Before(end) && !t.Failed(); next = next.Add(checkPeriod) {
				time.Sleep(time.Until(next))
				f.check(t)
			}
		})
	}
	begun := 0
	for ; time.Now().Before(end) && !t.Failed(); begun++ {
		begin(t, followers[begun%len(followers)](t, host))
	}
	others.Wait()
	if t.Failed() {
		t.FailNow()
	}
	churn.settle(t)
	for _, f := range all {
		f.check(t) // when all is quiet but for what is scraped
		f.report(t)
		f.requireEveryEvent(t)
	}
	t.Logf("%d informers have only begun; churn: %s", begun, churn)
	return all
}

// begin checks an informer that has just begun, and ends it: what changes while
// it is told what there is must not be lost.
func begin(t *testing.T, f *follower) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var informer sync.WaitGroup
	defer informer.Wait()
	defer cancel()
	informer.Go(func() { f.informer.RunWithContext(ctx) })
	f.waitSynced(t)
	f.check(t)
}
