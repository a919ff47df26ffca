// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"net/http"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/pkg/status"
)

// Who may see the page is for the API server to say. A browser gets in with a token as
// the password, and at this path only.
func TestAccess(t *testing.T) {
	bearer := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	for name, tt := range map[string]struct {
		path   string
		change func(*http.Request)
		code   int
		asks   bool
	}{
		"a token with rights":            {status.Path, bearer(reader), 200, false},
		"a password with rights":         {status.Path, basic("", reader), 200, false},
		"a password of any user":         {status.Path, basic("admin", reader), 200, false},
		"a token without rights":         {status.Path, bearer(other), 403, false},
		"a password without rights":      {status.Path, basic("", other), 403, false},
		"a wrong password":               {status.Path, basic("admin", "admin"), 401, true},
		"no password":                    {status.Path, basic("admin", ""), 401, true},
		"nobody":                         {status.Path, nil, 401, true},
		"nobody, of another path":        {"/metrics", nil, 403, false},
		"a password, of another path":    {"/metrics", basic("", reader), 403, false},
		"rights to the status elsewhere": {"/metrics", bearer(reader), 403, false},
	} {
		got := get(t, anyone, local.ServerURL()+tt.path, tt.change)
		if asks := got.header.Get("WWW-Authenticate") != ""; got.code != tt.code || asks != tt.asks {
			t.Errorf("%s: %d, asks for a password: %v\n%.200s", name, got.code, asks, got.body)
		}
		if html := strings.HasPrefix(got.body, "<!DOCTYPE html>"); html != (tt.code == 200) {
			t.Errorf("%s: %.200s", name, got.body)
		}
	}
}

// admin is the administrator with a client certificate.
func admin(t *testing.T) (client *http.Client, url string) {
	t.Helper()
	config := local.AdminConfig()
	config.Host = local.ServerURL()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return client, config.Host
}

func TestClientCertificate(t *testing.T) {
	client, url := admin(t)
	if got := get(t, client, url+status.Path, nil); got.code != http.StatusOK {
		t.Errorf("%d: %s", got.code, got.body)
	}
}

// /statusz and /flagz are those of other components, about this one.
func TestZPages(t *testing.T) {
	client, url := admin(t)
	for path, parts := range map[string][]string{
		"/statusz": {"metrics-server statusz", "Go version", "Binary version", "/status", "/metrics", "/flagz"},
		"/flagz":   {"metrics-server flagz", "metric-resolution", "10s", "tls-secret", "kubelet-insecure-tls"},
	} {
		got := get(t, client, url+path, nil)
		if got.code != http.StatusOK {
			t.Errorf("%s: %d %s", path, got.code, got.body)
		}
		for _, part := range parts {
			if !strings.Contains(got.body, part) {
				t.Errorf("%s has no %q:\n%s", path, part, got.body)
			}
		}
		got = get(t, client, url+path, func(r *http.Request) {
			r.Header.Set("Accept", "application/json;v=v1beta1;g=config.k8s.io;as="+strings.ToUpper(path[1:2])+path[2:])
		})
		if got.code != http.StatusOK || !strings.Contains(got.body, `"name":"metrics-server"`) {
			t.Errorf("%s as JSON: %d %s", path, got.code, got.body)
		}
	}
	if got := get(t, anyone, url+"/flagz", nil); got.code != http.StatusForbidden {
		t.Errorf("anyone may read /flagz: %d", got.code)
	}
}

// The JSON has what the administrator of the test knows.
func TestFacts(t *testing.T) {
	s := read(t, local.ServerURL(), reader)
	if s.Totals.Nodes != nodeCount || s.Totals.NodesServed != nodeCount || s.Totals.PodsServed != podCount || len(s.Nodes) != nodeCount {
		t.Errorf("totals: %+v, %d nodes", s.Totals, len(s.Nodes))
	}
	if s.Verdict.Level != status.LevelOK || len(s.Problems) != 0 {
		t.Errorf("the verdict is %+v, with %+v", s.Verdict, s.Problems)
	}
	if s.Server.Resolution != 10 || s.Server.MaxAge != 60 || s.Server.KubeletTLS != "verified" || s.Server.Flags["metric-max-age"] != "1m0s" {
		t.Errorf("the server is %+v", s.Server)
	}
	for _, n := range s.Nodes {
		k, ok := local.Kubelets.Node(n.Name)
		if !ok || !strings.HasPrefix(n.Address, k.Address()+":") {
			t.Errorf("%s is at %s", n.Name, n.Address)
		}
		if n.State != status.StateOK || n.LastSuccess.IsZero() || n.Duration <= 0 || n.Sample.IsZero() ||
			!n.CertificateExpires.After(s.Time) || n.PodsServed != podCount/nodeCount {
			t.Errorf("got %+v", n)
		}
	}
	for _, c := range s.Checks {
		if c.Message != "" {
			t.Errorf("check %s: %s", c.Name, c.Message)
		}
	}
}
