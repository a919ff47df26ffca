// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

const (
	modelValidity = MinValidity
	// modelLag is how late aggregators learn of a bundle at most.
	modelLag = 4 * time.Second
	// modelSkew is how far clocks are off at most, half of what is allowed.
	modelSkew     = modelValidity / 40
	modelReplicas = 3
	modelActions  = 8000
)

var modelSeeds = flag.Int("seeds", 4, "how often the model runs, each time with another seed")

// model is replicas on one API server, each request of which may be interrupted by
// those of all others, and by what people do.
type model struct {
	t        *testing.T
	random   *rand.Rand
	now      time.Time
	store    *fakeStore
	replicas []*modelReplica
	bundles  map[string][]modelBundle // by APIService
	log      []string
	accepted map[[2]string]bool // by CA and certificate, when it was new
	// What was seen, so that it is known that the test tests something.
	certificates, authorities map[string]bool
	checks, restarts          int
}

// modelBundle is one that an aggregator may still have.
type modelBundle struct {
	trusted []*x509.Certificate
	foreign bool      // nobody can be expected to serve what it trusts
	until   time.Time // when another took its place, plus the lag; zero if none has
}

// modelReplica is one server. It implements cluster.
type modelReplica struct {
	*fakeStore
	model   *model
	id      int
	manager *Manager
	clock   *clocktesting.FakeClock
	skew    time.Duration
	cut     bool // it does not reach the API server
	stale   bool // it was cut off, and has not taken a step since
	lost    bool // its certificate has expired meanwhile
	yield   func(struct{}) bool
	resume  func() (struct{}, bool)
	stop    func()
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), now: start, store: newFakeStore(),
		bundles: map[string][]modelBundle{}, accepted: map[[2]string]bool{}, certificates: map[string]bool{}, authorities: map[string]bool{},
	}
	m.store.published = func(name string, bundle []byte) { m.setBundle(name, bundle, false) }
	for _, name := range apiServiceNames {
		m.setBundle(name, nil, true)
	}
	for i := range modelReplicas {
		skew := time.Duration(m.random.Int64N(int64(2*modelSkew))) - modelSkew
		m.replicas = append(m.replicas, &modelReplica{fakeStore: m.store, model: m, id: i, skew: skew})
		m.replicas[i].start()
	}
	return m
}

func (m *model) setBundle(name string, bundle []byte, foreign bool) {
	all := m.bundles[name]
	for i := range all {
		if all[i].until.IsZero() {
			all[i].until = m.now.Add(modelLag)
		}
	}
	s := &apiService{}
	s.setBundle(bundle)
	m.bundles[name] = append(all, modelBundle{trusted: s.trusted, foreign: foreign})
	m.logf("%s: %d authorities, foreign %v", name, len(s.trusted), foreign)
}

func (m *model) logf(format string, args ...any) {
	m.log = append(m.log, m.now.Format("15:04:05.0 ")+fmt.Sprintf(format, args...))
}

// start makes a replica that remembers nothing.
func (r *modelReplica) start() {
	r.clock = clocktesting.NewFakeClock(r.model.now.Add(r.skew))
	manager, err := newManager(Config{Secret: types.NamespacedName{Namespace: "kube-system", Name: "tls"}, Validity: modelValidity}, r, r.clock)
	if err != nil {
		r.model.t.Fatal(err)
	}
	r.manager, r.cut, r.stale, r.lost = manager, false, false, false
	r.resume, r.stop = iter.Pull(func(yield func(struct{}) bool) {
		r.yield = yield
		for {
			err := manager.sync(context.Background())
			r.stale = r.stale && err != nil
			if !yield(struct{}{}) {
				return
			}
		}
	})
}

var errNetwork = errors.New("the network is down")

// request lets others go first, and says whether the request gets there, and whether
// its answer gets back.
func (r *modelReplica) request(do func() error) error {
	if !r.yield(struct{}{}) || r.cut || r.model.random.IntN(50) == 0 {
		return errNetwork
	}
	err := do()
	if r.model.random.IntN(50) == 0 {
		return errNetwork
	}
	return err
}

func (r *modelReplica) readSecret(ctx context.Context) (s secret, err error) {
	err = r.request(func() (err error) { s, err = r.fakeStore.readSecret(ctx); return err })
	return s, err
}

func (r *modelReplica) writeSecret(ctx context.Context, s secret) error {
	return r.request(func() error { return r.fakeStore.writeSecret(ctx, s) })
}

func (r *modelReplica) readAPIServices(ctx context.Context) (all []*apiService, err error) {
	err = r.request(func() (err error) { all, err = r.fakeStore.readAPIServices(ctx); return err })
	return all, err
}

func (r *modelReplica) writeBundle(ctx context.Context, s *apiService, bundle []byte) error {
	return r.request(func() error { return r.fakeStore.writeBundle(ctx, s, bundle) })
}

func (m *model) advance(d time.Duration) {
	m.now = m.now.Add(d)
	for _, r := range m.replicas {
		r.clock.SetTime(m.now.Add(r.skew))
	}
}

// check has every replica that gets requests serve what every bundle accepts.
func (m *model) check() {
	for _, r := range m.replicas {
		if r.manager.Ready() != nil {
			continue
		}
		served := r.manager.current().cert
		m.certificates[string(served.Raw)] = true
		// Nobody can help a replica that was cut off for too long, until it has come back.
		r.lost = r.lost || (r.stale && expired(served, m.now))
		name := m.refuses(served)
		if name != "" && !r.lost {
			m.t.Fatalf("replica %d serves what %s may refuse\n%s", r.id, name, strings.Join(m.log[max(0, len(m.log)-60):], "\n"))
		}
		r.lost = r.lost && name != ""
	}
}

// refuses names an APIService by a bundle of which a certificate may be refused now.
func (m *model) refuses(served *x509.Certificate) string {
	for name, all := range m.bundles {
		for _, b := range all {
			if b.foreign || (!b.until.IsZero() && m.now.After(b.until)) {
				continue
			}
			m.checks++
			if !slices.ContainsFunc(b.trusted, func(ca *x509.Certificate) bool { return m.accepts(ca, served) }) {
				return name
			}
		}
	}
	return ""
}

// accepts tells whether an aggregator that trusts a CA would accept a certificate now.
func (m *model) accepts(ca, served *x509.Certificate) bool {
	pair := [2]string{string(ca.Raw), string(served.Raw)}
	valid, known := m.accepted[pair]
	if !known {
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		_, err := served.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: m.now, DNSName: "metrics-server.kube-system.svc"})
		valid = err == nil
		m.accepted[pair] = valid
	}
	m.authorities[string(ca.Raw)] = true
	return valid && !expired(ca, m.now) && !expired(served, m.now)
}

// act has something happen.
func (m *model) act() {
	r := m.replicas[m.random.IntN(len(m.replicas))]
	switch n := m.random.IntN(1000); {
	case n < 2 && m.bundleLeft(""):
		m.spoilSecret()
	case n < 4:
		m.logf("replica %d is cut off: %v", r.id, !r.cut)
		r.cut, r.stale = !r.cut, true
	case n < 6 && m.othersServe(r):
		m.logf("replica %d is started again", r.id)
		r.stop()
		r.start()
		m.restarts++
	case n < 8:
		// What is trusted is lost if it is so everywhere at the same time.
		if name := apiServiceNames[m.random.IntN(len(apiServiceNames))]; m.secretLeft() && m.bundleLeft(name) {
			m.spoilService(name)
		}
	case n < 400:
		m.advance(time.Duration(m.random.Int64N(int64(time.Second))))
	default:
		r.resume()
	}
}

// othersServe tells whether there is a replica that remembers, beside one.
func (m *model) othersServe(r *modelReplica) bool {
	for _, other := range m.replicas {
		if other != r && other.manager.Ready() == nil && !other.stale {
			return true
		}
	}
	return false
}

func (m *model) secretLeft() bool {
	if m.store.secret == nil {
		return false
	}
	_, err := parseContent(m.store.secret.data)
	return err == nil
}

// bundleLeft tells whether there is an APIService, but for one, with a good bundle.
func (m *model) bundleLeft(except string) bool {
	for name, all := range m.bundles {
		if name != except && !all[len(all)-1].foreign {
			return true
		}
	}
	return false
}

func (m *model) spoilSecret() {
	if m.store.secret == nil || m.random.IntN(3) == 0 {
		m.logf("the Secret is deleted")
		m.store.secret = nil
		return
	}
	key := dataKeys[m.random.IntN(len(dataKeys))]
	other := dataKeys[m.random.IntN(len(dataKeys))]
	m.logf("%s in the Secret becomes %s, or garbage", key, other)
	data := map[string][]byte{}
	for k, v := range m.store.secret.data {
		data[k] = v
	}
	data[key] = data[other]
	if key == other {
		data[key] = []byte("garbage")
	}
	m.store.setSecret(data)
}

func (m *model) spoilService(name string) {
	service, ok := m.store.services[name]
	switch n := m.random.IntN(4); {
	case !ok || n == 0: // made, or made again
		m.store.setService(apiService{name: name, dnsName: "metrics-server.kube-system.svc"}, nil)
		m.setBundle(name, nil, true)
	case n == 1:
		delete(m.store.services, name)
		m.setBundle(name, nil, true)
	case n == 2:
		toggled := *service
		toggled.insecure = !service.insecure
		m.store.setService(toggled, nil)
		m.setBundle(name, nil, true)
	default:
		m.store.setService(*service, []byte("foreign"))
		m.setBundle(name, nil, true)
	}
}

// settle lets all work for a while, undisturbed.
func (m *model) settle() {
	for _, name := range apiServiceNames {
		m.store.setService(apiService{name: name, dnsName: "metrics-server.kube-system.svc"}, nil)
		m.setBundle(name, nil, true)
	}
	for _, r := range m.replicas {
		r.cut = false
	}
	var err error
	for deadline := m.now.Add(modelValidity); m.now.Before(deadline); {
		m.advance(20 * time.Millisecond)
		m.replicas[m.random.IntN(len(m.replicas))].resume()
		m.check()
		if err = m.checkConverged(); err == nil {
			return
		}
	}
	m.t.Error(err)
}

// Whatever happens, replicas serve only what every aggregator accepts, and end up with
// one certificate.
func TestModel(t *testing.T) {
	for seed := range uint64(*modelSeeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, seed)
			defer func() {
				for _, r := range m.replicas {
					r.stop()
				}
			}()
			for range modelActions {
				m.act()
				m.check()
			}
			m.settle()
			t.Logf("%s, %d checks, %d certificates, %d authorities, %d restarts", m.now.Sub(start), m.checks, len(m.certificates), len(m.authorities), m.restarts)
			if minutes := int(m.now.Sub(start).Minutes()); minutes < 20 || len(m.certificates) < minutes/2 || len(m.authorities) < 2 || m.checks < modelActions {
				t.Error("too little happened")
			}
		})
	}
}

func (m *model) checkConverged() error {
	if m.store.secret == nil {
		return errors.New("there is no Secret")
	}
	c, err := parseContent(m.store.secret.data)
	if err != nil {
		return err
	}
	for _, name := range apiServiceNames {
		if service := m.store.services[name]; service.needs(c.bundle()) {
			return fmt.Errorf("%s has another bundle than the Secret", name)
		}
	}
	for _, r := range m.replicas {
		if served := r.manager.current(); !served.cert.Equal(c.serving.cert) {
			return fmt.Errorf("replica %d serves another certificate than the Secret's", r.id)
		}
		if err := r.manager.Ready(); err != nil {
			return fmt.Errorf("replica %d: %w", r.id, err)
		}
	}
	return nil
}
