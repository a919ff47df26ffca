// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

// sentTokens has every bearer token that kubelets were sent.
var sentTokens localcluster.TokenLog

// TestTakenNode has someone who owns a node use all that its kubelet was ever sent. Each attempt
// is refused by the real API server, or by the metrics server.
func TestTakenNode(t *testing.T) {
	var tokens []string
	eventually.Succeeds(t, patience, func() error {
		if tokens = slices.Collect(maps.Keys(sentTokens.Take())); len(tokens) == 0 {
			return errors.New("kubelets were sent no token yet")
		}
		return nil
	})
	const kubeSystem = "/api/v1/namespaces/kube-system"
	attempts := []struct {
		what, method, path, body string
	}{
		{"replace the CA of the APIService", http.MethodPatch, "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io", `{"spec":{"caBundle":null,"insecureSkipTLSVerify":true}}`},
		{"route the APIService elsewhere", http.MethodPatch, "/apis/apiregistration.k8s.io/v1/apiservices/v1.metrics.k8s.io", `{"spec":{"service":{"name":"evil","namespace":"default"}}}`},
		{"read the Secret with the key of the CA", http.MethodGet, kubeSystem + "/secrets/metrics-server-tls", ""},
		{"list Secrets", http.MethodGet, kubeSystem + "/secrets", ""},
		{"list pods", http.MethodGet, "/api/v1/pods", ""},
		{"list nodes", http.MethodGet, "/api/v1/nodes", ""},
		{"write an Event", http.MethodPost, "/apis/events.k8s.io/v1/namespaces/default/events", `{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"evil"}}`},
		{"request a token of its own", http.MethodPost, kubeSystem + "/serviceaccounts/metrics-server-kubelet/token", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`},
		{"request a token of the metrics server", http.MethodPost, kubeSystem + "/serviceaccounts/metrics-server/token", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`},
		{"learn whose a token is", http.MethodPost, "/apis/authentication.k8s.io/v1/tokenreviews", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"x"}}`},
		{"learn who may do what", http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews", `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"x","nonResourceAttributes":{"path":"/","verb":"get"}}}`},
		{"read the configuration of authentication", http.MethodGet, kubeSystem + "/configmaps/extension-apiserver-authentication", ""},
		{"read the usage of nodes", http.MethodGet, "/apis/metrics.k8s.io/v1beta1/nodes", ""},
		{"read the usage of pods", http.MethodGet, "/apis/metrics.k8s.io/v1/pods", ""},
		{"reach another kubelet through the API server", http.MethodGet, "/api/v1/nodes/node-1/proxy/metrics/resource", ""},
	}
	admin, server := local.AnonymousConfig(), direct()
	for i, token := range tokens {
		for _, a := range attempts {
			expectRefusal(t, admin, token, fmt.Sprintf("token %d, %s", i, a.what), a.method, a.path, a.body)
		}
		for _, path := range []string{"/metrics", "/status", "/flagz", "/apis/metrics.k8s.io/v1beta1/nodes", "/apis/metrics.k8s.io/v1/pods"} {
			expectRefusal(t, server, token, fmt.Sprintf("token %d, metrics server", i), http.MethodGet, path, "")
		}
	}
}

// A server that may not request tokens scrapes nothing and says why, and never shows its own.
func TestNoRightToTokens(t *testing.T) {
	p, url, err := local.StartAnother("--kubelet-service-account=kube-system/nobody")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	config := local.AdminConfig()
	config.Host = url
	eventually.Succeeds(t, patience, func() error {
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		resp, err := client.Get(url + "/status?format=json")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		const reason = "needs the verb create on serviceaccounts/token, resourceNames: [nobody], in namespace kube-system"
		if n := strings.Count(string(body), reason); n < nodeCount {
			return fmt.Errorf("the status names the right for %d of %d nodes: %s", n, nodeCount, body[:min(len(body), 4000)])
		}
		return nil
	})
	if n := metricOf(t, config, "metrics_server_scrape_total", "result=success"); n > 0 {
		t.Errorf("%v scrapes have succeeded", n)
	}
	for token := range sentTokens.Take() {
		if name := localcluster.AccountOf(token); name != "metrics-server-kubelet" {
			t.Errorf("a kubelet was sent a token of %q", name)
		}
	}
}

// expectRefusal makes a request with a token, and wants the status 403.
func expectRefusal(t *testing.T, to *rest.Config, token, what, method, path, body string) {
	t.Helper()
	config := rest.AnonymousClientConfig(to)
	config.BearerToken = token
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, config.Host+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 2000))
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%s: %s %s: %s: %s", what, method, path, resp.Status, strings.Join(strings.Fields(string(answer)), " "))
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("%s", line)
		return
	}
	t.Log(line)
}
