// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/eventually"
)

// copied are values that people copy: those of the examples of the chart of kubernetes-sigs, and
// arguments that its documentation and its users name most.
var copied = []string{
	"args={--kubelet-insecure-tls}",
	"args={--kubelet-insecure-tls},apiService.insecureSkipTLSVerify=false,tls.type=cert-manager",
	"args={--kubelet-insecure-tls},tls.type=existingSecret,tls.existingSecret.name=metrics-server-existing",
	"args={--kubelet-insecure-tls},apiService.insecureSkipTLSVerify=false,tls.type=helm",

	"args={--kubelet-preferred-address-types=InternalIP}",
	`args={--kubelet-preferred-address-types=InternalIP\,Hostname\,InternalDNS\,ExternalDNS\,ExternalIP}`,
	"args={--metric-resolution=30s}",
	"args={--secure-port=4443}",
	"args={-l,kubernetes.io/os=linux}",
	"args={--v=2}",
	`args={--tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,--tls-min-version=VersionTLS12}`,
	"args={--requestheader-allowed-names=front-proxy-client,--requestheader-username-headers=X-Remote-User}",
	"args={--cert-dir=/tmp}",
	"args={--profiling=false}",
	"args={--authorization-always-allow-paths=/livez\\,/readyz\\,/metrics}",
}

// TestCopiedValues starts the server with the command line that the pod would have.
func TestCopiedValues(t *testing.T) {
	s := installServer(t)
	for _, values := range copied {
		t.Run(values, func(t *testing.T) {
			out := must[string](t)(s.run(t.Context(), "template", "metrics-server", chart(), "--namespace", s.namespace,
				"--kube-version="+plane.Version(), "--set", values, "--show-only=templates/deployment.yaml"))
			args := serverContainer(t, out).Args
			t.Logf("%q", args)
			port := must[int](t)(cluster.FreePort())
			r := *s
			r.args = append(s.onThisMachine(t, args), fmt.Sprint("--secure-port=", port))
			p, stop := r.start(t)
			s.starts = r.starts
			config := plane.AnonymousConfig()
			config.Host = fmt.Sprintf("https://localhost:%d", port)
			config.TLSClientConfig = rest.TLSClientConfig{Insecure: true}
			client := must[*http.Client](t)(rest.HTTPClientFor(config))
			defer client.CloseIdleConnections()
			eventually.Succeeds(t, patience, func() error {
				select {
				case <-p.Exited():
					t.Fatalf("the server ended:\n%s", serverLog(t, p))
				default:
				}
				_, err := read(t.Context(), client, config.Host+"/livez")
				return err
			})
			stop()
		})
	}
}

// onThisMachine are arguments of a pod, with the files that it mounts, and the connections of a
// process.
func (s *installed) onThisMachine(t *testing.T, args []string) (all []string) {
	t.Helper()
	dir := t.TempDir()
	ca := must[*cluster.CertificateAuthority](t)(cluster.NewCertificateAuthority("test"))
	cert, key, err := ca.IssueServing([]string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"tls.crt": string(cert), "tls.key": string(key), "ca.crt": string(ca.CertPEM())} {
		writeFile(t, filepath.Join(dir, name), text)
	}
	insecure := false
	for _, arg := range args {
		insecure = insecure || arg == "--kubelet-insecure-tls"
		arg = strings.ReplaceAll(arg, "/tmp/tls-certs", dir)
		all = append(all, strings.ReplaceAll(arg, "--cert-dir=/tmp", "--cert-dir="+dir))
	}
	for _, arg := range s.connections {
		if !insecure || !strings.HasPrefix(arg, "--kubelet-certificate-authority=") {
			all = append(all, arg)
		}
	}
	return all
}
