// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletsim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
)

const goodToken = "good"

// epoch is a whole multiple of the sample interval.
var epoch = time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)

// startSimulation accepts goodToken, and client certificates where o has CAs.
func startSimulation(t testing.TB, o Options) *Simulation {
	t.Helper()
	if o.CA == nil {
		o.CA = newCA(t)
	}
	o.Authenticate = func(token string) bool { return token == goodToken }
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func newCA(t testing.TB) *CA {
	t.Helper()
	ca, err := NewCA("kubelet CA")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func addNode(t testing.TB, s *Simulation, name string) *Node {
	t.Helper()
	n, err := s.AddNode(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// fixture is one simulation with one node on a fake clock, and a client.
type fixture struct {
	t          *testing.T
	clock      *testingclock.FakeClock
	ca         *CA
	simulation *Simulation
	node       *Node
	client     *http.Client
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: testingclock.NewFakeClock(epoch), ca: newCA(t)}
	f.simulation = startSimulation(t, Options{CA: f.ca, Clock: f.clock})
	f.node = addNode(t, f.simulation, "node-1")
	f.client = newClient(t, &tls.Config{RootCAs: f.ca.Pool()}, false)
	return f
}

func newClient(t *testing.T, config *tls.Config, http2 bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: http2, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func url(s *Simulation, n *Node, path string) string {
	return fmt.Sprintf("https://%s:%d%s", n.Address(), s.Port(), path)
}

func newRequest(ctx context.Context, t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+goodToken)
	return r
}

// response is an answer, read to its end.
type response struct {
	status int
	header http.Header
	body   []byte
	// err is how reading the body ended, nil where it was complete.
	err error
}

// try sends a request and reads the answer.
func (f *fixture) try(r *http.Request) (response, error) {
	answer, err := f.client.Do(r)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return response{answer.StatusCode, answer.Header, body, err}, nil
}

func (f *fixture) get(path string, header ...string) response {
	f.t.Helper()
	r := newRequest(f.t.Context(), f.t, url(f.simulation, f.node, path))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := f.try(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer
}

func (f *fixture) setPods(pods ...Pod) {
	f.t.Helper()
	if err := f.node.SetPods(pods); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) setFaults(list ...Fault) {
	f.t.Helper()
	if err := f.node.SetFaults(list...); err != nil {
		f.t.Fatal(err)
	}
}

func TestEachNodeHasItsOwnAddressAndCertificate(t *testing.T) {
	ca := newCA(t)
	s := startSimulation(t, Options{CA: ca})
	// The first addresses reach from .0 over .255 into the next octet.
	var nodes []*Node
	for i := range 258 {
		nodes = append(nodes, addNode(t, s, fmt.Sprintf("node-%d", i)))
	}
	wanted := map[int]string{0: "127.16.0.0", 1: "127.16.0.1", 255: "127.16.0.255", 256: "127.16.1.0", 257: "127.16.1.1"}
	for i, address := range wanted {
		if got := nodes[i].Address(); got != address {
			t.Fatalf("address of node %d = %s, want %s", i, got, address)
		}
		leaf := handshake(t, ca, nodes[i].Address(), s.Port())
		if err := leaf.VerifyHostname(nodes[i].Name()); err != nil {
			t.Error(err)
		}
		if err := leaf.VerifyHostname(address); err != nil {
			t.Error(err)
		}
		if len(leaf.DNSNames) != 1 || len(leaf.IPAddresses) != 1 {
			t.Errorf("node %d has a certificate for %v and %v", i, leaf.DNSNames, leaf.IPAddresses)
		}
	}
}

// handshake verifies the certificate for the address and returns it.
func handshake(t *testing.T, ca *CA, address string, port int) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", net.JoinHostPort(address, fmt.Sprint(port)), &tls.Config{RootCAs: ca.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func TestPEMIsTrusted(t *testing.T) {
	f := newFixture(t)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(f.ca.PEM()) {
		t.Fatal("no certificate in the PEM")
	}
	f.client = newClient(t, &tls.Config{RootCAs: pool}, false)
	if got := f.get(healthPath).status; got != http.StatusOK {
		t.Errorf("status = %d", got)
	}
}

func TestNodeAddressesOfALargeSimulation(t *testing.T) {
	for i, want := range map[int]string{65535: "127.16.255.255", 65536: "127.17.0.0", maxNodes - 1: "127.254.255.255"} {
		if got := nodeAddress(i).String(); got != want {
			t.Errorf("address of node %d = %s, want %s", i, got, want)
		}
	}
}

func TestAddNodeRefusals(t *testing.T) {
	s := startSimulation(t, Options{ListenAddress: "127.0.0.1:0"})
	n := addNode(t, s, "only")
	if n.Address() != "127.0.0.1" {
		t.Errorf("address = %s", n.Address())
	}
	for name, want := range map[string]string{"": "needs a name", "only": "already", "second": "listen on 0.0.0.0"} {
		if _, err := s.AddNode(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("AddNode(%q) = %v, want an error with %q", name, err, want)
		}
	}
}

func TestStartRefusals(t *testing.T) {
	ca := newCA(t)
	taken := startSimulation(t, Options{CA: ca})
	cases := map[string]Options{
		"Options.CA":                 {},
		"Options.ListenAddress":      {CA: ca, ListenAddress: fmt.Sprintf("0.0.0.0:%d", taken.Port())},
		"Options.NodeSampleInterval": {CA: ca, NodeSampleInterval: -time.Second},
	}
	for want, o := range cases {
		s, err := Start(o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Start = %v, want an error with %q", err, want)
		}
	}
}

func TestRemovedNodeResetsConnections(t *testing.T) {
	f := newFixture(t)
	f.get(healthPath)
	if found, ok := f.simulation.Node("node-1"); !ok || found != f.node {
		t.Fatal("the node is not found by its name")
	}
	if !f.simulation.RemoveNode("node-1") || f.simulation.RemoveNode("node-1") {
		t.Fatal("RemoveNode does not tell whether there was a node")
	}
	_, err := f.try(newRequest(t.Context(), t, url(f.simulation, f.node, healthPath)))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error = %v, want a connection reset", err)
	}
	again := addNode(t, f.simulation, "node-1")
	if again.Address() == f.node.Address() {
		t.Error("the new node has the address of the old one")
	}
}

func TestAuthentication(t *testing.T) {
	ca, otherCA := newCA(t), newCA(t)
	s := startSimulation(t, Options{
		CA:        ca,
		ClientCAs: ca.Pool(),
		Authorize: func(u User) bool {
			inGroup := len(u.Groups) == 1 && u.Groups[0] == "readers"
			return u.Token == goodToken || u.Name == "reader" && inGroup
		},
	})
	n := addNode(t, s, "node-1")
	cases := []struct {
		name        string
		issuer      *CA
		user, group string
		token       string
		want        int
	}{
		{"no credentials", nil, "", "", "", http.StatusUnauthorized},
		{"good token", nil, "", "", goodToken, http.StatusOK},
		{"bad token", nil, "", "", "bad", http.StatusUnauthorized},
		{"certificate", ca, "reader", "readers", "", http.StatusOK},
		{"certificate of a user without rights", ca, "stranger", "readers", "", http.StatusForbidden},
		{"certificate of another CA", otherCA, "reader", "readers", "", http.StatusUnauthorized},
		{"certificate of another CA and good token", otherCA, "reader", "readers", goodToken, http.StatusOK},
	}
	for _, c := range cases {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %t", c.name, http2), func(t *testing.T) {
				config := &tls.Config{RootCAs: ca.Pool()}
				if c.issuer != nil {
					certificate, err := c.issuer.ClientCertificate(c.user, c.group)
					if err != nil {
						t.Fatal(err)
					}
					// Left to choose, the client would not show a certificate that no CA
					// of the server's list has issued.
					config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						return &certificate, nil
					}
				}
				r := newRequest(t.Context(), t, url(s, n, resourceMetricsPath))
				r.Header.Del("Authorization")
				if c.token != "" {
					r.Header.Set("Authorization", "Bearer "+c.token)
				}
				answer, err := newClient(t, config, http2).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				if answer.StatusCode != c.want {
					t.Errorf("status = %d, want %d", answer.StatusCode, c.want)
				}
				if http2 != (answer.ProtoMajor == 2) {
					t.Errorf("protocol = %s", answer.Proto)
				}
			})
		}
	}
}

func TestPathsAndCounts(t *testing.T) {
	f := newFixture(t)
	wanted := map[Request]int{
		{resourceMetricsPath, 200}: 2,
		{summaryPath, 200}:         1,
		{summaryPath, 404}:         1,
		{healthPath, 200}:          1,
		{"/metrics", 404}:          1,
	}
	for i, path := range []string{
		resourceMetricsPath, resourceMetricsPath, summaryPath + "?only_cpu_and_memory=true", summaryPath, healthPath, "/metrics",
	} {
		f.get(path)
		total := 0
		for _, count := range f.node.Requests() {
			total += count
		}
		if total != i+1 {
			t.Errorf("%d requests counted after %d", total, i+1)
		}
	}
	got := f.node.Requests()
	for kind, count := range wanted {
		if got[kind] != count {
			t.Errorf("requests %v = %d, want %d", kind, got[kind], count)
		}
	}
	if f.node.Connections() != 1 {
		t.Errorf("connections = %d, want 1 that is kept alive", f.node.Connections())
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	leaktest.Check(t)
	ca := newCA(t)
	s := startSimulation(t, Options{CA: ca})
	hanging := addNode(t, s, "hanging")
	endless := addNode(t, s, "endless")
	sound := addNode(t, s, "sound")
	for n, fault := range map[*Node]Fault{hanging: Hang(), endless: EndlessBody()} {
		if err := n.SetFaults(fault); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error)
	for _, http2 := range []bool{false, true} {
		client := newClient(t, &tls.Config{RootCAs: ca.Pool()}, http2)
		for _, n := range []*Node{hanging, endless, sound} {
			r := newRequest(t.Context(), t, url(s, n, resourceMetricsPath))
			go func() {
				answer, err := client.Do(r)
				if err == nil {
					_, err = io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
				}
				ended <- err
			}()
		}
	}
	poll(t, "requests in flight", func() bool {
		return hanging.Requests()[Request{resourceMetricsPath, 0}] == 2 && endless.Requests()[Request{resourceMetricsPath, 200}] == 2
	})
	s.Close()
	s.Close()
	failed := 0
	for range 6 {
		if err := <-ended; err != nil {
			failed++
		}
	}
	if failed < 4 {
		t.Errorf("%d requests failed, want at least the 4 that were in flight", failed)
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port())); err == nil {
		c.Close()
		t.Error("the port still answers")
	}
}

// poll waits until the condition holds; the test's own deadline bounds it.
func poll(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for !condition() {
		select {
		case <-t.Context().Done():
			t.Fatalf("waiting for %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// Whoever observes is told of each request once it is answered, or given up.
func TestObserve(t *testing.T) {
	observed := make(chan Request, 10)
	ca := newCA(t)
	s := startSimulation(t, Options{CA: ca, Observe: func(n *Node, r Request) {
		if n.Index() != 1 {
			t.Errorf("node %d was asked", n.Index())
		}
		observed <- r
	}})
	addNode(t, s, "node-0")
	node := addNode(t, s, "node-1")
	f := &fixture{t: t, ca: ca, simulation: s, node: node, client: newClient(t, &tls.Config{RootCAs: ca.Pool()}, false)}
	f.get(resourceMetricsPath)
	f.get("/absent")
	f.setFaults(Status(http.StatusForbidden))
	f.get(resourceMetricsPath)
	want := []Request{{resourceMetricsPath, 200}, {"/absent", 404}, {resourceMetricsPath, 403}}
	for _, w := range want {
		if got := <-observed; got != w {
			t.Errorf("%+v, want %+v", got, w)
		}
	}
}
