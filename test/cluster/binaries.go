// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kubemeter/metrics-server/test/gomodule"
)

// The environment variable KUBERNETES names the folder of test/controlplane whose module
// says at which versions binaries are built.
const (
	minorVariable = "KUBERNETES"
	defaultMinor  = "v1.37"
)

const etcdPackage = "go.etcd.io/etcd/server/v3"

// set is the packages of binaries that are built together.
type set struct {
	name     string // for people
	packages []string
}

// The binaries of a node are a set of their own: few need them, and they take as
// long again.
var (
	controlPlaneSet = set{"etcd, kube-apiserver, kube-controller-manager and kubectl", []string{
		etcdPackage, "k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kube-controller-manager", "k8s.io/kubernetes/cmd/kubectl",
	}}
	nodeSet = set{"kubelet, kube-proxy and kube-scheduler", []string{
		"k8s.io/kubernetes/cmd/kubelet", "k8s.io/kubernetes/cmd/kube-proxy", "k8s.io/kubernetes/cmd/kube-scheduler",
	}}
)

// NodeBinaries builds kubelet, kube-proxy and kube-scheduler of the cluster's version,
// unless they are in the user's cache folder, and returns the folder that has them.
// Building them takes minutes.
func (c *Cluster) NodeBinaries(ctx context.Context) (dir string, err error) {
	module, err := chosenModule()
	if err != nil {
		return "", err
	}
	source, err := newControlPlane(module, nodeSet)
	if err != nil {
		return "", err
	}
	b, err := source.binaries(ctx, c.log)
	return b.dir, err
}

// binaries are the executables of one control plane.
type binaries struct {
	version string // of Kubernetes, such as v1.37.2
	dir     string
}

func (b binaries) path(name string) string {
	return filepath.Join(b.dir, name)
}

// controlPlane is a Go module whose tools are the binaries of a cluster.
type controlPlane struct {
	module  string // folder
	set     set    // of its tools that are built
	version string // of Kubernetes, such as v1.37.2
	flags   []string
	// cache is where the binaries are kept, in a folder per build.
	cache string
	key   string // of the build in the cache
}

var kubernetesRequirement = regexp.MustCompile(`(?m)^(?:require)?\s+k8s\.io/kubernetes\s+(v(\d+)\.(\d+)\.\S+)`)

// newControlPlane reads the module in a folder. Binaries are cached below the
// user's cache folder.
func newControlPlane(module string, s set) (*controlPlane, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("no folder to keep the control plane's binaries in (set HOME or XDG_CACHE_HOME): %w", err)
	}
	gomod, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("read the control plane's module (the sources of Kubemeter must be where this program was built, without -trimpath): %w", err)
	}
	gosum, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return nil, fmt.Errorf("read the control plane's module: %w", err)
	}
	match := kubernetesRequirement.FindSubmatch(gomod)
	if match == nil {
		return nil, fmt.Errorf("%s/go.mod requires no k8s.io/kubernetes: it must, at the version to build", module)
	}
	p := &controlPlane{module: module, set: s, version: string(match[1]), cache: filepath.Join(cache, "kubemeter", "controlplane")}
	p.flags = buildFlags(p.version, string(match[2]), string(match[3]))

	hash := sha256.New()
	for _, part := range [][]byte{gomod, gosum, []byte(runtime.Version()), []byte(runtime.GOOS + "/" + runtime.GOARCH), []byte(strings.Join(slices.Concat(p.flags, s.packages), "\x00"))} {
		fmt.Fprintf(hash, "%d\n", len(part))
		hash.Write(part)
	}
	p.key = p.version + "-" + hex.EncodeToString(hash.Sum(nil))[:16]
	return p, nil
}

// chosenModule returns the folder of the module of the environment's choice.
func chosenModule() (string, error) {
	return moduleOf(cmp.Or(os.Getenv(minorVariable), defaultMinor))
}

// moduleOf returns the folder of a version's module. It is beside this file, so that no go
// command is needed to find it.
func moduleOf(minor string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	modules := filepath.Join(filepath.Dir(file), "..", "controlplane")
	entries, err := os.ReadDir(modules)
	if err != nil {
		return "", fmt.Errorf("look for the control planes' modules (the sources of Kubemeter must be where this program was built, without -trimpath): %w", err)
	}
	var minors []string
	for _, entry := range entries {
		minors = append(minors, entry.Name())
	}
	if !slices.Contains(minors, minor) {
		return "", fmt.Errorf("there is no control plane %q: set %s to one of %s", minor, minorVariable, strings.Join(minors, ", "))
	}
	return filepath.Join(modules, minor), nil
}

// buildFlags set the version as the build scripts of Kubernetes do: clients
// refuse a server whose version they cannot parse. Both packages keep one.
func buildFlags(version, major, minor string) []string {
	ldflags := []string{"-s", "-w"}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		ldflags = append(ldflags,
			"-X", pkg+".gitVersion="+version,
			"-X", pkg+".gitMajor="+major,
			"-X", pkg+".gitMinor="+minor,
			"-X", pkg+".gitTreeState=clean",
		)
	}
	return []string{"-mod=readonly", "-buildvcs=false", "-ldflags=" + strings.Join(ldflags, " ")}
}

// binaries returns the cached binaries and builds them first if needed.
func (p *controlPlane) binaries(ctx context.Context, log *progress) (binaries, error) {
	b := binaries{version: p.version, dir: filepath.Join(p.cache, p.key)}
	if isDir(b.dir) {
		return b, nil
	}
	if err := os.MkdirAll(p.cache, 0o700); err != nil {
		return binaries{}, fmt.Errorf("make the folder of the control plane's binaries: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(p.cache, p.key+".lock"), log)
	if err != nil {
		return binaries{}, err
	}
	defer unlock()
	if isDir(b.dir) { // another process has built them meanwhile
		return b, nil
	}
	if err := p.build(ctx, b.dir, log); err != nil {
		return binaries{}, fmt.Errorf("build the control plane %s: %w", p.version, err)
	}
	return b, nil
}

// build puts all binaries into dir, or none.
func (p *controlPlane) build(ctx context.Context, dir string, log *progress) error {
	// Builds that were killed may have left folders. The name is new each time,
	// because their go command may be running still.
	leftovers, err := filepath.Glob(dir + ".tmp-*")
	if err != nil {
		return err
	}
	for _, leftover := range leftovers {
		if err := os.RemoveAll(leftover); err != nil {
			return err
		}
	}
	temp, err := os.MkdirTemp(p.cache, p.key+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)

	start := time.Now()
	log.printf("building %s %s (first time: several minutes) …", p.set.name, p.version)
	if err := p.goBuild(ctx, temp, log); err != nil {
		return err
	}
	if slices.Contains(p.set.packages, etcdPackage) {
		// The go command names a binary after the last element of its package.
		if err := os.Rename(filepath.Join(temp, "server"), filepath.Join(temp, "etcd")); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	log.printf("built in %s, kept in %s", elapsed(start), dir)
	return nil
}

// goBuild builds the set with one go command, so that its packages share their work.
func (p *controlPlane) goBuild(ctx context.Context, dir string, log *progress) error {
	args := append([]string{"build", "-v", "-o", dir + string(filepath.Separator)}, p.flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, p.set.packages...)...)
	cmd.Dir = p.module
	cmd.Env = append(gomodule.Environ(), "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	output := &buildOutput{}
	cmd.Stdout, cmd.Stderr = output, output
	// On an interrupt the go command ends the compilers that it runs.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second

	defer log.heartbeat(func() string {
		return fmt.Sprintf("building the control plane: %d steps done", output.lines())
	})()
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("there is no go command in PATH: install Go %s or later", strings.TrimPrefix(runtime.Version(), "go"))
	case err != nil:
		return fmt.Errorf("go build in %s: %w\n%s", p.module, err, output.tail(20))
	}
	return nil
}

// buildOutput keeps what go build -v prints: a line per module downloaded and
// per package compiled, and errors last.
type buildOutput struct {
	mu   sync.Mutex
	text []byte
}

func (o *buildOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	return len(p), nil
}

func (o *buildOutput) lines() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Count(o.text, []byte("\n"))
}

func (o *buildOutput) tail(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return lastLines(o.text, n)
}

// lockFile takes an exclusive lock that the kernel releases when the process
// ends, and says so if it has to wait for another process.
func lockFile(ctx context.Context, path string, log *progress) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the build: %w", err)
	}
	stop := log.heartbeat(func() string { return "waiting for another process that builds the control plane" })
	defer stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
