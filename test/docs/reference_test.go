// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// What a server shows that runs is in the reference, with its type.
func TestMetricsReference(t *testing.T) {
	config := local.AdminConfig()
	config.Host = local.ServerURL()
	config.CAData, config.Insecure = nil, true // it is for the name of the Service
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	resp, err := client.Get(config.Host + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s", resp.Status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(families) < 100 {
		t.Errorf("there are only %d families", len(families))
	}
	page := readPage(t, "docs/metrics.md")
	for name, f := range families {
		if row := fmt.Sprintf("| `%s` | %s |", name, strings.ToLower(f.GetType().String())); !strings.Contains(page, row) {
			t.Errorf("docs/metrics.md has no %q", row)
		}
	}
}

// Why there are no metrics is explained, whatever the API says.
func TestReasons(t *testing.T) {
	page := readPage(t, "docs/troubleshooting.md")
	for _, reason := range append(store.WithheldReasons(), store.NotListed) {
		if !strings.Contains(page, fmt.Sprintf("| `%s` |", reason)) {
			t.Errorf("docs/troubleshooting.md does not explain %s", reason)
		}
	}
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// Links lead to what is there.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(readPage(t, page), -1) {
			if strings.HasPrefix(m[1], "https://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(filepath.Join(repository, target)); err != nil {
				t.Errorf("%s: %s: %v", page, m[1], err)
				continue
			}
			if anchor != "" && !hasAnchor(readPage(t, target), anchor) {
				t.Errorf("%s: %s has no heading #%s", page, target, anchor)
			}
		}
	}
}

func hasAnchor(text, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		if strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

// Every page is reached from README.md.
func TestREADMELinks(t *testing.T) {
	readme := readPage(t, "README.md")
	for _, page := range pages(t) {
		if strings.HasPrefix(page, "docs/") && !strings.Contains(readme, "]("+page+")") {
			t.Errorf("README.md has no link to %s", page)
		}
	}
}

// testsOfPage finds a folder and the tests there, as in "`pkg/api` `TestA`, `TestB`".
var testsOfPage = regexp.MustCompile("`((?:cmd|pkg|test)/[a-z0-9/-]+)`\\s+(`Test[A-Za-z0-9]+`(?:,\\s+`Test[A-Za-z0-9]+`)*)")

// What docs/security.md says is shown by tests that there are.
func TestNamedTestsExist(t *testing.T) {
	found := testsOfPage.FindAllStringSubmatch(readPage(t, filepath.Join("docs", "security.md")), -1)
	if len(found) < 10 {
		t.Fatalf("docs/security.md names %d tests", len(found))
	}
	for _, m := range found {
		var sources strings.Builder
		files, err := filepath.Glob(filepath.Join(repository, m[1], "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
		for name := range strings.FieldsFuncSeq(m[2], func(r rune) bool { return strings.ContainsRune("`, \n", r) }) {
			if !strings.Contains(sources.String(), "func "+name+"(t *testing.T)") {
				t.Errorf("%s has no %s", m[1], name)
			}
		}
	}
}
