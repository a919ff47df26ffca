// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package check breaks a cluster in every way that operators meet, and sees that
// metrics-server check names the cause and the command that mends it.
package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/pkg/check"
	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	nodeCount = 24
	podCount  = 72
	// patience is how long a test waits for what takes some scrapes, or a round of the
	// autoscalers' controller.
	patience = 120 * time.Second
)

var (
	local     *localcluster.Local
	tableFile = flag.String("table", "", "file to write the breakages and findings to, as a table")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: nodeCount, Pods: podCount,
		ServerFlags: []string{"--metric-resolution=10s", "--kubelet-request-timeout=2s"},
	}, func(l *localcluster.Local) int {
		local = l
		code := m.Run()
		if err := table.write(*tableFile); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		return code
	}))
}

// result is what the command did.
type result struct {
	check.Report
	code           int
	stdout, stderr string
}

// runCheck runs the command as a cluster administrator, with the server's own address.
func runCheck(t *testing.T, args ...string) result {
	t.Helper()
	return runCommand(t, append([]string{"--kubeconfig=" + local.AdminKubeconfig(), "--server-url=" + local.ServerURL(), "--output=json"}, args...)...)
}

func runCommand(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), local.ServerBinary(), append([]string{"check"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	if strings.HasPrefix(r.stdout, "{") {
		if err := json.Unmarshal(stdout.Bytes(), &r.Report); err != nil {
			t.Fatalf("%v: %s", err, r.stdout)
		}
	}
	return r
}

// find returns the finding with a code about an object, "" for any, nil if there is none.
func (r *result) find(code, object string) *check.Finding {
	return r.findSeen(code, object, "")
}

// findSeen is find of one with a part of what is seen, and of the first if none has it.
func (r *result) findSeen(code, object, seen string) (first *check.Finding) {
	for i := range r.Steps {
		for j := range r.Steps[i].Findings {
			f := &r.Steps[i].Findings[j]
			if string(f.Code) != code || object != "" && !slices.Contains(f.Objects, object) {
				continue
			}
			if strings.Contains(f.Seen, seen) {
				return f
			}
			if first == nil {
				first = f
			}
		}
	}
	return first
}

// codes are all that were found.
func (r *result) codes() (codes []string) {
	for _, step := range r.Steps {
		for _, f := range step.Findings {
			codes = append(codes, string(f.Code)+" of "+strings.Join(f.Objects, ", ")+" ("+f.Seen+")")
		}
	}
	return codes
}

// breakage is something that is wrong, and what is to be found then.
type breakage struct {
	name string
	// breakIt breaks it. What is registered with t.Cleanup makes it whole.
	breakIt func(t *testing.T)
	code    string
	object  string // "" for any
	seen    string // a part of what is seen
	mend    string // a part of one of the lines
	// mends has the lines run, after which the finding has to be gone.
	mends bool
	// warning tells that there may be no problem.
	warning bool
	args    []string
}

// test waits until the finding is there.
func (b *breakage) test(t *testing.T) {
	t.Helper()
	b.breakIt(t)
	r, f := b.await(t)
	if want := 1; !b.warning && r.code != want {
		t.Errorf("exit code %d, want %d", r.code, want)
	}
	if !strings.Contains(f.Seen, b.seen) {
		t.Errorf("seen is %q, want %q in it", f.Seen, b.seen)
	}
	if !strings.Contains(strings.Join(f.Mend, "\n"), b.mend) {
		t.Errorf("to mend is %q, want %q in it", f.Mend, b.mend)
	}
	if f.Why == "" {
		t.Error("it does not say why it matters")
	}
	mended := ""
	if b.mends {
		b.runMend(t, f)
		mended = "mends it"
	}
	table.add(row{b.name, string(f.Code), f.Objects[0], f.Seen, strings.Join(f.Mend, "\n"), mended, !t.Failed()})
}

func (b *breakage) await(t *testing.T) (result, *check.Finding) {
	t.Helper()
	var r result
	var f *check.Finding
	eventually.Succeeds(t, patience, func() error {
		r = runCheck(t, b.args...)
		if f = r.findSeen(b.code, b.object, b.seen); f == nil {
			return fmt.Errorf("no %s of %q among %q; %s", b.code, b.object, r.codes(), r.stderr)
		}
		return nil
	})
	return r, f
}

// runMend runs what a finding says, as a person would who pastes it into a shell.
func (b *breakage) runMend(t *testing.T, f *check.Finding) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "CA.crt"), local.CA().CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	sh := exec.CommandContext(t.Context(), "sh", "-e")
	sh.Stdin, sh.Dir = strings.NewReader(strings.Join(f.Mend, "\n")), dir
	sh.Env = append(os.Environ(), "KUBECONFIG="+local.AdminKubeconfig(), "HOME="+dir,
		"PATH="+filepath.Dir(local.KubectlPath())+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually.Succeeds(t, patience, func() error {
		r := runCheck(t, b.args...)
		if f := r.find(b.code, b.object); f != nil {
			return fmt.Errorf("after that it is still there: %s", f.Seen)
		}
		return nil
	})
}

// row is a breakage and what was found.
type row struct {
	name, code, object, seen, mend, mended string
	ok                                     bool
}

type rows struct {
	mu  sync.Mutex
	all []row
}

var table rows

func (r *rows) add(of row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, of)
}

// write writes a table of Markdown, unless the file's name is "".
func (r *rows) write(file string) error {
	if file == "" {
		return nil
	}
	cell := func(text string) string {
		return strings.NewReplacer("|", `\|`, "\n", "<br>").Replace(text)
	}
	var b strings.Builder
	b.WriteString("| broken | finding | of | seen | mend | run in the test | right |\n|---|---|---|---|---|---|---|\n")
	for _, of := range r.all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %t |\n", of.name, of.code, of.object, cell(of.seen), cell(of.mend), of.mended, of.ok)
	}
	return os.WriteFile(file, []byte(b.String()), 0o600)
}

func serverPort(t *testing.T) int {
	t.Helper()
	return portOf(t, local.ServerURL())
}

func portOf(t *testing.T, rawURL string) int {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// restore makes Service and APIServices as they were when the test ends, and waits until
// nothing is wrong.
func restore(t *testing.T) {
	t.Helper()
	port := serverPort(t)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if _, err := local.Kubectl(ctx, "-n", "kube-system", "delete", "service/metrics-server", "--ignore-not-found"); err != nil {
			t.Error(err)
		}
		if err := local.RegisterAPIServices(ctx, port, local.CA().CertPEM()); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := local.WaitAvailable(ctx); err != nil {
			t.Error(err)
		}
	})
}

func kubectl(t *testing.T, args ...string) {
	t.Helper()
	if _, err := local.Kubectl(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

func apply(t *testing.T, manifest string) {
	t.Helper()
	if err := local.Apply(t.Context(), manifest); err != nil {
		t.Fatal(err)
	}
}

// remove deletes an object when the test ends, if it is still there.
func remove(t *testing.T, args ...string) {
	t.Helper()
	t.Cleanup(func() {
		if _, err := local.Kubectl(context.WithoutCancel(t.Context()), append([]string{"delete", "--ignore-not-found", "--wait=false"}, args...)...); err != nil {
			t.Error(err)
		}
	})
}

// A cluster with nothing wrong has no finding, as text and as JSON.
func TestHealthy(t *testing.T) {
	r := runCheck(t)
	if r.code != 0 || r.Result != check.ResultOK || len(r.codes()) > 0 || r.Problems+r.Warnings > 0 {
		t.Errorf("exit code %d: %s", r.code, r.stdout)
	}
	for _, step := range r.Steps {
		if len(step.Facts) == 0 {
			t.Errorf("step %s says nothing", step.Name)
		}
	}
	text := runCheck(t, "--output=text")
	if text.code != 0 || !strings.HasSuffix(text.stdout, "All is well.\n") || text.stderr != "" {
		t.Errorf("exit code %d: %s%s", text.code, text.stdout, text.stderr)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--output=yaml"}, {"--server-url=http://localhost:4443"}, {"--pod=web"}, {"--node=a", "--pod=b/c"}, {"--kubeconfig=/nonexistent"}, {"nodes"}, {"--nodes"},
	} {
		r := runCommand(t, args...)
		if r.code != 2 || !strings.HasPrefix(r.stderr, "Error: ") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d: %s", args, r.code, r.stderr)
		}
	}
}
