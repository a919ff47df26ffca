// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"crypto/x509"
	"slices"
	"time"
)

// publications remembers since when this replica has seen authorities in the bundles
// of all APIServices that verify. It is not shared, so that no clocks are compared.
type publications map[string]time.Time // by the DER of the certificate

// observe takes what is in the bundles now, and what is known already. APIServices
// that cannot be read take no authority for published.
func (p publications) observe(now time.Time, authorities []authority, services []*apiService, readable bool) publications {
	since := publications{}
	for _, a := range authorities {
		refuses := func(s *apiService) bool { return !s.trusts(a.cert) }
		if !readable || slices.ContainsFunc(services, refuses) {
			continue
		}
		raw := string(a.cert.Raw)
		since[raw] = now
		if t, ok := p[raw]; ok {
			since[raw] = t
		}
	}
	return since
}

// of tells how far an authority has got, if settling takes so long.
func (p publications) of(authority *x509.Certificate, now time.Time, settle time.Duration) publication {
	since, ok := p[string(authority.Raw)]
	switch {
	case !ok:
		return unpublished
	case now.Sub(since) < settle:
		return published
	}
	return settled
}
