// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"sync"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// provider hands what is served to the listener of TLS connections. It implements
// dynamiccertificates.CertKeyContentProvider.
type provider struct {
	mu        sync.RWMutex
	served    *serving
	listeners []dynamiccertificates.Listener
}

var _ dynamiccertificates.CertKeyContentProvider = (*provider)(nil)

// Name implements dynamiccertificates.CertKeyContentProvider.
func (p *provider) Name() string { return "managed serving certificate" }

// CurrentCertKeyContent implements dynamiccertificates.CertKeyContentProvider.
func (p *provider) CurrentCertKeyContent() (cert, key []byte) {
	served := p.current()
	return served.certPEM, served.keyPEM
}

// AddListener implements dynamiccertificates.Notifier.
func (p *provider) AddListener(l dynamiccertificates.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = append(p.listeners, l)
}

func (p *provider) current() *serving {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.served
}

func (p *provider) setCurrent(s *serving) {
	p.mu.Lock()
	p.served = s
	listeners := p.listeners
	p.mu.Unlock()
	for _, l := range listeners {
		l.Enqueue()
	}
}
