// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

const validity = 90 * day

// newDecision takes no authority for published.
func newDecision(now time.Time) *decision {
	return &decision{
		now: now, validity: validity, names: []string{"a.b.svc"},
		published: func(*x509.Certificate) publication { return unpublished },
	}
}

// allPublished has all authorities published as far as that.
func (d *decision) allPublished(p publication) *decision {
	d.published = func(*x509.Certificate) publication { return p }
	return d
}

// rotated is what has to be there at a time, and what was changed for it.
func rotated(t *testing.T, d *decision, c content) (content, string) {
	t.Helper()
	next, err := d.rotate(c)
	if err != nil {
		t.Fatal(err)
	}
	return next, strings.Join(d.changes, "\n")
}

func expectChanges(t *testing.T, got string, want ...string) {
	t.Helper()
	lines := strings.Split(got, "\n")
	if got == "" {
		lines = nil
	}
	if len(lines) != len(want) {
		t.Fatalf("got %q, want %q", lines, want)
	}
	for i := range want {
		if !strings.Contains(lines[i], want[i]) {
			t.Errorf("got %q, want %q", lines[i], want[i])
		}
	}
}

func TestNothingToRotate(t *testing.T) {
	a := testAuthority(t, start, validity)
	c := content{authorities: []authority{a}, serving: issue(t, a, start, validity, "a.b.svc", "c.d.svc")}
	for _, now := range []time.Time{start, start.Add(day), start.Add(validity*2/3 - time.Hour)} {
		next, changes := rotated(t, newDecision(now), c)
		expectChanges(t, changes)
		if next.serving != c.serving {
			t.Error("the certificate is another one")
		}
	}
}

// The same authority may sign at any time, as it is trusted already.
func TestServingCertificateIsRenewed(t *testing.T) {
	a := testAuthority(t, start, validity)
	for _, tt := range []struct {
		name  string
		after time.Duration
		old   *serving
		want  string
	}{
		{"two thirds are over", validity * 2 / 3, issue(t, a, start, validity, "a.b.svc"), "as the one before expires 2027-02-23T12:00:00Z"},
		{"it has expired", validity + time.Hour, issue(t, a, start, validity, "a.b.svc"), "as there was none that verifies"},
		{"there is none", 0, nil, "as there was none that verifies"},
		{"a name is missing", 0, issue(t, a, start, validity, "c.d.svc"), "as the one before was not valid for a.b.svc"},
		{"it is valid for too long", 0, issue(t, a, start, validity+2*time.Hour, "a.b.svc"), "as the one before was valid for more than 2160h0m0s"},
		{"another authority's", 0, issue(t, testAuthority(t, start, validity), start, validity, "a.b.svc"), "as there was none that verifies"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := start.Add(tt.after)
			next, changes := rotated(t, newDecision(now), content{authorities: []authority{a}, serving: tt.old})
			expectChanges(t, changes, tt.want)
			cert := next.serving.cert
			if !cert.NotAfter.Equal(now.Add(validity).Truncate(time.Second)) || !cert.NotBefore.Equal(now.Add(-time.Hour).Truncate(time.Second)) ||
				len(cert.DNSNames) != 1 || !signed(a, next.serving) {
				t.Errorf("got %v", cert)
			}
		})
	}
}

// A new authority is trusted first. It signs when it has settled, and the old one
// cannot any more then.
func TestAuthorityIsRotated(t *testing.T) {
	old := testAuthority(t, start, validity)
	now := start.Add(8 * validity)
	c := content{authorities: []authority{old}, serving: issue(t, old, now.Add(-validity/3), validity, "a.b.svc")}
	c, changes := rotated(t, newDecision(now).allPublished(published), c)
	expectChanges(t, changes, "added the new authority metrics-server-ca@")
	if len(c.authorities) != 2 || c.authorities[0].key == nil {
		t.Fatalf("got %v", c.authorities)
	}

	now = now.Add(validity / 3) // the serving certificate is to be renewed
	before, changes := rotated(t, newDecision(now).allPublished(published), c)
	expectChanges(t, changes, "signed by "+old.String())
	if before.authorities[0].key == nil {
		t.Error("the old authority has lost its key")
	}
	after, changes := rotated(t, newDecision(now).allPublished(settled), c)
	expectChanges(t, changes, "signed by "+c.authorities[1].String())
	if after.authorities[0].key != nil || after.authorities[1].key == nil {
		t.Errorf("the keys are of %v", after.authorities)
	}

	end := old.cert.NotAfter
	_, changes = rotated(t, newDecision(end.Add(time.Hour)).allPublished(settled), content{authorities: after.authorities, serving: issue(t, after.authorities[1], end, validity, "a.b.svc")})
	expectChanges(t, changes)
	_, changes = rotated(t, newDecision(end.Add(time.Hour+time.Second)).allPublished(settled), content{authorities: after.authorities, serving: issue(t, after.authorities[1], end, validity, "a.b.svc")})
	expectChanges(t, changes, "removed the authority "+old.String()+", which has expired")
}

// Where the key of the authority is lost, the next one signs when it has settled.
func TestAuthorityWithoutKey(t *testing.T) {
	old, next := testAuthority(t, start, validity), testAuthority(t, start, validity)
	c := content{
		authorities: []authority{{cert: old.cert}, next},
		serving:     issue(t, old, start, validity, "a.b.svc"),
	}
	now := start.Add(validity * 3 / 4)
	_, changes := rotated(t, newDecision(now).allPublished(published), c)
	expectChanges(t, changes)
	_, changes = rotated(t, newDecision(now).allPublished(settled), c)
	expectChanges(t, changes, "signed by "+next.String())
}

// While the next authority has not settled, and the one before expires, the serving
// certificate is left alone until there is nothing to lose.
func TestAuthorityExpiresUnsettled(t *testing.T) {
	old := testAuthority(t, start, validity)
	end := old.cert.NotAfter
	c := content{authorities: []authority{old, testAuthority(t, end.Add(-validity), validity)}, serving: issue(t, old, end.Add(-validity/2), validity, "a.b.svc")}
	for _, left := range []time.Duration{validity / 6, time.Hour + time.Second} {
		_, changes := rotated(t, newDecision(end.Add(-left)).allPublished(published), c)
		expectChanges(t, changes)
	}
	_, changes := rotated(t, newDecision(end.Add(-time.Hour)).allPublished(published), c)
	expectChanges(t, changes, "signed by "+c.authorities[1].String())
}

// An authority whose certificates nobody accepts is only trusted from then on.
func TestUnfitAuthority(t *testing.T) {
	future := testAuthority(t, start.Add(2*day), validity)
	c, changes := rotated(t, newDecision(start), content{authorities: []authority{future}})
	expectChanges(t, changes, "dropped the key of the authority "+future.String(), "added the new authority", "made a serving certificate")
	if len(c.authorities) != 2 || c.authorities[0].key != nil || c.authorities[1].key == nil {
		t.Errorf("got %v", c.authorities)
	}
}

func TestNamesThatNobodyCanSign(t *testing.T) {
	d := newDecision(start)
	d.names = []string{"a.b.example"}
	if _, err := d.rotate(content{authorities: []authority{testAuthority(t, start, validity)}}); err == nil || !strings.Contains(err.Error(), "a.b.example") {
		t.Errorf("got %v", err)
	}
}

func TestMerge(t *testing.T) {
	a, b := testAuthority(t, start, validity), testAuthority(t, start.Add(time.Second), validity)
	foreign := a.cert // of the caller's choosing
	of := func(a authority) content {
		return content{authorities: []authority{a}, serving: issue(t, a, start, validity, "a.b.svc")}
	}
	for _, tt := range []struct {
		name           string
		secret, memory content
		isNew          bool
		trusted        []*x509.Certificate
		want           []string
		keys           string // which authorities have one
		signer         authority
	}{
		{name: "nothing has changed", secret: of(a), memory: of(a), keys: "+", signer: a},
		{name: "a new replica", secret: of(a), memory: of(b), isNew: true, keys: "+", signer: a},
		{
			name: "the first replica", memory: of(b), isNew: true, keys: "+", signer: b,
			want: []string{"added the new authority", "took the serving certificate of this replica"},
		},
		{
			name: "the first replica, which APIServices trust", memory: of(b), isNew: true, trusted: []*x509.Certificate{foreign}, keys: "+-", signer: b,
			want: []string{"added the new authority", "which APIServices trust", "took the serving certificate of this replica"},
		},
		{
			name: "deleted", memory: of(a), keys: "+", signer: a,
			want: []string{"added the authority " + a.String() + ", which this replica knows", "took the serving certificate of this replica"},
		},
		{
			name: "another one's", secret: of(b), memory: of(a), trusted: []*x509.Certificate{foreign}, keys: "+-", signer: b,
			want: []string{"added the authority " + a.String() + ", which this replica knows"},
		},
		{name: "no key", secret: content{authorities: []authority{{cert: a.cert}}, serving: of(a).serving}, memory: of(a), keys: "+", signer: a},
		{
			name: "no certificate", secret: content{authorities: []authority{a}}, memory: of(a), keys: "+", signer: a,
			want: []string{"took the serving certificate of this replica"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDecision(start)
			got := d.merge(tt.secret, tt.memory, tt.isNew, tt.trusted)
			expectChanges(t, strings.Join(d.changes, "\n"), tt.want...)
			keys := ""
			for _, a := range got.authorities {
				keys += map[bool]string{true: "+", false: "-"}[a.key != nil]
			}
			if keys != tt.keys || !signed(tt.signer, got.serving) {
				t.Errorf("keys %q, want %q: %+v", keys, tt.keys, got)
			}
		})
	}
}

// The bound of Config is safe with all that is derived from it.
func TestLeastValidity(t *testing.T) {
	a := testAuthority(t, start, MinValidity)
	s := issue(t, a, start, MinValidity, "a.b.svc")
	if settle := settleTime(s.cert); settle < 2*readyDelay || 3*settle > lifetime(s.cert)/3 {
		t.Errorf("certificates are settled after %s, and renewed %s before they expire", settle, lifetime(s.cert)/3)
	}
	if a := testAuthority(t, start, MaxValidity); a.cert.NotAfter.Sub(start) < 99*365*day {
		t.Errorf("an authority lives until %s", a.cert.NotAfter)
	}
}
