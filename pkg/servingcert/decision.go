// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxSettle is enough for any aggregator to learn of a bundle.
const maxSettle = time.Hour

// settleTime is how long a new authority has to be in all bundles before something
// signed by it takes the place of a serving certificate.
func settleTime(served *x509.Certificate) time.Duration {
	return min(lifetime(served)/12, maxSettle)
}

// publication is how far an authority has got.
type publication int

const (
	unpublished publication = iota // not in the bundle of each APIService that verifies
	published                      // in all
	settled                        // in all for the settle time
)

// decision is what one step is decided on, and what it changes.
type decision struct {
	now       time.Time
	validity  time.Duration // of new serving certificates
	names     []string      // that the serving certificate has to have
	published func(*x509.Certificate) publication
	changes   []string // what was done, and why
}

func (d *decision) changed(format string, args ...any) {
	d.changes = append(d.changes, fmt.Sprintf(format, args...))
}

// merge fills in what c, of the Secret, lacks. Memory is of this replica, and trusted
// is what APIServices trust. New memory was never in the Secret: it counts only if
// nothing in c can sign.
func (d *decision) merge(c, memory content, isNew bool, trusted []*x509.Certificate) content {
	c = c.clone()
	usable := d.usable(c)
	if !usable || !isNew {
		for _, a := range memory.authorities {
			if expired(a.cert, d.now) {
				continue
			}
			i := slices.IndexFunc(c.authorities, func(b authority) bool { return b.cert.Equal(a.cert) })
			if i < 0 {
				i = len(c.authorities)
				c.authorities = append(c.authorities, authority{cert: a.cert})
				if isNew {
					d.changed("added the new authority %s", a)
				} else {
					d.changed("added the authority %s, which this replica knows", a)
				}
			}
			if !usable {
				c.authorities[i].key = a.key
			}
		}
	}
	if !usable {
		for _, cert := range trusted {
			if ours(cert) && !expired(cert, d.now) && !contains(c.authorities, cert) {
				c.authorities = append(c.authorities, authority{cert: cert})
				d.changed("added the authority %s, which APIServices trust", authority{cert: cert})
			}
		}
	}
	if !d.good(c, c.serving) && d.good(c, memory.serving) {
		c.serving = memory.serving
		d.changed("took the serving certificate of this replica")
	}
	return c
}

// rotate returns what the Secret has to have.
func (d *decision) rotate(c content) (content, error) {
	c = c.clone()
	c.authorities = slices.DeleteFunc(c.authorities, func(a authority) bool {
		// A replica whose clock is behind still adds it from memory at its end.
		over := d.now.Sub(a.cert.NotAfter) > min(lifetime(a.cert)/120, maxSettle)
		if over {
			d.changed("removed the authority %s, which has expired", a)
		}
		return over
	})
	for range len(c.authorities) + 1 { // each may be unfit, but for a new one
		if !slices.ContainsFunc(c.authorities, d.fresh) {
			a, err := newAuthority(d.now, d.validity)
			if err != nil {
				return content{}, err
			}
			c.authorities = append(c.authorities, a)
			d.changed("added the new authority %s", a)
		}
		unfit, err := d.renew(&c)
		if unfit == nil || err != nil {
			return c, err
		}
		unfit.key = nil
		d.changed("dropped the key of the authority %s: what it signs does not verify", unfit)
	}
	return content{}, fmt.Errorf("no authority can sign a certificate that verifies for %s", strings.Join(d.names, ", "))
}

// renew replaces the serving certificate if there is a reason and a signer for it. An
// authority that turns out to be none is returned.
func (d *decision) renew(c *content) (unfit *authority, err error) {
	reason, expiring := d.reason(*c)
	if reason == "" {
		return nil, nil
	}
	signer := d.signer(*c)
	if signer == nil {
		return nil, nil // until an authority has settled
	}
	renewed, err := signer.issue(d.now, d.validity, d.names)
	if err != nil {
		return nil, err
	}
	if !d.good(*c, renewed) {
		return signer, nil
	}
	if expiring && !renewed.cert.NotAfter.After(c.serving.cert.NotAfter) {
		return nil, nil // the signer expires, too: the next one signs when it has settled
	}
	c.serving = renewed
	d.changed("made a serving certificate, as %s, signed by %s and valid for %s until %s",
		reason, signer, strings.Join(d.names, ", "), date(renewed.cert))
	if d.fresh(*signer) {
		for i, a := range c.authorities {
			if !d.fresh(a) {
				c.authorities[i].key = nil
			}
		}
	}
	return nil, nil
}

// reason says why the serving certificate is to be replaced, or nothing if it is not.
// If it is expiring, only one that is valid for longer helps.
func (d *decision) reason(c content) (text string, expiring bool) {
	if !d.good(c, c.serving) {
		return "there was none that verifies", false
	}
	cert := c.serving.cert
	if i := slices.IndexFunc(d.names, func(n string) bool { return cert.VerifyHostname(n) != nil }); i >= 0 {
		return fmt.Sprintf("the one before was not valid for %s", d.names[i]), false
	}
	switch left := cert.NotAfter.Sub(d.now); {
	case left > d.validity+maxBackdate:
		return fmt.Sprintf("the one before was valid for more than %s", d.validity), false
	case left <= lifetime(cert)/3:
		return fmt.Sprintf("the one before expires %s", date(cert)), true
	}
	return "", false
}

// date is when a certificate expires.
func date(cert *x509.Certificate) string { return cert.NotAfter.UTC().Format(time.RFC3339) }

// signer is the authority to sign with, or nil if there is none yet.
func (d *decision) signer(c content) (best *authority) {
	good := d.good(c, c.serving)
	margin := time.Duration(0)
	if good {
		margin = settleTime(c.serving.cert)
	}
	nothingToLose := !good || c.serving.cert.NotAfter.Sub(d.now) <= margin
	rank := func(a authority) publication {
		if good && signed(a, c.serving) {
			return settled // no bundle that takes the one before refuses what it signs
		}
		return d.published(a.cert)
	}
	for i, a := range c.authorities {
		if a.key == nil || a.cert.NotAfter.Sub(d.now) <= margin || (rank(a) < settled && !nothingToLose) {
			continue
		}
		if best == nil || cmp.Or(
			cmp.Compare(rank(a), rank(*best)),
			compareBool(d.fresh(a), d.fresh(*best)),
			a.cert.NotAfter.Compare(best.cert.NotAfter),
		) > 0 {
			best = &c.authorities[i]
		}
	}
	return best
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// usable tells whether an authority can sign now.
func (d *decision) usable(c content) bool {
	return slices.ContainsFunc(c.authorities, func(a authority) bool { return a.key != nil && !expired(a.cert, d.now) })
}

// fresh tells whether an authority can sign, and for long enough that no other is
// needed yet.
func (d *decision) fresh(a authority) bool {
	return a.key != nil && a.cert.NotAfter.Sub(d.now) > lifetime(a.cert)/5
}

// good tells whether a serving certificate verifies with the authorities now, for
// whatever names it has.
func (d *decision) good(c content, served *serving) bool {
	if served == nil {
		return false
	}
	roots := x509.NewCertPool()
	for _, a := range c.authorities {
		roots.AddCert(a.cert)
	}
	_, err := served.cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: d.now})
	return err == nil && c.signerOf(served) != nil
}

// signed tells whether an authority has signed a certificate.
func signed(a authority, s *serving) bool {
	return s.cert.CheckSignatureFrom(a.cert) == nil
}

// signerOf is the authority that has signed a certificate, or nil if c has it not.
func (c content) signerOf(s *serving) *x509.Certificate {
	i := slices.IndexFunc(c.authorities, func(a authority) bool { return signed(a, s) })
	if i < 0 {
		return nil
	}
	return c.authorities[i].cert
}

// String names an authority in the log.
func (a authority) String() string {
	return fmt.Sprintf("%s (serial number %x)", a.cert.Subject.CommonName, a.cert.SerialNumber)
}
