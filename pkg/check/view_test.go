// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/status"
)

// fakeServer is a metrics server with a status.
type fakeServer struct {
	*httptest.Server
	token atomic.Value // that was shown last
}

func newFakeServer(t *testing.T, s status.Status) *fakeServer {
	t.Helper()
	f := &fakeServer{}
	f.token.Store("")
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.token.Store(r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") != "Bearer user-token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(w).Encode(s)
	}))
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	return f
}

// start serves with the certificate of httptest, which is for example.com.
func (f *fakeServer) start(t *testing.T) *fakeServer {
	t.Helper()
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

// startFor serves with a certificate for a name, and returns its CA.
func (f *fakeServer) startFor(t *testing.T, name string) (ca []byte) {
	t.Helper()
	cert, key, err := certutil.GenerateSelfSignedCertKey(name, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	f.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	f.start(t)
	return cert
}

// forwardTo lets a port of the server's pod lead to an address, over SPDY.
func (f *fakeAPI) forwardTo(address string) {
	f.set("/api/v1/namespaces/kube-system/pods/metrics-server-0/portforward", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet { // a WebSocket is asked for first
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		streams := make(chan httpstream.Stream, 8)
		w.Header().Set(httpstream.HeaderProtocolVersion, "portforward.k8s.io")
		conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		if conn == nil {
			return
		}
		defer func() { _ = conn.Close() }() // its client may have done so
		for {
			select {
			case <-conn.CloseChan():
				return
			case s := <-streams:
				if s.Headers().Get("streamType") == "error" {
					s.Close()
					continue
				}
				go pipe(s, address)
			}
		}
	}))
}

func pipe(s httpstream.Stream, address string) {
	defer s.Close()
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(conn, s)
		conn.Close()
	}()
	_, _ = io.Copy(s, conn)
}

// trust has the APIServices accept the fake server's certificate, or no longer.
func (f *fakeAPI) trust(t *testing.T, s *fakeServer, ca []byte) Config {
	t.Helper()
	for _, name := range apiServiceNames {
		f.set("/apis/apiregistration.k8s.io/v1/apiservices/"+name, apiServiceObject(name, ca))
	}
	c := f.config(t)
	c.ServerURL = s.URL
	return c
}

func certOf(s *fakeServer) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func sampleStatus() status.Status {
	return status.Status{
		Server: status.Server{Name: "metrics-server-0", Version: "v1", Started: now.Add(-time.Hour), Flags: map[string]string{"tls-secret": "kube-system/metrics-server-tls"}},
		Totals: status.Totals{PodsServed: 7, PodsWithheld: map[string]int{"incomplete": 1}},
		Nodes: []status.Node{
			{Name: "n1", State: status.StateFailing, Reason: "forbidden", Message: "403 Forbidden", Sample: now.Add(-time.Minute)},
			{Name: "n2", State: status.StateOK, Served: true, CertificateExpires: now.Add(time.Hour), Sample: now},
			{Name: "n3", State: status.StateNew},
			{Name: "n4", State: status.StatePartial, Reason: "timestamp", Message: "for example c", Served: true},
			{Name: "n5", State: status.StateOK, Served: true, SampleAge: 300, Sample: now.Add(-5 * time.Minute)},
			{Name: "n6", State: status.StateWithheld, Reason: "incomplete", Message: "lacks"},
		},
		WithheldPods: status.WithheldPods{Selected: 1, Pods: []status.Pod{{Namespace: "default", Name: "web", Node: "n2", Reason: "incomplete", Message: "container c"}}},
	}
}

// The certificate of httptest is for example.com, which no Service is: a token must not be
// shown, whatever the user allows.
func TestTokenIsNotShown(t *testing.T) {
	f, s := newFakeAPI(t), newFakeServer(t, sampleStatus()).start(t)
	c := f.trust(t, s, certOf(s))
	for _, send := range []bool{false, true} {
		c.SendToken = send
		r := f.run(t, c)
		if token := s.token.Load(); token != "" {
			t.Errorf("the server was shown %q", token)
		}
		if skipped := strings.Join(r.stepOf("server").NotChecked, ""); !strings.Contains(skipped, "token") {
			t.Errorf("%q", skipped)
		}
		mustFind(t, r, codeServingName, "metrics-server.kube-system.svc")
	}
}

// judged runs the steps about nodes and pods with what a server says.
func judged(t *testing.T, s status.Status) *Report {
	t.Helper()
	f := newFakeAPI(t)
	var nodes []corev1.Node
	for _, n := range s.Nodes {
		nodes = append(nodes, testNode(n.Name))
	}
	f.setNodes(nodes...)
	c := f.checker(t)
	c.view = serverView{known: true, status: s, nodes: map[string]*status.Node{}}
	for i := range s.Nodes {
		c.view.nodes[s.Nodes[i].Name] = &s.Nodes[i]
	}
	for _, step := range c.lastSteps() {
		c.step(context.Background(), step)
	}
	c.report.finish()
	return &c.report
}

func TestServersWord(t *testing.T) {
	r := judged(t, sampleStatus())
	for code, object := range map[Code]string{
		"kubelet-forbidden": "node/n1", codeCertExpiring: "node/n2", codeNodeRefused: "node/n4", codeNodeOld: "node/n5",
		codeNodeIncomplete: "node/n6", codePodIncomplete: "pod/web -n default",
	} {
		if f := mustFind(t, r, code, ""); len(f.Objects) != 1 || f.Objects[0] != object || len(f.Mend) == 0 {
			t.Errorf("%+v", f)
		}
	}
	facts := strings.Join(append(r.stepOf("nodes").Facts, r.stepOf("pods").Facts...), "\n")
	for _, want := range []string{"1 of 6 nodes are scraped and served", "scraped twice: 1", "7 pods are served"} {
		if !strings.Contains(facts, want) {
			t.Errorf("no %q in %s", want, facts)
		}
	}
}

// A port of the pod is forwarded, and its certificate looked at.
func TestForward(t *testing.T) {
	f, s := newFakeAPI(t), newFakeServer(t, sampleStatus())
	ca := s.startFor(t, "metrics-server.kube-system.svc")
	f.forwardTo(s.Listener.Addr().String())
	c := f.trust(t, s, ca)
	c.ServerURL, c.SendToken = "", true
	c.Clock = clock.RealClock{} // by which the certificate is valid
	r := f.run(t, c)
	if facts := strings.Join(r.stepOf("server").Facts, "\n"); !strings.Contains(facts, "metrics-server-0 has version v1") {
		t.Errorf("%s", r.text(t))
	}
	if facts := strings.Join(r.stepOf("apiservices").Facts, "\n"); !strings.Contains(facts, "its caBundle is right") {
		t.Errorf("%s", facts)
	}
	if token := s.token.Load(); token != "Bearer user-token" {
		t.Errorf("the server was shown %q", token)
	}
}

// An API server that is silent about a port is not waited for when the check ends.
func TestForwardHangs(t *testing.T) {
	f := newFakeAPI(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	enough := errors.New("enough")
	f.set("/api/v1/namespaces/kube-system/pods/metrics-server-0/portforward", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		cancel(enough)
		<-release
	}))
	if _, err := Run(ctx, f.config(t)); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
}

// A pod that cannot be forwarded to is no reason to stop.
func TestNoForward(t *testing.T) {
	f := newFakeAPI(t)
	r := f.run(t, f.config(t))
	if skipped := strings.Join(r.stepOf("server").NotChecked, ""); !strings.Contains(skipped, "port-forward to pod kube-system/metrics-server-0") {
		t.Errorf("%q", skipped)
	}
}
