// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/scrape"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// ask returns the answer to a GET of Path with a query and the header Accept.
func ask(t *testing.T, h http.Handler, query, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, Path+query, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func TestFormats(t *testing.T) {
	h := newCluster(3).Handler()
	for _, tt := range []struct{ query, accept, want string }{
		{"", browser, "text/html; charset=utf-8"},
		{"", "*/*", "text/html; charset=utf-8"},
		{"", "", "text/html; charset=utf-8"},
		{"", "application/json", "application/json"},
		{"", "application/json, text/html;q=0.5", "application/json"},
		{"?format=json", browser, "application/json"},
		{"?format=html", "application/json", "text/html; charset=utf-8"},
	} {
		w := ask(t, h, tt.query, tt.accept)
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != tt.want {
			t.Errorf("%q, %q: %d %s", tt.query, tt.accept, w.Code, got)
		}
	}
	var s Status
	if err := json.Unmarshal(ask(t, h, "?format=json", "").Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Nodes) != 3 || s.Nodes[1].Name != "node-0001" || s.Totals.PodsServed != 90 || s.Server.Resolution != 60 {
		t.Errorf("got %+v", s)
	}
}

// What nobody waits for any more is not made.
func TestClientGone(t *testing.T) {
	c := newCluster(3)
	c.Scrapes = func() []scrape.State {
		t.Error("a status is made")
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, Path, nil))
	if w.Body.Len() > 0 {
		t.Errorf("got %q", w.Body)
	}
}

// Where there is nothing yet, the JSON has empty lists and no times.
func TestEmptyJSON(t *testing.T) {
	text := ask(t, newCluster(0).Handler(), "?format=json", "").Body.String()
	for _, part := range []string{`"nodes":[]`, `"pods":[]`, `"problems":[]`, `"nodesByState":{"failing":0,`} {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %s in %s", part, text)
		}
	}
	if strings.Contains(text, "0001-01-01") || strings.Contains(text, "null") {
		t.Errorf("a zero time or null in %s", text)
	}
}

func TestWrongRequests(t *testing.T) {
	h := newCluster(3).Handler()
	for query, part := range map[string]string{
		"?view=x": "nodes or pods", "?state=bad": "failing", "?sort=-size": "certificate", "?page=0": "from 1 on",
		"?page=x": "from 1 on", "?format=xml": "html or json", "?q=" + strings.Repeat("a", 300): "256",
	} {
		w := ask(t, h, query, browser)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%.20s: %d %s", query, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", w.Code, w.Header())
	}
}

// The policy has the hash of the style that is in the page, and allows next to nothing.
func TestHeaders(t *testing.T) {
	w := ask(t, faulty(10).Handler(), "", browser)
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Vary": "Accept",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	text := w.Body.String()
	in := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(text)
	if in == nil {
		t.Fatal("there is no style")
	}
	want := "default-src 'none'; style-src 'sha256-" + hashOf(in[1]) + "'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	if got := w.Header().Get("Content-Security-Policy"); got != want {
		t.Errorf("the policy is %q, want %q", got, want)
	}
	if strings.Contains(in[1], "url(") || strings.Contains(in[1], "@import") {
		t.Error("the style loads something")
	}
}

// What kubelets and users of the API may choose never becomes markup.
func TestHostileText(t *testing.T) {
	const evil = `"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}&lt;javascript:alert(3)`
	c := newCluster(2)
	c.scrapes[0].Node, c.stored[0].Name = evil, evil
	c.scrapes[0].Address = evil
	c.fail(0, 3, kubelet.Reason(evil), evil)
	c.fail(1, 3, kubelet.ReasonTimeout, evil)
	c.withhold(evil, evil, 0, store.Reason(evil), evil)
	c.Server.Flags = map[string]string{evil: evil}
	c.Server.Name, c.Server.NodeSelector = evil, evil
	c.Checks[0] = NamedCheck{evil, func() error { return errorText(evil) }}
	h := c.Handler()
	for _, query := range []string{"", "?view=pods", "?q=%22%3E%3Cscript%3E&reason=%22%3E%3Cscript%3E"} {
		text := ask(t, h, query, browser).Body.String()
		root, err := html.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		shown := false
		for n := range root.Descendants() {
			if n.Type == html.TextNode && strings.Contains(n.Data, "<script>") {
				shown = true
			}
			if n.Type != html.ElementNode {
				continue
			}
			if n.Data == "script" || n.Data == "img" || n.Data == "iframe" {
				t.Errorf("%q: there is an element %s", query, n.Data)
			}
			for _, a := range n.Attr {
				switch {
				case strings.HasPrefix(a.Key, "on") || a.Key == "style":
					t.Errorf("%q: there is an attribute %s of %s", query, a.Key, n.Data)
				case (a.Key == "href" || a.Key == "action") && n.Data != "link" && !strings.HasPrefix(a.Val, "?") && !strings.HasPrefix(a.Val, "#"):
					t.Errorf("%q: a link leads to %s", query, a.Val)
				}
			}
		}
		if query != "?q=%22%3E%3Cscript%3E&reason=%22%3E%3Cscript%3E" && !shown {
			t.Errorf("%q: the text is not shown at all", query)
		}
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }

// The page shows what the JSON has.
func TestPage(t *testing.T) {
	text := ask(t, faulty(250).Handler(), "", browser).Body.String()
	for _, part := range []string{
		"2 of 250 nodes cannot be read, 1 of them because the kubelet does not answer in time.",
		"10.0.0.2:10250", "tls_unknown_authority", "12 failures", "all</option>", "1 to 100 of 250", "in 3d",
		`class="value">248 <span`, "--tls-secret=kube-system/metrics-server-tls", "go1.26 for linux/amd64", "metric-storage-ready",
		`href="?page=2#table">Next`, `href="?format=json"`,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %q", part)
		}
	}
	text = ask(t, faulty(10).Handler(), "?view=pods", browser).Body.String()
	for _, part := range []string{"cart-0", "bank", "container &#34;audit&#34; lacks its memory", "1 to 3 of 3"} {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %q", part)
		}
	}
}
