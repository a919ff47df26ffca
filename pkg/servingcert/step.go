// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
)

const (
	// timeout is for the requests of one step.
	timeout = 30 * time.Second
	// attempts is how often a step begins again at once as another replica wrote.
	attempts = 5
)

// sync takes one step, anew for as often as others write at the same time.
func (m *Manager) sync(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for range attempts {
		if err = m.step(ctx); !apierrors.IsConflict(err) {
			break
		}
	}
	return err
}

// step is described in the comment of the package.
func (m *Manager) step(ctx context.Context) error {
	services, servicesErr := m.cluster.readAPIServices(ctx)
	stored, err := m.cluster.readSecret(ctx)
	if err != nil {
		return errors.Join(err, servicesErr)
	}
	now, settle := m.clock.Now(), m.settleTime()
	d := &decision{
		now: now, validity: m.config.Validity, names: m.names(services, servicesErr == nil),
		published: func(cert *x509.Certificate) publication { return m.publications.of(cert, now, settle) },
	}
	found, bad := parseContent(stored.data)
	if servicesErr != nil && !d.usable(found) {
		return servicesErr // what they trust must not be forgotten
	}
	merged := d.merge(found, m.memory, !m.synced, trusted(services))
	m.publications = m.publications.observe(now, merged.authorities, services, servicesErr == nil)
	next, err := d.rotate(merged)
	if err != nil {
		return err
	}
	if err := m.store(ctx, stored, next, d.changes, bad); err != nil {
		return errors.Join(err, servicesErr)
	}
	m.memory = next
	bundle := next.bundle()
	m.published.Store(&bundle)
	bundlesErr := m.publish(ctx, services, next)
	m.publications = m.publications.observe(m.clock.Now(), next.authorities, services, servicesErr == nil)
	m.serve(d, next, settle)
	m.synced = true
	return errors.Join(servicesErr, bundlesErr)
}

// store writes next to the Secret unless that is what it has.
func (m *Manager) store(ctx context.Context, stored secret, next content, changes []string, bad error) error {
	data, err := next.data()
	if err != nil {
		return err
	}
	isStored := func(key string) bool { return bytes.Equal(stored.data[key], data[key]) }
	if !slices.ContainsFunc(dataKeys, func(key string) bool { return !isStored(key) }) {
		return nil
	}
	if err := m.cluster.writeSecret(ctx, secret{resourceVersion: stored.resourceVersion, data: data}); err != nil {
		return err
	}
	if bad != nil && len(stored.data) > 0 {
		klog.InfoS("Replaced what was bad in the Secret of the serving certificate", "secret", m.config.Secret, "reason", oneLine(bad))
	}
	for _, change := range changes {
		klog.InfoS("Changed the Secret of the serving certificate", "secret", m.config.Secret, "change", change)
	}
	return nil
}

// publish writes the authorities to the APIServices that verify, and to services.
func (m *Manager) publish(ctx context.Context, services []*apiService, c content) error {
	bundle := c.bundle()
	var errs []error
	for _, service := range services {
		if !service.needs(bundle) {
			continue
		}
		if err := m.cluster.writeBundle(ctx, service, bundle); err != nil {
			errs = append(errs, err)
			continue
		}
		service.setBundle(bundle)
		klog.InfoS("Wrote the CA bundle of the serving certificate", "apiService", service.name, "authorities", fmt.Sprint(c.authorities))
	}
	return errors.Join(errs...)
}

// serve takes up the serving certificate of the Secret as soon as no bundle can refuse
// it that takes the one served now.
func (m *Manager) serve(d *decision, c content, settle time.Duration) {
	served, wanted := m.current(), c.serving
	authority := c.signerOf(wanted)
	if !served.cert.Equal(wanted.cert) {
		before := c.signerOf(served)
		switch {
		case !m.synced, before == nil, before.Equal(authority), !d.good(c, served), served.cert.NotAfter.Sub(d.now) <= settle,
			d.published(authority) == settled, d.published(authority) > d.published(before):
			m.setCurrent(wanted)
			klog.InfoS("Serving another certificate", "secret", m.config.Secret, "expires", date(wanted.cert))
		default:
			authority = before
		}
	}
	since, ok := m.publications[string(authority.Raw)]
	m.readiness.set(since.Add(readyDelay), ok)
}

func (m *Manager) defaultName() string { return dnsName("metrics-server", m.config.Secret.Namespace) }

// names is what the serving certificate has to be valid for. Names of APIServices that
// cannot be read are kept.
func (m *Manager) names(services []*apiService, readable bool) []string {
	names := []string{m.defaultName()}
	for _, service := range services {
		names = append(names, service.dnsName)
	}
	if !readable {
		for _, name := range m.memory.serving.cert.DNSNames {
			if strings.HasSuffix(name, ".svc") { // others are not for our authorities to sign
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func trusted(services []*apiService) (all []*x509.Certificate) {
	for _, service := range services {
		all = append(all, service.trusted...)
	}
	return all
}
