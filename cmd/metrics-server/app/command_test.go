// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	certutil "k8s.io/client-go/util/cert"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/version"
	"k8s.io/klog/v2"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
	"github.com/kubemeter/metrics-server/pkg/server"
	"github.com/kubemeter/metrics-server/pkg/servingcert"
)

func TestMain(m *testing.M) {
	// Every command that gets as far as to run applies the logging options.
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	os.Exit(leaktest.Run(func() int {
		defer klog.StopFlushDaemon() // the logging options start it
		return m.Run()
	}))
}

// testOptions has feature gates of its own.
func testOptions() *options {
	return newOptions(utilfeature.DefaultMutableFeatureGate.DeepCopy())
}

// result is what a command did.
type result struct {
	code           int
	stdout, stderr string
	// configs has what each call of run got.
	configs []server.Config
}

// command runs with args, on a loopback listener, and with run returning err.
func command(t *testing.T, err error, args ...string) result {
	t.Helper()
	listener, listenErr := net.Listen("tcp", "127.0.0.1:0")
	if listenErr != nil {
		t.Fatal(listenErr)
	}
	t.Cleanup(func() { listener.Close() })
	o := testOptions()
	o.apiServer.serving.Listener = listener
	return commandOf(o, err, args...)
}

func commandOf(o *options, err error, args ...string) result {
	var r result
	var stdout, stderr bytes.Buffer
	r.code = execute(context.Background(), o, args, &stdout, &stderr, func(_ context.Context, c server.Config) error {
		r.configs = append(r.configs, c)
		end(c.APIServer.SecureServing)
		return err
	})
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

// end has what was made to watch certificates begin and end, as a server does: the
// queues of its work were made with it, and have goroutines.
func end(serving *genericapiserver.SecureServingInfo) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, content := range []any{serving.Cert, serving.ClientCA} {
		if runner, ok := content.(dynamiccertificates.ControllerRunner); ok {
			runner.Run(ended, 1)
		}
	}
}

// outside has the process be in no pod.
func outside(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBERNETES_SERVICE_PORT", "")
}

// working is flags with which a server starts outside of a cluster.
func working(t *testing.T) []string {
	t.Helper()
	outside(t)
	kubeconfig := file(t, "kubeconfig", `{"kind":"Config","apiVersion":"v1",
"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}],
"users":[{"name":"u","user":{"token":"secret"}}],
"contexts":[{"name":"x","context":{"cluster":"c","user":"u"}}],"current-context":"x"}`)
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--authentication-skip-lookup",
		"--cert-dir=" + t.TempDir(),
	}
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keyPair writes a certificate, which is its own CA, and its key.
func keyPair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	cert, key, err := certutil.GenerateSelfSignedCertKey("localhost", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "tls.crt", string(cert)), file(t, "tls.key", string(key))
}

func TestHelp(t *testing.T) {
	for _, arg := range []string{"-h", "--help"} {
		r := command(t, nil, arg)
		if r.code != 0 || r.stderr != "" || len(r.configs) != 0 {
			t.Errorf("%s: %+v", arg, r)
		}
		for _, part := range []string{
			"\nUsage:\n  metrics-server [flags]\n",
			"\nMetrics server flags:\n", "\nGeneric flags:\n", "\nKubelet client flags:\n",
			"\nApiserver secure serving flags:\n", "\nApiserver authentication flags:\n",
			"\nApiserver authorization flags:\n", "\nApiserver audit log flags:\n",
			"\nFeatures flags:\n", "\nLogging flags:\n",
			"  -l, --node-selector string ", "--metric-max-age duration ",
		} {
			if !strings.Contains(r.stdout, part) {
				t.Errorf("%s: the help text has no %q", arg, part)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	r := command(t, nil, "--version", "--metric-resolution=1s")
	if r.code != 0 || r.stdout != version.Get().GitVersion+"\n" || r.stderr != "" || len(r.configs) != 0 {
		t.Errorf("got %+v", r)
	}
}

func TestRunWithDefaults(t *testing.T) {
	r := command(t, nil, working(t)...)
	if r.code != 0 || r.stderr != "" || len(r.configs) != 1 {
		t.Fatalf("got %+v", r)
	}
	c := r.configs[0]
	if c.Resolution != time.Minute || c.MaxAge != 4*time.Minute || c.ScrapeWorkers != 0 || c.PerNodeMetrics {
		t.Errorf("got %+v", c)
	}
	if !c.NodeSelector.Empty() {
		t.Errorf("nodes are selected by %q", c.NodeSelector)
	}
	if c.Client.Host != "https://127.0.0.1:1" || c.Client.BearerToken != "secret" ||
		c.Client.ContentType != "application/vnd.kubernetes.protobuf" ||
		c.Client.AcceptContentTypes != "application/vnd.kubernetes.protobuf,application/json" ||
		!strings.HasPrefix(c.Client.UserAgent, "metrics-server/v") {
		t.Errorf("the client of the API server is %+v", c.Client)
	}
	if c.Kubelet.Client.BearerToken != "secret" || c.Kubelet.Insecure || c.Kubelet.Client.Insecure {
		t.Errorf("the client of kubelets is %+v", c.Kubelet)
	}
	if c.ServingCertificate != nil || c.APIServer.SecureServing.Cert == nil {
		t.Error("the certificate is not the self-signed one")
	}
	if c.APIServer.SecureServing == nil || c.APIServer.LoopbackClientConfig == nil ||
		c.APIServer.Authentication.Authenticator == nil || c.APIServer.Authorization.Authorizer == nil {
		t.Errorf("the options of the API server are not all applied: %+v", c.APIServer)
	}
	if c.APIServer.FlowControl != nil || c.APIServer.MaxRequestsInFlight != 400 || !c.APIServer.EnableProfiling ||
		c.APIServer.ShutdownWatchTerminationGracePeriod != 5*time.Second {
		t.Errorf("the features of the API server are %+v", c.APIServer)
	}
	if got := c.APIServer.EffectiveVersion.BinaryVersion().String(); got != version.DefaultKubeBinaryVersion {
		t.Errorf("the API server has the features of version %s, want %s", got, version.DefaultKubeBinaryVersion)
	}
}

func TestRunWithFlags(t *testing.T) {
	r := command(t, nil, append(working(t),
		"--metric-resolution=15s", "--metric-max-age=40s", "--scrape-workers=7", "--kubelet-per-node-metrics",
		"-l", "zone in (a,b),!spot,gpu", "--profiling=false", "--request-timeout=5s")...)
	if r.code != 0 || r.stderr != "" || len(r.configs) != 1 {
		t.Fatalf("got %+v", r)
	}
	c := r.configs[0]
	if c.Resolution != 15*time.Second || c.Kubelet.Resolution != 15*time.Second || c.MaxAge != 40*time.Second ||
		c.ScrapeWorkers != 7 || !c.PerNodeMetrics {
		t.Errorf("got %+v", c)
	}
	if !c.NodeSelector.Matches(labels.Set{"zone": "b", "gpu": ""}) || c.NodeSelector.Matches(labels.Set{"zone": "b", "gpu": "", "spot": ""}) {
		t.Errorf("nodes are selected by %q", c.NodeSelector)
	}
	if c.APIServer.EnableProfiling || c.APIServer.RequestTimeout != 5*time.Second {
		t.Errorf("the API server is %+v", c.APIServer)
	}
}

// The server that keeps its certificate itself writes none to --cert-dir.
func TestManagedCertificate(t *testing.T) {
	dir := t.TempDir()
	r := command(t, nil, append(working(t), "--cert-dir="+dir, "--tls-secret=kube-system/metrics-server-tls", "--tls-secret-validity=1h")...)
	if r.code != 0 || r.stderr != "" || len(r.configs) != 1 {
		t.Fatalf("got %+v", r)
	}
	want := servingcert.Config{Secret: types.NamespacedName{Namespace: "kube-system", Name: "metrics-server-tls"}, Validity: time.Hour}
	if got := r.configs[0].ServingCertificate; got == nil || *got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if r.configs[0].APIServer.SecureServing.Cert != nil {
		t.Error("there is another certificate")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%v was written, %v", files, err)
	}
}

// What fails while it runs goes to the log.
func TestRunFails(t *testing.T) {
	r := command(t, errors.New("something"), working(t)...)
	if r.code != 1 || r.stderr != "" || r.stdout != "" {
		t.Errorf("got %+v", r)
	}
}

func TestPortInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	r := commandOf(testOptions(), nil, append(working(t), "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port))...)
	want := fmt.Sprintf("Error: --bind-address=127.0.0.1 --secure-port=%d: failed to create listener: "+
		"failed to listen on 127.0.0.1:%d: listen tcp 127.0.0.1:%d: bind: address already in use\n", port, port, port)
	if r.code != 1 || r.stderr != want || len(r.configs) != 0 {
		t.Errorf("got %+v\nwant %s", r, want)
	}
}

func TestCertDir(t *testing.T) {
	args := working(t)
	dir := t.TempDir()
	if r := command(t, nil, append(slices.Clone(args), "--cert-dir="+dir)...); r.code != 0 {
		t.Fatalf("got %+v", r)
	}
	for _, name := range []string{"apiserver.crt", "apiserver.key"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}

	// A file where the directory would be is as bad as a read-only file system,
	// and bad for root, too.
	dir = filepath.Join(file(t, "file", ""), "certificates")
	r := command(t, nil, append(slices.Clone(args), "--cert-dir="+dir)...)
	want := fmt.Sprintf("Error: --cert-dir=%s: the self-signed serving certificate cannot be written there (mkdir %s: not a directory): "+
		"give a writable directory, or a certificate with --tls-cert-file and --tls-private-key-file\n", dir, filepath.Dir(dir))
	if r.code != 1 || r.stderr != want || len(r.configs) != 0 {
		t.Errorf("got %+v\nwant %s", r, want)
	}
}
