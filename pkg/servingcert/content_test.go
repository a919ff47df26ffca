// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"maps"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

func testAuthority(t testing.TB, now time.Time, validity time.Duration) authority {
	t.Helper()
	a, err := newAuthority(now, validity)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t testing.TB, a authority, now time.Time, validity time.Duration, names ...string) *serving {
	t.Helper()
	s, err := a.issue(now, validity, names)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func encode(t testing.TB, c content) map[string][]byte {
	t.Helper()
	data, err := c.data()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestContent(t *testing.T) {
	a, b := testAuthority(t, start, day), testAuthority(t, start.Add(time.Second), day)
	onlyTrusted := authority{cert: testAuthority(t, start.Add(2*time.Second), day).cert}
	want := content{authorities: []authority{onlyTrusted, a, b}, serving: issue(t, a, start, day, "a.b.svc")}
	data := encode(t, want)
	got, err := parseContent(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.authorities) != 3 || got.authorities[0].key != nil || got.authorities[1].key == nil || got.authorities[2].key == nil ||
		!got.serving.cert.Equal(want.serving.cert) {
		t.Errorf("got %+v", got)
	}
	if again := encode(t, got); !maps.EqualFunc(data, again, bytes.Equal) {
		t.Errorf("encoded again it is %q, before %q", again, data)
	}
}

// What is bad is named, and what is good beside it is used.
func TestBadContent(t *testing.T) {
	a := testAuthority(t, start, day)
	served := issue(t, a, start, day, "a.b.svc")
	good := encode(t, content{authorities: []authority{a}, serving: served})
	for _, tt := range []struct {
		name, key, value, want string
		authorities, keys      int
		serving                bool
	}{
		{"no authorities", caCertKey, "", "ca.crt: is missing or empty\nca.key: has a key of none of the authorities in ca.crt", 0, 0, true},
		{"garbage for authorities", caCertKey, "x", "ca.crt: data does not contain any valid RSA or ECDSA certificates", 0, 0, true},
		{"a serving certificate for an authority", caCertKey, string(served.certPEM), `ca.crt: the certificate of "metrics-server" is not an authority's`, 0, 0, true},
		{"an authority twice", caCertKey, strings.Repeat(string(good[caCertKey]), 2), "", 1, 1, true},
		{"no key", caKeyKey, "", "ca.key: is missing or empty", 1, 0, true},
		{"garbage for a key", caKeyKey, "x", "ca.key: has something that is not PEM", 1, 0, true},
		{"garbage after a key", caKeyKey, string(good[caKeyKey]) + "x", "ca.key: has something that is not PEM", 1, 1, true},
		{"another key", caKeyKey, string(served.keyPEM), "ca.key: has a key of none of the authorities in ca.crt", 1, 0, true},
		{"a certificate for a key", caKeyKey, string(served.certPEM), "ca.key: ", 1, 0, true},
		{"no certificate", tlsCertKey, "", "tls.crt or tls.key is missing or empty", 1, 1, false},
		{"garbage for a certificate", tlsCertKey, "x", "tls.crt and tls.key: tls: failed to find any PEM data", 1, 1, false},
		{"another one's key", tlsKeyKey, string(good[caKeyKey]), "tls.crt and tls.key: tls: private key does not match public key", 1, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := maps.Clone(good)
			data[tt.key] = []byte(tt.value)
			c, err := parseContent(data)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.HasPrefix(err.Error(), tt.want)) {
				t.Errorf("got error %v, want %s", err, tt.want)
			}
			keys := 0
			for _, a := range c.authorities {
				if a.key != nil {
					keys++
				}
			}
			if len(c.authorities) != tt.authorities || keys != tt.keys || (c.serving != nil) != tt.serving {
				t.Errorf("got %+v", c)
			}
		})
	}
}

// Whatever the Secret has, a step makes something good of it.
func FuzzContent(f *testing.F) {
	a := testAuthority(f, start, day)
	data := encode(f, content{authorities: []authority{a}, serving: issue(f, a, start, day, "a.b.svc")})
	f.Add(data[caCertKey], data[caKeyKey], data[tlsCertKey], data[tlsKeyKey])
	f.Add([]byte(nil), []byte("x"), data[caCertKey], data[caKeyKey])
	f.Fuzz(func(t *testing.T, caCert, caKey, tlsCert, tlsKey []byte) {
		c, _ := parseContent(map[string][]byte{caCertKey: caCert, caKeyKey: caKey, tlsCertKey: tlsCert, tlsKeyKey: tlsKey})
		d := newDecision(start)
		next, err := d.rotate(d.merge(c, content{}, false, nil))
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseContent(encode(t, next))
		if err != nil || !d.good(again, again.serving) {
			t.Fatalf("%v of %+v", err, next)
		}
		d.changes = nil
		if _, err := d.rotate(again); err != nil || len(d.changes) != 0 {
			t.Fatalf("it is changed again: %v %q", err, d.changes)
		}
	})
}
