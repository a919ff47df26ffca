// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/server/healthz"
)

// syncGrace is how long the initial lists may take before liveness depends on
// them: restarting a server that waits for a slow API server helps neither.
const syncGrace = 5 * time.Minute

var (
	errNoMetrics = errors.New("no metrics to serve: no node has two samples that are fresh enough")
	errNodesSync = errors.New("the nodes have not been listed yet")
	errPodsSync  = errors.New("the running pods have not been listed yet")
)

// addHealthChecks adds checks with the names that metrics-server's have.
func (s *server) addHealthChecks() error {
	nodesAndPods := check("metric-informer-sync", s.inventorySynced)
	pods := check("metadata-informer-sync", s.podsSynced)
	ready := check("metric-storage-ready", s.metricsReady)
	readiness := []healthz.HealthChecker{ready, nodesAndPods, pods}
	if s.certificate != nil {
		readiness = append(readiness, check("serving-certificate", s.certificate.Ready))
	}
	return errors.Join(
		s.api.AddReadyzChecks(readiness...),
		s.api.AddLivezChecks(0, check("metric-collection-timely", s.pool.Timely)),
		s.api.AddLivezChecks(syncGrace, pods),
	)
}

// metricsReady waits until most nodes are served that can be, so that a server that
// takes another's place leaves no gap. Later it is an error only if none is.
func (s *server) metricsReady() error {
	if !s.inventory.NodesSynced() {
		return errNodesSync
	}
	if err := s.pool.Warm(); err != nil {
		return err
	}
	if !s.store.Ready() {
		return errNoMetrics
	}
	return nil
}

func (s *server) inventorySynced() error {
	if !s.inventory.NodesSynced() {
		return errNodesSync
	}
	return s.podsSynced()
}

func (s *server) podsSynced() error {
	if !s.inventory.PodsSynced() {
		return errPodsSync
	}
	return nil
}

func check(name string, f func() error) healthz.HealthChecker {
	return healthz.NamedCheck(name, func(*http.Request) error { return f() })
}
