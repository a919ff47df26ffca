// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

func availability(ctx context.Context, t *testing.T, c *Cluster) error {
	t.Helper()
	client, err := aggregator.NewForConfig(c.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	return checkAvailable(ctx, client)
}

// startDiscovery serves as much of metrics.k8s.io as the aggregator checks, and
// a resource that says who asks, with a certificate of the documented name.
func startDiscovery(t *testing.T, c *Cluster, port int) *httptest.Server {
	t.Helper()
	certPEM, keyPEM, err := c.CA().IssueServing([]string{"metrics-server.kube-system.svc"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	frontProxy, err := os.ReadFile(c.pki.path("front-proxy-ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(frontProxy)
	listener, err := net.Listen("tcp", loopback(port))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/hello") {
			fmt.Fprintf(w, "hello %s from %s", r.Header.Get("X-Remote-User"), r.TLS.PeerCertificates[0].Subject.CommonName)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":%q,"resources":[]}`, strings.TrimPrefix(r.URL.Path, "/apis/"))
	}))
	server.Listener.Close()
	server.Listener = listener
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	return server
}

func TestUnavailability(t *testing.T) {
	condition := func(kind apiregistrationv1.APIServiceConditionType, status apiregistrationv1.ConditionStatus) apiregistrationv1.APIServiceCondition {
		return apiregistrationv1.APIServiceCondition{Type: kind, Status: status, Reason: "Why", Message: "because"}
	}
	tests := []struct {
		name       string
		conditions []apiregistrationv1.APIServiceCondition
		want       string
	}{
		{"no condition", nil, "it has not been probed yet"},
		{"another condition", []apiregistrationv1.APIServiceCondition{condition("Other", apiregistrationv1.ConditionTrue)}, "it has not been probed yet"},
		{"available", []apiregistrationv1.APIServiceCondition{condition(apiregistrationv1.Available, apiregistrationv1.ConditionTrue)}, ""},
		{"unavailable", []apiregistrationv1.APIServiceCondition{condition(apiregistrationv1.Available, apiregistrationv1.ConditionFalse)}, "Why: because"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			service := &apiregistrationv1.APIService{}
			service.Status.Conditions = test.conditions
			if got := unavailability(service); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
