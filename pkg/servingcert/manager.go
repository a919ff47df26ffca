// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/component-base/metrics"
	"k8s.io/utils/clock"
)

const (
	// MinValidity and MaxValidity bound Config.Validity. With less than the minimum,
	// the API server being away for some seconds would matter.
	MinValidity = 2 * time.Minute
	MaxValidity = 10 * 365 * 24 * time.Hour

	// maxPeriod is the time between two steps for which nothing has given cause.
	maxPeriod = 5 * time.Minute
	// firstRetry is the pause after a failure. It is doubled up to a minute.
	firstRetry, maxRetry = time.Second, time.Minute
	// stepRate and stepBurst limit the steps that events give cause for: whoever
	// undoes each write must not keep the API server busy.
	stepRate, stepBurst = 1, 10
)

// Config says what a Manager keeps where.
type Config struct {
	// Secret is where the certificates are kept. It is created if it does not exist.
	Secret types.NamespacedName
	// Validity is how long serving certificates are valid, from MinValidity to
	// MaxValidity.
	Validity time.Duration
}

// Manager keeps the serving certificate, and implements
// dynamiccertificates.CertKeyContentProvider. Before the first step it serves one that
// no bundle covers.
type Manager struct {
	provider
	config   Config
	cluster  cluster
	watch    func(ctx context.Context, w waker)
	clock    clock.WithTicker
	failures *metrics.Counter

	stepped   chan struct{} // closed after the first step
	readiness readiness
	published atomic.Pointer[[]byte] // the bundle of the Secret

	// What follows is for one step at a time.

	memory       content
	synced       bool // memory was in the Secret
	publications publications
	lastError    string
}

// New returns a manager that has asked the API server nothing yet.
func New(config Config, client kubernetes.Interface, dynamicClient dynamic.Interface, clk clock.WithTicker) (*Manager, error) {
	server := newAPIServer(client, dynamicClient, config.Secret)
	m, err := newManager(config, server, clk)
	if err != nil {
		return nil, err
	}
	m.watch = server.watch
	return m, nil
}

func newManager(config Config, c cluster, clk clock.WithTicker) (*Manager, error) {
	m := &Manager{
		config: config, cluster: c, clock: clk, stepped: make(chan struct{}),
		failures: metrics.NewCounter(&metrics.CounterOpts{
			Name: "metrics_server_serving_certificate_sync_errors_total",
			Help: "Number of failures to bring the Secret of the serving certificate and the CA bundles of the APIServices up to date",
		}),
	}
	a, err := newAuthority(clk.Now(), config.Validity)
	if err != nil {
		return nil, err
	}
	served, err := a.issue(clk.Now(), config.Validity, []string{m.defaultName()})
	if err != nil {
		return nil, err
	}
	m.memory = content{authorities: []authority{a}, serving: served}
	m.setCurrent(served)
	return m, nil
}

// Register registers the manager's own metric.
func (m *Manager) Register(register func(metrics.Registerable) error) error {
	return register(m.failures)
}

// Ready returns an error until the serving certificate was in the Secret, and its
// authority in the APIServices, for some seconds. From then on it returns nil.
func (m *Manager) Ready() error { return m.readiness.check(m.clock.Now()) }

// WaitStep waits until the Secret has been read for the first time, or that has
// failed, or ctx ends.
func (m *Manager) WaitStep(ctx context.Context) {
	select {
	case <-m.stepped:
	case <-ctx.Done():
	}
}

// Run keeps the certificate until ctx is cancelled.
func (m *Manager) Run(ctx context.Context) {
	w := make(waker, 1)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { m.watch(ctx, w) })

	limiter := flowcontrol.NewTokenBucketRateLimiter(stepRate, stepBurst)
	retry := m.newRetry()
	for limiter.Wait(ctx) == nil {
		err := m.sync(ctx)
		m.report(ctx, err)
		pause := wait.Jitter(min(m.settleTime()/2, maxPeriod), 0.2)
		if err != nil {
			pause = retry.Step()
		} else {
			retry = m.newRetry()
		}
		select {
		case <-m.stepped:
		default:
			close(m.stepped)
		}
		m.sleep(ctx, w, pause)
	}
}

func (m *Manager) newRetry() wait.Backoff {
	return wait.Backoff{Duration: firstRetry, Factor: 2, Jitter: 0.2, Steps: math.MaxInt32, Cap: min(m.settleTime()/2, maxRetry)}
}

// sleep ends at an event, too.
func (m *Manager) sleep(ctx context.Context, w waker, pause time.Duration) {
	timer := m.clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w:
	case <-timer.C():
	}
}

// settleTime is that of what is served now.
func (m *Manager) settleTime() time.Duration { return settleTime(m.current().cert) }
