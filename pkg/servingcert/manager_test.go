// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

var testConfig = Config{Secret: types.NamespacedName{Namespace: "kube-system", Name: "metrics-server-tls"}, Validity: validity}

func testManager(t *testing.T, s *fakeStore, clk *clocktesting.FakeClock) *Manager {
	t.Helper()
	m, err := newManager(testConfig, s, clk)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustSync(t *testing.T, m *Manager) {
	t.Helper()
	if err := m.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// stored is what the Secret has.
func (s *fakeStore) stored(t *testing.T) content {
	t.Helper()
	c, err := parseContent(s.secret.data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expectKept has what the Secret has be served, and be in both APIServices.
func expectKept(t *testing.T, s *fakeStore, managers ...*Manager) {
	t.Helper()
	c := s.stored(t)
	for _, m := range managers {
		if !m.current().cert.Equal(c.serving.cert) {
			t.Error("another certificate is served than the Secret has")
		}
	}
	for name, service := range s.services {
		if !bytes.Equal(service.bundle, c.bundle()) {
			t.Errorf("%s has the bundle %q, want %q", name, service.bundle, c.bundle())
		}
	}
}

// counter counts how often it is told that something may have changed.
type counter struct{ n int }

func (c *counter) Enqueue() { c.n++ }

func TestFirstAndSecondReplica(t *testing.T) {
	s, clk := newFakeStore(), clocktesting.NewFakeClock(start)
	first, second := testManager(t, s, clk), testManager(t, s, clk)
	var changes counter
	second.AddListener(&changes)
	mustSync(t, first)
	before := s.version
	mustSync(t, second)
	mustSync(t, first)
	if s.version != before {
		t.Error("the second replica has written something")
	}
	expectKept(t, s, first, second)
	cert, key := second.CurrentCertKeyContent()
	if changes.n != 1 || !bytes.Equal(cert, s.secret.data[tlsCertKey]) || !bytes.Equal(key, s.secret.data[tlsKeyKey]) {
		t.Errorf("%d changes, and it serves %q", changes.n, cert)
	}
	if names := s.stored(t).serving.cert.DNSNames; !slices.Equal(names, []string{"metrics-server.kube-system.svc"}) {
		t.Errorf("the certificate is valid for %q", names)
	}
}

func TestReady(t *testing.T) {
	s, clk := newFakeStore(), clocktesting.NewFakeClock(start)
	m := testManager(t, s, clk)
	expect := func(want error) {
		t.Helper()
		if err := m.Ready(); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	expect(errNotStored)
	s.bundleErr = forbidden("apiservices", "v1.metrics.k8s.io", "patch")
	if m.sync(t.Context()) == nil {
		t.Fatal("the failure is not told")
	}
	expect(errNotPublished)
	s.bundleErr = nil
	mustSync(t, m)
	expect(errSettling)
	clk.Step(readyDelay)
	expect(nil)
	// It stays so: whoever is cut off later serves what it has.
	s.secretErr = errors.New("the network is down")
	if m.sync(t.Context()) == nil {
		t.Fatal("the failure is not told")
	}
	expect(nil)
}

// What is lost or bad comes back as it was, whichever replica is first.
func TestRestored(t *testing.T) {
	s, clk := newFakeStore(), clocktesting.NewFakeClock(start)
	m := testManager(t, s, clk)
	mustSync(t, m)
	want := maps.Clone(s.secret.data)
	for name, spoil := range map[string]func(){
		"deleted": func() { s.secret = nil },
		"empty":   func() { s.setSecret(nil) },
		"garbage": func() {
			s.setSecret(map[string][]byte{caCertKey: []byte("x"), caKeyKey: []byte("x"), tlsCertKey: []byte("x"), tlsKeyKey: []byte("x")})
		},
		"half of it": func() { s.setSecret(map[string][]byte{tlsCertKey: want[tlsCertKey], tlsKeyKey: want[tlsKeyKey]}) },
		"another's bytes": func() {
			s.setSecret(map[string][]byte{caCertKey: want[tlsCertKey], tlsKeyKey: want[caKeyKey], "other": nil})
		},
		"v1's bundle": func() { s.setService(*s.services["v1.metrics.k8s.io"], []byte("x")) },
		"v1beta1's bundle": func() {
			s.setService(*s.services["v1beta1.metrics.k8s.io"], certPEM(testAuthority(t, start, day).cert))
		},
	} {
		t.Run(name, func(t *testing.T) {
			spoil()
			mustSync(t, m)
			for key, value := range want {
				if !bytes.Equal(s.secret.data[key], value) {
					t.Errorf("%s is %q, want %q", key, s.secret.data[key], value)
				}
			}
			expectKept(t, s, m)
		})
	}
}

// A new replica that finds garbage makes another authority; what APIServices trust
// stays trusted, as other replicas may serve with it.
func TestGarbageAtTheStart(t *testing.T) {
	s, clk := newFakeStore(), clocktesting.NewFakeClock(start)
	old := testManager(t, s, clk)
	mustSync(t, old)
	served := old.current()
	s.setSecret(map[string][]byte{caCertKey: []byte("x")})
	m := testManager(t, s, clk)
	mustSync(t, m)
	expectKept(t, s, m)
	if c := s.stored(t); len(c.authorities) != 2 {
		t.Errorf("the authorities are %v", c.authorities)
	}
	// The old one goes on with what it has until the new authority has settled.
	mustSync(t, old)
	if old.current() != served {
		t.Error("the old replica serves another certificate at once")
	}
	clk.Step(maxSettle)
	mustSync(t, old)
	expectKept(t, s, old, m)
}

// What APIServices trust is not forgotten when they cannot be read at the start.
func TestUnreadableAPIServices(t *testing.T) {
	s := newFakeStore()
	m := testManager(t, s, clocktesting.NewFakeClock(start))
	s.readErr = forbidden("apiservices", "v1.metrics.k8s.io", "get")
	if err := m.sync(t.Context()); !errors.Is(err, s.readErr) || s.writes != 0 {
		t.Errorf("%d writes, and %v", s.writes, err)
	}
	s.readErr = nil
	mustSync(t, m)
	expectKept(t, s, m)
}

// A bundle is not written where the API does not allow one, and is as soon as it does.
func TestInsecureAPIService(t *testing.T) {
	s, clk := newFakeStore(), clocktesting.NewFakeClock(start)
	service := *s.services["v1.metrics.k8s.io"]
	service.insecure = true
	s.setService(service, nil)
	m := testManager(t, s, clk)
	mustSync(t, m)
	if len(s.services["v1.metrics.k8s.io"].bundle) != 0 || len(s.services["v1beta1.metrics.k8s.io"].bundle) == 0 {
		t.Error("the bundle is where it may not be, or not where it has to be")
	}
	service.insecure = false
	s.setService(service, nil)
	mustSync(t, m)
	expectKept(t, s, m)
}

// The names are those of the Services that APIServices have, at any time.
func TestNames(t *testing.T) {
	s, clk := newFakeStore(), clocktesting.NewFakeClock(start)
	clear(s.services)
	m := testManager(t, s, clk)
	mustSync(t, m)
	authority := s.stored(t).authorities[0]
	s.setService(apiService{name: "v1.metrics.k8s.io", dnsName: "other.n.svc"}, nil)
	mustSync(t, m)
	expectKept(t, s, m)
	c := s.stored(t)
	if names := c.serving.cert.DNSNames; !slices.Equal(names, []string{"metrics-server.kube-system.svc", "other.n.svc"}) {
		t.Errorf("the certificate is valid for %q", names)
	}
	if len(c.authorities) != 1 || !c.authorities[0].cert.Equal(authority.cert) {
		t.Errorf("the authorities are %v", c.authorities)
	}
	// Names are not lost when they cannot be read.
	clear(s.services)
	s.readErr = errors.New("the network is down")
	clk.Step(validity * 2 / 3)
	if m.sync(t.Context()) == nil {
		t.Fatal("the failure is not told")
	}
	if renewed := s.stored(t).serving.cert; renewed.Equal(c.serving.cert) || !slices.Equal(renewed.DNSNames, c.serving.cert.DNSNames) {
		t.Errorf("the certificate is valid for %q", renewed.DNSNames)
	}
}

// between has something happen after the first read of a step, once.
type between struct {
	*fakeStore
	reads  int
	happen func()
}

func (b *between) read() {
	if b.reads++; b.reads == 2 {
		b.happen()
	}
}

func (b *between) readSecret(ctx context.Context) (secret, error) {
	b.read()
	return b.fakeStore.readSecret(ctx)
}

func (b *between) readAPIServices(ctx context.Context) ([]*apiService, error) {
	b.read()
	return b.fakeStore.readAPIServices(ctx)
}

// A replica that is slow does not undo what another has published meanwhile.
func TestNoOlderBundle(t *testing.T) {
	s := newFakeStore()
	m := testManager(t, s, clocktesting.NewFakeClock(start))
	mustSync(t, m)
	s.published = func(name string, bundle []byte) {
		if n := bytes.Count(bundle, []byte("BEGIN")); n != 2 {
			t.Errorf("a bundle of %d authorities is written to %s", n, name)
		}
	}
	m.cluster = &between{fakeStore: s, happen: func() {
		c := s.stored(t)
		c.authorities = append(c.authorities, testAuthority(t, start, validity))
		s.setSecret(encode(t, c))
		for _, name := range apiServiceNames {
			s.setService(*s.services[name], c.bundle())
		}
	}}
	mustSync(t, m)
	expectKept(t, s, m)
}

// conflicting has another write come first, as often as is set.
type conflicting struct {
	*fakeStore
	times int
}

func (c *conflicting) writeSecret(ctx context.Context, s secret) error {
	if c.times > 0 {
		c.times--
		c.setSecret(c.secret.data)
	}
	return c.fakeStore.writeSecret(ctx, s)
}

func TestConflict(t *testing.T) {
	s := newFakeStore()
	for _, tt := range []struct {
		times int
		fails bool
	}{{attempts - 1, false}, {attempts, true}} {
		m := testManager(t, s, clocktesting.NewFakeClock(start))
		s.secret = nil
		m.cluster = &conflicting{s, tt.times}
		if err := m.sync(t.Context()); (err != nil) != tt.fails {
			t.Errorf("%d conflicts: %v", tt.times, err)
		}
	}
}

// captureLog returns what is logged until the test ends.
func captureLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	var text bytes.Buffer
	state := klog.CaptureState()
	t.Cleanup(state.Restore)
	klog.LogToStderr(false)
	klog.SetOutput(&text)
	t.Cleanup(func() { klog.SetOutput(nil) })
	return &text
}

// A failure is logged when it begins, and again only when the certificate expires soon.
func TestReport(t *testing.T) {
	text := captureLog(t)
	s, clk := newFakeStore(), clocktesting.NewFakeClock(start)
	m := testManager(t, s, clk)
	expect := func(err error, want string) {
		t.Helper()
		text.Reset()
		m.report(t.Context(), err)
		klog.Flush()
		if got := text.String(); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%v is logged as %q, want %q", err, got, want)
		}
	}
	network := errors.New("the network is down")
	expect(nil, "")
	expect(network, "cannot be kept up to date; trying again")
	expect(network, "")
	expect(nil, "is up to date again")
	missing := forbidden("secrets", "metrics-server-tls", "patch")
	expect(missing, `apply the Role and the ClusterRole of its manifests" secret="kube-system/metrics-server-tls" expires="2027-02-23T12:00:00Z" err="secrets \"metrics-server-tls\" is forbidden: cannot patch"`)
	expect(missing, "")
	clk.Step(validity*5/6 + day)
	expect(missing, "lacks a right")
	expect(network, "expires soon")
	expect(network, "expires soon")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	text.Reset()
	m.report(ended, network)
	klog.Flush()
	if text.Len() > 0 {
		t.Errorf("at the end is logged %q", text)
	}
}

// A step is taken at the start, whenever something has changed, soon after a failure,
// and after a while.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counting{fakeStore: newFakeStore()}
		m, err := newManager(testConfig, s, clock.RealClock{})
		if err != nil {
			t.Fatal(err)
		}
		var events waker
		m.watch = func(ctx context.Context, w waker) {
			events = w
			<-ctx.Done()
		}
		expect := func(least, most int64) {
			t.Helper()
			synctest.Wait()
			if n := s.steps.Swap(0); n < least || n > most {
				t.Errorf("%d steps, want %d to %d", n, least, most)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		m.WaitStep(withTimeout(t, time.Second)) // ends without a step
		go m.Run(ctx)
		m.WaitStep(t.Context())
		expect(1, 1)
		if err := events.Add(nil); err != nil {
			t.Fatal(err)
		}
		expect(1, 1)
		time.Sleep(10 * maxPeriod)
		expect(8, 10)
		// Many events are one cause.
		for range 1000 {
			events.wake()
		}
		expect(1, 2)
		s.secretErr = errors.New("the network is down")
		events.wake()
		time.Sleep(10 * time.Second)
		expect(3, 5)
		time.Sleep(time.Hour)
		expect(50, 65)
		cancel()
		synctest.Wait()
	})
}

func withTimeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// counting counts steps.
type counting struct {
	*fakeStore
	steps atomic.Int64
}

func (c *counting) readAPIServices(ctx context.Context) ([]*apiService, error) {
	c.steps.Add(1)
	return c.fakeStore.readAPIServices(ctx)
}
