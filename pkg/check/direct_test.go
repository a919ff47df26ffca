// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
)

// newKubelet is a kubelet of node n1 on loopback, and its CA.
func newKubelet(t *testing.T, handler http.HandlerFunc) (node corev1.Node, ca []byte) {
	t.Helper()
	cert, key, err := certutil.GenerateSelfSignedCertKey("n1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	k := httptest.NewUnstartedServer(handler)
	k.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	k.Config.ErrorLog = log.New(io.Discard, "", 0)
	k.StartTLS()
	t.Cleanup(k.Close)
	_, text, err := net.SplitHostPort(k.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	node = testNode("n1")
	node.Status.Addresses[0].Address = "127.0.0.1"
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	return node, cert
}

// Within a pod of the server, kubelets are asked as the server does: the same that refuses
// the server refuses the check.
func TestInsidePod(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		trusted bool
		code    Code
	}{
		"sound":   {answering(200, "text/plain", soundAnswer), true, ""},
		"401":     {answering(401, "text/plain", "Unauthorized"), true, "kubelet-unauthorized"},
		"CA":      {answering(200, "text/plain", soundAnswer), false, "kubelet-tls-unknown-authority"},
		"no CPU":  {answering(200, "text/plain", strings.SplitAfterN(soundAnswer, "\n", 2)[1]), true, codeNodeIncomplete},
		"garbage": {answering(200, "text/plain", "{\n"), true, "kubelet-syntax"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeAPI(t)
			f.remove("/apis/metrics.k8s.io/v1beta1/nodes")
			node, ca := newKubelet(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Authorization"); got != "Bearer kubelet-token" {
					t.Errorf("the kubelet was shown %q", got)
				}
				tc.handler(w, r)
			})
			f.setNodes(node)
			c := f.config(t)
			c.PodName = types.NamespacedName{Namespace: "kube-system", Name: "metrics-server-0"}
			c.ParseFlags = func(args []string, client *rest.Config) (Flags, error) {
				flags, err := parseFlags(args, client)
				flags.Kubelet.UseNodeStatusPort = true
				flags.Kubelet.Client = rest.CopyConfig(client)
				if flags.Kubelet.Client.TLSClientConfig = (rest.TLSClientConfig{}); tc.trusted {
					flags.Kubelet.Client.CAData = ca
				}
				return flags, err
			}
			r := f.run(t, c)
			if tc.code != "" {
				mustFind(t, r, tc.code, "asked from this pod")
				return
			}
			if facts := strings.Join(r.stepOf("nodes").Facts, ""); !strings.Contains(facts, "1 of 1 kubelets that were asked answer soundly (asked from this pod)") {
				t.Errorf("%s", r.text(t))
			}
		})
	}
}
