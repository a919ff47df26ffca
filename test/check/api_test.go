// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
)

// The way from the API server to the metrics server.
func TestAPIServices(t *testing.T) {
	const v1beta1 = "apiservice/v1beta1.metrics.k8s.io"
	patch := func(spec string) func(*testing.T) {
		return func(t *testing.T) {
			restore(t)
			kubectl(t, "patch", "apiservice", "v1beta1.metrics.k8s.io", "--type=merge", "-p", `{"spec":`+spec+`}`)
		}
	}
	other, err := cluster.NewCertificateAuthority("another CA")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []breakage{
		{name: "no APIService v1beta1", code: "apiservice-missing", object: v1beta1, seen: "there is no APIService", mend: "kubectl apply", mends: true,
			breakIt: func(t *testing.T) {
				restore(t)
				kubectl(t, "delete", "apiservice", "v1beta1.metrics.k8s.io")
			}},
		{name: "no APIService v1", code: "apiservice-v1-missing", object: "apiservice/v1.metrics.k8s.io", seen: "there is no APIService", mend: "kubectl apply", mends: true, warning: true,
			breakIt: func(t *testing.T) {
				restore(t)
				kubectl(t, "delete", "apiservice", "v1.metrics.k8s.io")
			}},
		{name: "APIService of another Service", code: "apiservice-other-service", object: v1beta1, seen: "kube-system/old-metrics", mend: "kubectl patch apiservice", mends: true,
			breakIt: patch(`{"service":{"name":"old-metrics"}}`)},
		{name: "wrong CA bundle", code: "ca-bundle-wrong", object: v1beta1, seen: "unknown authority", mend: "caBundle", mends: true,
			breakIt: func(t *testing.T) {
				restore(t)
				if err := local.RegisterAPIServices(t.Context(), serverPort(t), other.CertPEM()); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "garbage as CA bundle", code: "ca-bundle-invalid", object: v1beta1, seen: "its caBundle", mend: "caBundle", mends: true,
			breakIt: patch(`{"caBundle":"Z2FyYmFnZQ=="}`)},
		{name: "no CA bundle", code: "ca-bundle-missing", object: v1beta1, seen: "no caBundle", mend: "caBundle", mends: true,
			breakIt: patch(`{"caBundle":null}`)},
		{name: "server not verified", code: "apiservice-not-verified", object: v1beta1, seen: "insecureSkipTLSVerify", mend: `{"insecureSkipTLSVerify":false}`, mends: true, warning: true,
			breakIt: patch(`{"insecureSkipTLSVerify":true,"caBundle":null}`)},
		{name: "nothing listens", code: "server-refuses-connections", object: v1beta1, seen: "connection refused", mend: "logs",
			breakIt: func(t *testing.T) {
				restore(t)
				port, err := cluster.FreePort()
				if err != nil {
					t.Fatal(err)
				}
				if err := local.RegisterAPIServices(t.Context(), port, local.CA().CertPEM()); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "another server behind the Service", code: "server-not-a-metrics-server", object: v1beta1, seen: "404", mend: "logs",
			breakIt: func(t *testing.T) {
				restore(t)
				other := httptest.NewTLSServer(http.NotFoundHandler())
				t.Cleanup(other.Close)
				port := portOf(t, other.URL)
				kubectl(t, "patch", "apiservice", "v1beta1.metrics.k8s.io", "--type=merge", "-p",
					fmt.Sprintf(`{"spec":{"service":{"port":%d},"insecureSkipTLSVerify":true,"caBundle":null}}`, port))
			}},
	} {
		t.Run(b.name, b.test)
	}
}

// serveWith has the APIServices lead to a server with another certificate.
func serveWith(t *testing.T, cert, key []byte) (serverURL string) {
	t.Helper()
	restore(t)
	dir := t.TempDir()
	files := map[string][]byte{"tls.crt": cert, "tls.key": key}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, serverURL, err := local.StartAnother("--tls-cert-file="+filepath.Join(dir, "tls.crt"), "--tls-private-key-file="+filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := local.RegisterAPIServices(t.Context(), portOf(t, serverURL), local.CA().CertPEM()); err != nil {
		t.Fatal(err)
	}
	return serverURL
}

func TestServingCertificate(t *testing.T) {
	t.Run("expired", func(t *testing.T) {
		b := breakage{name: "serving certificate expired", code: "serving-certificate-expired", seen: "expired", mend: "metrics-server.kube-system.svc"}
		b.breakIt = func(t *testing.T) {
			b.args = []string{"--server-url=" + serveWith(t, expired(t), serverKey(t))}
		}
		b.test(t)
	})
	t.Run("name", func(t *testing.T) {
		b := breakage{name: "serving certificate of another name", code: "serving-certificate-name", seen: "metrics-server.kube-system.svc", mend: "metrics-server.kube-system.svc"}
		b.breakIt = func(t *testing.T) {
			cert, key, err := local.CA().IssueServing([]string{"metrics.example"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			b.args = []string{"--server-url=" + serveWith(t, cert, key)}
		}
		b.test(t)
	})
}

// serverKey is what expired certificates are for.
func serverKey(t *testing.T) []byte {
	t.Helper()
	key, err := local.CA().KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// expired makes a certificate of the cluster's CA, with that one's key.
func expired(t *testing.T) []byte {
	t.Helper()
	pair, err := tls.X509KeyPair(local.CA().CertPEM(), serverKey(t))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "metrics-server"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		DNSNames: []string{"metrics-server.kube-system.svc", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, pair.Leaf, pair.Leaf.PublicKey, pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestNoAPIServer(t *testing.T) {
	port, err := cluster.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	config := local.AdminConfig()
	config.Host = fmt.Sprintf("https://127.0.0.1:%d", port)
	if err := cluster.WriteKubeconfig(kubeconfig, config); err != nil {
		t.Fatal(err)
	}
	r := runCommand(t, "--kubeconfig="+kubeconfig, "--output=json")
	f := r.find("api-server-unreachable", "")
	if f == nil || r.code != 2 {
		t.Fatalf("exit code %d: %s", r.code, r.stdout)
	}
	for _, step := range r.Steps[1:] {
		if step.Result != "not-checked" || len(step.NotChecked) != 1 {
			t.Errorf("step %s: %s %q", step.Name, step.Result, step.NotChecked)
		}
	}
	table.add(row{"API server away", string(f.Code), f.Objects[0], f.Seen, f.Mend[0], "", true})
}

// A user who may do nothing learns what could not be seen.
func TestNoRightsOfTheUser(t *testing.T) {
	config, err := local.ClientFor("somebody")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := cluster.WriteKubeconfig(kubeconfig, rest.CopyConfig(config)); err != nil {
		t.Fatal(err)
	}
	r := runCommand(t, "--kubeconfig="+kubeconfig, "--output=json")
	if r.code != 2 {
		t.Errorf("exit code %d: %s", r.code, r.stdout)
	}
	for _, step := range r.Steps {
		if (step.Name == "service" || step.Name == "rights" || step.Name == "nodes" || step.Name == "autoscalers") && step.Result != "not-checked" {
			t.Errorf("step %s is %s: %v", step.Name, step.Result, step.Facts)
		}
	}
}

// Without its front proxy, the API server routes to nobody.
func TestNoFrontProxy(t *testing.T) {
	plane, err := cluster.Start(t.Context(), cluster.Options{APIServerFlags: []string{
		"--requestheader-client-ca-file=", "--proxy-client-cert-file=", "--proxy-client-key-file=",
		"--requestheader-allowed-names=", "--requestheader-username-headers=", "--requestheader-group-headers=", "--requestheader-extra-headers-prefix=",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plane.Stop)
	r := runCommand(t, "--kubeconfig="+plane.AdminKubeconfig(), "--output=json")
	f := r.find("front-proxy-not-configured", "")
	if f == nil || r.code != 1 {
		t.Fatalf("exit code %d: %s", r.code, r.stdout)
	}
	table.add(row{"no aggregation", string(f.Code), f.Objects[0], f.Seen, f.Mend[0] + "\n" + f.Mend[1], "", true})
	// Nothing is installed there, either.
	for _, code := range []string{"apiservice-missing", "service-missing", "server-not-installed", "service-account-missing", "metrics-api-unavailable"} {
		f := r.find(code, "")
		if f == nil {
			t.Errorf("no %s among %q", code, r.codes())
			continue
		}
		table.add(row{"nothing is installed", string(f.Code), f.Objects[0], f.Seen, f.Mend[len(f.Mend)-1], "", true})
	}
}
