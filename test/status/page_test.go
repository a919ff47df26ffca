// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/kubemeter/metrics-server/pkg/status"
	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

func TestHealthyCluster(t *testing.T) {
	b := openTab(t, local.ServerURL(), reader)
	b.visit("")
	b.wants("All is well: 10 nodes and 60 pods are served.", "scraped every 10s", "served until 60s",
		"--metric-max-age=1m0s", "1 to 10 of 10", "passes metric-storage-ready")
	if got := b.names(); len(got) != nodeCount {
		t.Errorf("the nodes are %v", got)
	}
	b.looksWell("healthy-10")
}

// fault makes nodes faulty until the test ends, and waits until the server knows.
func fault(t *testing.T, faults map[int]kubeletsim.Fault, known func(*status.Status) error) {
	t.Helper()
	t.Cleanup(func() { sound(t) })
	for i, f := range faults {
		if err := node(t, i).SetFaults(f); err != nil {
			t.Fatal(err)
		}
	}
	eventually.Succeeds(t, patience, func() error { return known(read(t, local.ServerURL(), reader)) })
}

// sound waits until all is well again.
func sound(t *testing.T) {
	for i := range nodeCount {
		if err := node(t, i).SetFaults(); err != nil {
			t.Fatal(err)
		}
	}
	eventually.Succeeds(t, patience, func() error {
		if s := read(t, local.ServerURL(), reader); s.Verdict.Level != status.LevelOK {
			return fmt.Errorf("the verdict is %+v", s.Verdict)
		}
		return nil
	})
}

func node(t *testing.T, i int) *kubeletsim.Node {
	t.Helper()
	n, ok := local.Kubelets.Node(fmt.Sprint("node-", i))
	if !ok {
		t.Fatalf("there is no node-%d", i)
	}
	return n
}

// faults are of one node each, and what the page says of them.
var faults = map[int]struct {
	kubeletsim.Fault
	state  status.State
	reason string
}{
	1: {kubeletsim.SelfSigned(), status.StateFailing, "tls_unknown_authority"},
	2: {kubeletsim.Expired(), status.StateFailing, "tls_expired"},
	3: {kubeletsim.WrongName(), status.StateFailing, "tls_name"},
	4: {kubeletsim.Status(403), status.StateFailing, "forbidden"},
	5: {kubeletsim.Status(401), status.StateFailing, "unauthorized"},
	6: {kubeletsim.Hang(), status.StateFailing, "timeout"},
	7: {kubeletsim.MissingFamilies("node_cpu_usage_seconds_total"), status.StateWithheld, "incomplete"},
	8: {kubeletsim.BadValue("node_memory_working_set_bytes", kubeletsim.ContainerRef{}, -1), status.StateWithheld, "incomplete"},
}

func TestFaults(t *testing.T) {
	switchedOn := map[int]kubeletsim.Fault{}
	for i, f := range faults {
		switchedOn[i] = f.Fault
	}
	fault(t, switchedOn, func(s *status.Status) error {
		for _, n := range s.Nodes {
			var i int
			if _, err := fmt.Sscanf(n.Name, "node-%d", &i); err != nil {
				return err
			}
			want, ok := faults[i]
			if !ok {
				want.state = status.StateOK
			}
			if n.State != want.state || n.Reason != want.reason {
				return fmt.Errorf("%s is %s, %s: %s", n.Name, n.State, n.Reason, n.Message)
			}
		}
		// What was known of the nodes that fail is too old by then.
		if s.Totals.PodsWithheld["stale"] != 6*podCount/nodeCount {
			return fmt.Errorf("the pods are withheld for %v", s.Totals.PodsWithheld)
		}
		return nil
	})
	b := openTab(t, local.ServerURL(), reader)
	b.visit("")
	b.wants("6 of 10 nodes cannot be read", "What is wrong with nodes", "the kubelet's configuration", "it is self-signed",
		"tls_expired", "ended ", "Why pods are withheld", "stale")
	b.looksWell("faults-10")
	b.look(devices[0], "light")

	// The worst are the first, and a reason opens to tell what happened.
	if got := b.names(); len(got) != nodeCount || !slices.Contains([]string{"node-0", "node-9"}, got[9]) {
		t.Errorf("the nodes are %v", got)
	}
	if strings.Contains(b.text(), "the last scrape failed: node") {
		t.Error("a message is open")
	}

	// A link of a problem shows the nodes that have it.
	b.click(`#problems + ul a[href*="reason=forbidden"]`)
	if got := b.names(); !slices.Equal(got, []string{"node-4"}) {
		t.Errorf("forbidden are %v", got)
	}
	b.run(chromedp.Click(chromedp.CSS("td summary")))
	b.wants(`needs the verb get on nodes/metrics`)

	// The form searches and filters, and keeps the order.
	b.visit("?sort=-name")
	b.run(chromedp.SendKeys(chromedp.CSS("input[name=q]"), "tls_"))
	b.click("form button")
	if got := b.names(); !slices.Equal(got, []string{"node-3", "node-2", "node-1"}) {
		t.Errorf("a search finds %v", got)
	}
	b.run(chromedp.SetValue(chromedp.CSS("select[name=reason]"), "tls_name"))
	b.click("form button")
	if got := b.names(); !slices.Equal(got, []string{"node-3"}) {
		t.Errorf("a search and a reason find %v", got)
	}
	b.click("form a")
	if got := b.names(); len(got) != nodeCount || got[0] != "node-9" {
		t.Errorf("without a filter there are %v", got)
	}

	// The other table has the pods.
	b.click(".tabs a:nth-child(2)")
	if got := b.names(); len(got) != 6*podCount/nodeCount {
		t.Errorf("%d pods are withheld", len(got))
	}
	b.wants("samples are served for 1m0s (--metric-max-age)", "the last scrape failed", "1 to 36 of 36")
	b.looksWell("withheld-10")
	b.look(devices[0], "light")
	b.run(chromedp.SendKeys(chromedp.CSS("input[name=q]"), "node-6"))
	b.click("form button")
	if got := b.names(); len(got) != podCount/nodeCount {
		t.Errorf("on node-6 are %v", got)
	}
}

// Columns sort, again for the reverse, and pages lead on and back.
func TestSortingAndPages(t *testing.T) {
	const more = 250
	for i := range more {
		name := fmt.Sprintf("more-%03d", i)
		k, err := local.Kubelets.AddNode(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := local.CreateNode(t.Context(), name, k.Address(), int32(local.Kubelets.Port()), nil); err != nil {
			t.Fatal(err)
		}
	}
	eventually.Succeeds(t, patience, func() error {
		if got := read(t, local.ServerURL(), reader).Totals; got.NodesByState[status.StateOK] != nodeCount+more {
			return fmt.Errorf("the totals are %+v", got)
		}
		return nil
	})
	b := openTab(t, local.ServerURL(), reader)
	b.visit("")
	b.click("thead th:nth-child(1) a")
	if got := b.names(); len(got) != 100 || got[0] != "more-000" || got[99] != "more-099" {
		t.Errorf("by name, the first page is %v", got)
	}
	b.wants("1 to 100 of 260")
	b.click("a[rel=next]")
	b.click("a[rel=next]")
	if got := b.names(); len(got) != 60 || got[59] != "node-9" {
		t.Errorf("the last page is %v", got)
	}
	if evaluate[bool](b, `document.querySelector("a[rel=next]") !== null`) {
		t.Error("there is a page after the last")
	}
	b.click("a[rel=prev]")
	b.wants("101 to 200 of 260")
	b.click("thead th:nth-child(1) a")
	if got := b.names(); got[0] != "node-9" {
		t.Errorf("in reverse, the first is %s", got[0])
	}
	if got := evaluate[string](b, `document.querySelector("th:nth-child(1)").ariaSort`); got != "descending" {
		t.Errorf("the order is said to be %s", got)
	}
	for column, key := range map[int]string{2: "state", 3: "success", 4: "age", 5: "duration", 6: "pods", 7: "certificate"} {
		b.click(fmt.Sprintf("thead th:nth-child(%d) a", column))
		if got := evaluate[string](b, `new URLSearchParams(location.search).get("sort") ?? "state"`); got != key {
			t.Errorf("column %d sorts by %s, want %s", column, got, key)
		}
	}
}

// The policy that the browser is given keeps out what a page must not have, and the test
// would see it.
func TestPolicyIsInForce(t *testing.T) {
	b := openTab(t, local.ServerURL(), reader)
	b.visit("")
	if console, _ := b.take(); len(console) != 0 {
		t.Errorf("the page says %q", console)
	}
	ran := evaluate[bool](b, `
		const script = document.createElement("script");
		script.textContent = "window.ran = true";
		document.body.append(script);
		const image = new Image();
		image.src = "https://127.0.0.1:1/elsewhere.png";
		document.body.append(image);
		document.body.setAttribute("style", "color: red");
		window.ran === true`)
	if ran {
		t.Error("a script of the page has run")
	}
	eventually.Succeeds(t, 10*time.Second, func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		all := strings.Join(b.console, "\n")
		for _, directive := range []string{"script-src", "img-src", "style-src"} {
			if !strings.Contains(all, directive) {
				return fmt.Errorf("nothing is said of %s:\n%s", directive, all)
			}
		}
		return nil
	})
	b.take()
	b.visit("") // for the check at the end
}

// Without a token, the browser is asked for one, and the page is not shown.
func TestWrongToken(t *testing.T) {
	b := openTab(t, local.ServerURL(), "wrong")
	err := chromedp.Do(b.ctx, chromedp.Navigate(b.server.JoinPath(status.Path).String()))
	if err == nil || !strings.Contains(err.Error(), "ERR_INVALID_AUTH_CREDENTIALS") {
		t.Errorf("the browser is not asked again: %v", err)
	}
	if text := evaluate[string](b, `document.documentElement?.outerHTML ?? ""`); strings.Contains(text, "node-1") {
		t.Errorf("the page shows %s", text)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.console = nil // it tells of the 401
}
