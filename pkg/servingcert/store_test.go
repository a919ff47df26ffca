// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// fakeStore is what an API server stores. It implements cluster.
type fakeStore struct {
	version  int
	secret   *secret // nil if there is none
	services map[string]*apiService
	writes   int

	// What requests fail with, for tests.
	secretErr, readErr, bundleErr error
	// published is called for each bundle that is written.
	published func(name string, bundle []byte)
}

var _ cluster = (*fakeStore)(nil)

// newFakeStore has both APIServices, served by the default Service and without a bundle.
func newFakeStore() *fakeStore {
	s := &fakeStore{services: map[string]*apiService{}, published: func(string, []byte) {}}
	for _, name := range apiServiceNames {
		s.setService(apiService{name: name, dnsName: "metrics-server.kube-system.svc"}, nil)
	}
	return s
}

func (s *fakeStore) next() string {
	s.version++
	return strconv.Itoa(s.version)
}

func (s *fakeStore) setSecret(data map[string][]byte) {
	s.secret = &secret{resourceVersion: s.next(), data: maps.Clone(data)}
}

func (s *fakeStore) setService(service apiService, bundle []byte) {
	service.resourceVersion = s.next()
	service.setBundle(bundle)
	s.services[service.name] = &service
}

func (s *fakeStore) readSecret(context.Context) (secret, error) {
	if s.secretErr != nil {
		return secret{}, s.secretErr
	}
	if s.secret == nil {
		s.setSecret(nil)
	}
	return secret{resourceVersion: s.secret.resourceVersion, data: maps.Clone(s.secret.data)}, nil
}

func (s *fakeStore) writeSecret(_ context.Context, w secret) error {
	if s.secret == nil || w.resourceVersion != s.secret.resourceVersion {
		return conflict("secrets", "metrics-server-tls")
	}
	data := maps.Clone(s.secret.data)
	if data == nil {
		data = map[string][]byte{}
	}
	maps.Copy(data, w.data)
	s.setSecret(data)
	s.writes++
	return nil
}

func (s *fakeStore) readAPIServices(context.Context) (all []*apiService, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.services)) {
		service := *s.services[name]
		all = append(all, &service)
	}
	return all, s.readErr
}

func (s *fakeStore) writeBundle(_ context.Context, w *apiService, bundle []byte) error {
	if s.bundleErr != nil {
		return s.bundleErr
	}
	service, ok := s.services[w.name]
	if !ok || service.resourceVersion != w.resourceVersion {
		return conflict("apiservices", w.name)
	}
	if service.insecure {
		return errors.New("Invalid value: may not be true if caBundle is present")
	}
	s.setService(*service, bundle)
	s.published(w.name, bundle)
	return nil
}

func conflict(resource, name string) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: resource}, name, errors.New("the object has been modified"))
}

func forbidden(resource, name, verb string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, name, errors.New("cannot "+verb))
}

// start is when tests begin. It is in the middle of a second.
var start = time.Date(2026, 11, 25, 12, 0, 0, 5e8, time.UTC)
