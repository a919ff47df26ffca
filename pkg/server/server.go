// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/metrics"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/api"
	"github.com/kubemeter/metrics-server/pkg/inventory"
	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/nodeevent"
	"github.com/kubemeter/metrics-server/pkg/scrape"
	"github.com/kubemeter/metrics-server/pkg/servingcert"
	"github.com/kubemeter/metrics-server/pkg/status"
	"github.com/kubemeter/metrics-server/pkg/store"
	"github.com/kubemeter/metrics-server/pkg/tokenrequest"
)

// connectionsEndWithin is how long the end waits for connections without requests.
const connectionsEndWithin = 10 * time.Second

// tokenWait is how long the first scrapes wait for a token for kubelets.
const tokenWait = 5 * time.Second

// expirePeriod is how late watchers are told that something has become too old.
const expirePeriod = time.Second

// server is the parts, put together.
type server struct {
	kubelets *kubelet.Client
	// tokens is nil without a ServiceAccount for kubelets.
	tokens    *tokenrequest.Source
	store     *store.Store
	pool      *scrape.Pool
	events    *nodeevent.Recorder
	inventory *inventory.Inventory
	api       *genericapiserver.GenericAPIServer
	// certificate is nil unless the server keeps its certificate itself.
	certificate *servingcert.Manager
	// publisher is nil unless the server publishes the CA of its certificate.
	publisher *servingcert.Publisher
	flags     *cliflag.NamedFlagSets
	metrics   metrics.KubeRegistry // our own
}

// Run serves until ctx is cancelled, and until the requests under way then are
// answered.
func (c Config) Run(ctx context.Context) error {
	s, err := c.newServer()
	if err != nil {
		return err
	}
	return s.run(ctx)
}

func (c Config) newServer() (*server, error) {
	client, err := kubernetes.NewForConfig(c.Client)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	clk := clock.RealClock{}
	var tokens *tokenrequest.Source
	if c.KubeletServiceAccount.Name != "" {
		tokens = tokenrequest.New(client, c.KubeletServiceAccount, clk)
		c.Kubelet.Tokens = tokens
	}
	kubelets, err := kubelet.NewClient(c.Kubelet)
	if err != nil {
		return nil, fmt.Errorf("kubelet client: %w", err)
	}
	dynamicClient, err := dynamic.NewForConfig(c.Client)
	if err != nil {
		return nil, fmt.Errorf("client of the API server for any resource: %w", err)
	}
	podClient, err := inventory.NewPodClient(c.Client)
	if err != nil {
		return nil, fmt.Errorf("client of the API server for pods: %w", err)
	}

	registry := metrics.NewKubeRegistry()
	scrapeMetrics, err := scrape.NewMetrics(registry.Register, c.Resolution, c.PerNodeMetrics)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	apiMetrics, err := api.NewMetrics(registry.Register, clk)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}

	s := &server{kubelets: kubelets, tokens: tokens, store: store.New(clk, c.MaxAge), metrics: registry}
	s.events = nodeevent.New(nodeevent.Config{
		Client: client.EventsV1(), Dynamic: dynamicClient, Clock: clk, Instance: instance(),
	})
	s.pool = scrape.NewPool(scrape.Config{
		Fetcher: kubelets, Sink: s.store, Clock: clk, Metrics: scrapeMetrics, Events: s.events,
		Resolution: c.Resolution, MaxAge: c.MaxAge, Workers: c.ScrapeWorkers,
	})
	s.inventory = inventory.New(client, podClient, c.NodeSelector, nodes{s.store, s.pool}, s.store)
	if err := registry.CustomRegister(newStateCollector(s.store, s.pool)); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}

	lists := api.NewListMemory(listMemory(debug.SetMemoryLimit(-1)), c.APIServer.MaxRequestsInFlight, apiMetrics)
	build := api.BuildHandlerChain(lists, api.StallLimit)
	c.APIServer.BuildHandlerChainFunc = func(handler http.Handler, config *genericapiserver.Config) http.Handler {
		return status.AskForToken(build(handler, config))
	}
	if err := s.manageCertificate(c, client, clk, registry.Register); err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	if c.CAConfigMap.Name != "" {
		bundle := servingcert.BundleOf(c.CertFile)
		if s.certificate != nil {
			bundle = s.certificate.Bundle
		}
		s.publisher = servingcert.NewPublisher(c.CAConfigMap, client.CoreV1(), bundle, clk)
	}
	if serving := c.APIServer.SecureServing; serving != nil {
		if err := registry.CustomRegister(&certificateCollector{certificate: serving.Cert}); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		serving.Listener = api.LimitWrites(serving.Listener, api.StallLimit)
	}
	s.api, err = c.APIServer.Complete(nil).New("metrics-server", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	// Requests under way are waited for apart from this. A connection that comes at the
	// moment of the end is not told to go, and API servers keep theirs.
	s.api.ShutdownTimeout = min(s.api.ShutdownTimeout, connectionsEndWithin)
	s.api.Handler.NonGoRestfulMux.Handle("/metrics", metricsHandler(registry))
	s.api.Handler.NonGoRestfulMux.Handle(status.Path, s.statusSource(&c, clk).Handler())
	s.flags = c.Flags
	if err := api.Install(s.api, s.store, apiMetrics, !c.DisableWatch); err != nil {
		return nil, fmt.Errorf("API group: %w", err)
	}
	return s, s.addHealthChecks()
}

func (s *server) run(ctx context.Context) error {
	prepared := s.api.PrepareRun()
	s.installZPages()
	// Requests are served for a while after ctx ends, and from live data.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { s.inventory.Run(background) })
	if s.tokens != nil {
		running.Go(func() { s.tokens.Run(background) })
	}
	running.Go(func() {
		s.waitToken(background)
		s.pool.Run(background)
	})
	running.Go(func() { s.events.Run(background) })
	running.Go(func() { wait.UntilWithContext(background, func(context.Context) { s.store.Expire() }, expirePeriod) })
	running.Go(func() { s.trim(background) })
	if s.publisher != nil {
		// Not for longer than the certificate is kept: the CA is that of the server that comes after then.
		running.Go(func() { s.publisher.Run(ctx) })
	}
	if s.certificate != nil {
		// Whoever comes after this server may have a certificate of another authority.
		running.Go(func() { s.certificate.Run(ctx) })
		s.waitCertificate(ctx)
	}
	err := prepared.RunWithContext(ctx)
	stop()
	running.Wait()
	s.kubelets.Close()
	return err
}

// waitToken has the first scrapes wait for the token that they need, for a while.
func (s *server) waitToken(ctx context.Context) {
	if s.tokens == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tokenWait)
	defer cancel()
	s.tokens.WaitFirst(ctx)
}

// instance tells the replicas apart in Events. In a pod, the host is the pod.
func instance() string {
	host, _ := os.Hostname()
	return "metrics-server-" + host
}

// nodes hands a node to the store first, so that there is a place for its
// points when it is scraped.
type nodes struct {
	store *store.Store
	pool  *scrape.Pool
}

func (n nodes) SetNode(node kubelet.Node, labels map[string]string) {
	n.store.SetNode(node.Name, labels)
	n.pool.SetNode(node)
}

func (n nodes) RemoveNode(name string) {
	n.pool.RemoveNode(name)
	n.store.RemoveNode(name)
}
