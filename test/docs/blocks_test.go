// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the info string of a block of commands says after "sh".
const (
	onCluster   = ""          // runs beside a server that works
	onManifests = "manifests" // runs where manifests/base is applied
	onChart     = "chart"     // runs where nothing is installed
	fails       = "fails"     // runs as onCluster, and has to fail
	notRun      = "not run: " // a reason follows
)

// block is commands of a page.
type block struct {
	page string
	line int
	mark string
	text string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// isNotRun tells whether it is said why the commands do not run.
func (b block) isNotRun() bool { return len(b.mark) > len(notRun) && strings.HasPrefix(b.mark, notRun) }

// command is what begins a line that is a command.
var command = regexp.MustCompile(`^(bin/|cd |docker |go |helm |kubectl |make |metrics-server |skopeo )`)

// blocksOf takes the commands out of a page: what is fenced as sh, and what is indented and
// begins as a command does, each line on its own and with the mark of indented.
func blocksOf(page, text string, indented func(command string) (mark string, ok bool)) (blocks []block, problems []error) {
	var open *block
	for i, line := range strings.Split(text, "\n") {
		at := func(format string, args ...any) {
			problems = append(problems, fmt.Errorf("%s:%d: "+format, append([]any{page, i + 1}, args...)...))
		}
		info, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open != nil:
			if open.mark != "yaml" {
				blocks = append(blocks, *open)
			}
			open = nil
		case isFence && info == "yaml":
			open = &block{mark: info}
		case isFence:
			language, mark, _ := strings.Cut(info, " ")
			open = &block{page: page, line: i + 1, mark: mark}
			if language != "sh" {
				at("a block is sh or yaml, not %q", language)
			} else if !slices.Contains([]string{onCluster, onManifests, onChart, fails}, mark) && !open.isNotRun() {
				at("%q is no mark: say where it runs, or %q and why", mark, notRun)
			}
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "    "):
			c, _, _ := strings.Cut(strings.TrimSpace(line), "  #")
			if c = strings.TrimSpace(c); !command.MatchString(c) {
				continue
			}
			mark, ok := indented(c)
			if !ok {
				at("%q is not known to this test: say in it where the command runs, or why it does not", c)
				continue
			}
			blocks = append(blocks, block{page, i + 1, mark, c})
		}
	}
	if open != nil {
		problems = append(problems, fmt.Errorf("%s:%d: the block has no end", open.page, open.line))
	}
	return blocks, problems
}

// pages are those with commands, as paths below the repository's folder.
func pages(t *testing.T) (all []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	if err != nil || len(found) == 0 {
		t.Fatalf("there are no pages: %v", err)
	}
	for _, f := range found {
		all = append(all, filepath.Join("docs", filepath.Base(f)))
	}
	return append(all, "README.md", filepath.Join("charts", "metrics-server", "README.md"))
}

func readPage(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBlocks(t *testing.T) {
	text := strings.Join([]string{
		"```sh", "kubectl get nodes", "kubectl get pods", "```",
		"```sh not run: there is none", "kubectl drain", "```",
		"```yaml", "kubectl: no", "```",
		"    kubectl top nodes    # known",
		"    ┌ a drawing",
		"    kubectl delete nodes",
		"```", "kubectl get secrets", "```",
		"```sh somewhere", "kubectl get roles", "```",
		"```sh not run: ", "kubectl get jobs", "```",
		"```sh", "kubectl get",
	}, "\n")
	blocks, problems := blocksOf("page", text, func(c string) (string, bool) { return onCluster, c == "kubectl top nodes" })
	var got []string
	for _, b := range blocks[:3] {
		got = append(got, fmt.Sprintf("%s %q %q", b, b.mark, b.text))
	}
	want := []string{
		`page:1 "" "kubectl get nodes\nkubectl get pods\n"`,
		`page:5 "not run: there is none" "kubectl drain\n"`,
		`page:11 "" "kubectl top nodes"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(problems) != 5 {
		t.Errorf("got %v", problems)
	}
}
