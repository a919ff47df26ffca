// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
)

// helperEnv makes the test binary start a cluster and wait to be killed.
const helperEnv = "KUBEMETER_CLUSTER_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		runHelper()
		return
	}
	os.Exit(leaktest.Run(func() int {
		defer stopShared()
		return m.Run()
	}))
}

var (
	sharedMu sync.Mutex
	shared   *Cluster
)

// sharedCluster is started once for the tests that leave it working.
func sharedCluster(t *testing.T) *Cluster {
	t.Helper()
	skipIfShort(t)
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared == nil {
		c, err := Start(context.Background(), Options{Log: os.Stderr})
		if err != nil {
			t.Fatal(err)
		}
		shared = c
	}
	return shared
}

func stopShared() {
	if shared != nil {
		shared.Stop()
	}
}

func skipIfShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
}

func clientset(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestKubectl(t *testing.T) {
	c := sharedCluster(t)
	out, err := c.Kubectl(t.Context(), "version", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	type info struct{ Major, Minor, GitVersion, GitTreeState string }
	var versions struct{ ClientVersion, ServerVersion info }
	if err := json.Unmarshal([]byte(out), &versions); err != nil {
		t.Fatal(err)
	}
	want := info{Major: "1", Minor: strings.Split(c.Version(), ".")[1], GitVersion: c.Version(), GitTreeState: "clean"}
	if versions.ClientVersion != want || versions.ServerVersion != want {
		t.Errorf("got versions %+v, want %+v of both", versions, want)
	}

	if out, err := c.Kubectl(t.Context(), "get", "--raw", "/readyz"); err != nil || out != "ok" {
		t.Errorf("/readyz: got %q, %v", out, err)
	}
	if _, err := c.Kubectl(t.Context(), "get", "pod", "missing"); err == nil || !strings.Contains(err.Error(), `pods "missing" not found`) {
		t.Errorf("got error %v, want kubectl's standard error in it", err)
	}
}

func TestNodesAndPods(t *testing.T) {
	c := sharedCluster(t)
	t.Cleanup(func() {
		deleteObjects(t, c, "nodes", "-l", "pool=a")
		deleteObjects(t, c, "pods", "-n", "team-0", "--all")
		deleteObjects(t, c, "pods", "-n", "team-1", "--all")
	})
	var nodes []*corev1.Node
	for i := range 3 {
		nodes = append(nodes, NewNode(fmt.Sprintf("node-%d", i), fmt.Sprintf("127.16.0.%d", i+1), 10250, map[string]string{"pool": "a"}))
	}
	if err := c.CreateNodes(t.Context(), slices.Values(nodes)); err != nil {
		t.Fatal(err)
	}
	var pods []*corev1.Pod
	for i := range 10 {
		namespace := fmt.Sprintf("team-%d", i%2)
		pods = append(pods, NewPod(namespace, fmt.Sprintf("pod-%d", i), nodes[i%3].Name, map[string]string{"app": "web"}, "main", "sidecar"))
	}
	if err := c.CreatePods(t.Context(), slices.Values(pods)); err != nil {
		t.Fatal(err)
	}

	gotNodes, err := c.Client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "pool=a"})
	if err != nil {
		t.Fatal(err)
	}
	if len(gotNodes.Items) != len(nodes) {
		t.Fatalf("got %d nodes, want %d", len(gotNodes.Items), len(nodes))
	}
	for i, node := range gotNodes.Items {
		address := node.Status.Addresses[0]
		if address.Type != corev1.NodeInternalIP || address.Address != fmt.Sprintf("127.16.0.%d", i+1) {
			t.Errorf("%s: got address %+v", node.Name, address)
		}
		if port := node.Status.DaemonEndpoints.KubeletEndpoint.Port; port != 10250 {
			t.Errorf("%s: got kubelet port %d", node.Name, port)
		}
		if len(node.Spec.Taints) > 0 {
			t.Errorf("%s: got taints %v, want none", node.Name, node.Spec.Taints)
		}
	}

	out, err := c.Kubectl(t.Context(), "get", "pods", "-A", "-l", "app=web", "--no-headers")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(pods) {
		t.Fatalf("got %d pods, want %d:\n%s", len(lines), len(pods), out)
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		if fields[2] != "2/2" || fields[3] != "Running" {
			t.Errorf("got %q, want two of two containers running", line)
		}
	}

	// No kubelet has to confirm that a pod has ended.
	last := pods[len(pods)-1]
	if err := c.Client().CoreV1().Pods(last.Namespace).Delete(t.Context(), last.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client().CoreV1().Pods(last.Namespace).Get(t.Context(), last.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a deleted pod: got %v, want not found", err)
	}
}

// deleteObjects is for clean-up, when the test's own context has ended.
func deleteObjects(t *testing.T, c *Cluster, args ...string) {
	t.Helper()
	if _, err := c.Kubectl(context.Background(), append([]string{"delete"}, args...)...); err != nil {
		t.Error(err)
	}
}

func TestCreateReportsTheFirstError(t *testing.T) {
	c := sharedCluster(t)
	bad := NewNode("Not_A_Name", "127.16.1.1", 10250, nil)
	err := c.CreateNodes(t.Context(), slices.Values([]*corev1.Node{bad}))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "create node Not_A_Name") {
		t.Errorf("got %v, want an error that names the node", err)
	}
}

func TestIdentities(t *testing.T) {
	c := sharedCluster(t)
	alice, err := c.ClientFor("alice", "developers")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := c.ClientFor("bob")
	if err != nil {
		t.Fatal(err)
	}
	_, err = clientset(t, bob).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `"bob"`) {
		t.Errorf("a user without rights: got %v, want forbidden", err)
	}
	_, err = clientset(t, c.AnonymousConfig()).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:anonymous") {
		t.Errorf("without credentials: got %v, want forbidden", err)
	}

	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := WriteKubeconfig(kubeconfig, alice); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{kubeconfig, c.AdminKubeconfig()} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %o, want 600", path, info.Mode().Perm())
		}
	}
	t.Cleanup(func() { deleteObjects(t, c, "clusterrolebinding,clusterrole", "list-nodes") })
	if err := c.Apply(t.Context(), developersMayListNodes); err != nil {
		t.Fatal(err)
	}
	// The API server's authorizer learns of a binding a moment later.
	canList := func() (string, error) {
		out, err := c.KubectlAs(t.Context(), kubeconfig, "auth", "can-i", "list", "nodes")
		return strings.TrimSpace(out), err
	}
	answer, err := canList()
	for deadline := time.Now().Add(time.Minute); answer != "yes" && time.Now().Before(deadline); answer, err = canList() {
		time.Sleep(50 * time.Millisecond)
	}
	if answer != "yes" {
		t.Errorf("a user of a group with rights: got %q, %v", answer, err)
	}
}

const developersMayListNodes = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: list-nodes}
rules:
- {apiGroups: [""], resources: [nodes], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: list-nodes}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: list-nodes}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: developers}
`

func TestServiceAccountToken(t *testing.T) {
	c := sharedCluster(t)
	token, err := c.ServiceAccountToken(t.Context(), "default", "default")
	if err != nil {
		t.Fatal(err)
	}
	config := c.AnonymousConfig()
	config.BearerToken = token
	_, err = clientset(t, config).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:serviceaccount:default:default") {
		t.Errorf("got %v, want the service account to be known and to have no rights", err)
	}
	if _, err := c.ServiceAccountToken(t.Context(), "default", "missing"); !apierrors.IsNotFound(err) {
		t.Errorf("a service account that does not exist: got %v, want not found", err)
	}
}

func TestUsersCannotReachEtcd(t *testing.T) {
	c := sharedCluster(t)
	cert, key, err := c.CA().IssueClient("kube-apiserver", []string{"system:masters"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"client.crt": cert, "client.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	probe, err := newProbe(c.etcdURL()+"/health", c.pki.path("etcd-ca.crt"), filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := probe(t.Context()); err == nil {
		t.Error("etcd accepts a client certificate of the cluster's authority")
	}
}

func TestRestart(t *testing.T) {
	c := sharedCluster(t)
	nodes := func() error {
		_, err := c.Kubectl(t.Context(), "get", "nodes")
		return err
	}
	if err := nodes(); err != nil {
		t.Fatal(err)
	}
	if err := c.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	if err := nodes(); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("while the API server is stopped: got %v, want connection refused", err)
	}
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := nodes(); err != nil {
		t.Errorf("after its start with the same kubeconfig: %v", err)
	}

	if err := c.StopEtcd(); err != nil {
		t.Fatal(err)
	}
	if err := c.StartEtcd(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The API server connects again by itself.
	for deadline := time.Now().Add(time.Minute); nodes() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a minute after etcd came back: %v", nodes())
		}
	}
}

func TestAPIServices(t *testing.T) {
	c := sharedCluster(t)
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RegisterAPIServices(t.Context(), port, c.CA().CertPEM()); err != nil {
		t.Fatal(err)
	}
	// Nothing listens there. Wait until the aggregator has noticed.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !strings.Contains(fmt.Sprint(availability(ctx, t, c)), "FailedDiscoveryCheck") {
		if ctx.Err() != nil {
			t.Fatal("the aggregator does not report the check that failed")
		}
		time.Sleep(100 * time.Millisecond)
	}

	server := startDiscovery(t, c, port)
	defer server.Close()
	if err := c.WaitAvailable(ctx); err != nil {
		t.Fatal(err)
	}
	if out, err := c.Kubectl(t.Context(), "get", "--raw", "/apis/metrics.k8s.io/v1/hello"); err != nil || out != "hello kubernetes-admin from front-proxy-client" {
		t.Errorf("through the aggregator: got %q, %v", out, err)
	}
	deleteObjects(t, c, "apiservices", "v1.metrics.k8s.io", "v1beta1.metrics.k8s.io")
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.WaitAvailable(done); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: got %v", err)
	}
}

// TestStop needs a cluster of its own, as does what follows it.
func TestStop(t *testing.T) {
	skipIfShort(t)
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := Start(ctx, Options{Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()

	var output lockedBuffer
	guest, err := c.StartProcess("guest", "/bin/sh", []string{"-c", `trap 'echo stopping; exit 3' TERM; echo started; while :; do sleep 0.05; done`}, &output)
	if err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(output.String(), "started") {
		time.Sleep(10 * time.Millisecond)
	}
	pids := c.pids()
	if len(pids) != 4 {
		t.Errorf("got %d processes, want etcd, kube-apiserver, kube-controller-manager and guest", len(pids))
	}

	// Ends by the context: Stop only waits then.
	cancel()
	c.Stop()
	c.Stop()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d lives on", pid)
		}
	}
	if _, err := os.Stat(c.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder %s: got %v, want it gone", c.Dir(), err)
	}
	var exit *exec.ExitError
	if err := guest.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("guest: got %v, want exit status 3 after SIGTERM", err)
	}
	if got := output.String(); got != "started\nstopping\n" {
		t.Errorf("guest: got output %q", got)
	}
	if _, err := c.StartProcess("late", "/bin/sh", nil, nil); !errors.Is(err, errStopped) {
		t.Errorf("a process after Stop: got %v, want an error", err)
	}
	if _, err := c.Kubectl(t.Context(), "version"); !errors.Is(err, errStopped) {
		t.Errorf("kubectl after Stop: got %v, want an error", err)
	}
	for _, want := range []string{"starting etcd …", "kube-apiserver ok (", "ready in"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

func TestStartOnTakenPort(t *testing.T) {
	skipIfShort(t)
	binaries := sharedCluster(t).binaries
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port

	for name, take := range map[string]func(*ports){
		"etcd":                    func(p *ports) { p.etcdClient = port },
		"kube-apiserver":          func(p *ports) { p.apiServer = port },
		"kube-controller-manager": func(p *ports) { p.controllerManager = port },
	} {
		t.Run(name, func(t *testing.T) {
			ports, err := choosePorts()
			if err != nil {
				t.Fatal(err)
			}
			take(&ports)
			if _, err := start(t.Context(), binaries, ports, nil, newProgress(nil)); !errors.Is(err, errPortTaken) {
				t.Errorf("got %v, want that a port is taken", err)
			}
		})
	}
}

func TestStartWithBrokenBinary(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	script := "#!/bin/sh\nfor i in $(seq 1 30); do echo line $i; done\nexit 7\n"
	if err := os.WriteFile(filepath.Join(dir, "etcd"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	ports, err := choosePorts()
	if err != nil {
		t.Fatal(err)
	}
	_, err = start(t.Context(), binaries{version: "v0.0.0", dir: dir}, ports, nil, newProgress(nil))
	if err == nil {
		t.Fatal("got no error")
	}
	message := err.Error()
	if !strings.Contains(message, "etcd ended while it started (exit status 7)") || !strings.Contains(message, "line 11\n") || strings.Contains(message, "line 10\n") {
		t.Errorf("got %q, want the exit status and the last 20 lines", message)
	}
	kept := message[strings.LastIndex(message, " ")+1:]
	if log, err := os.ReadFile(kept); err != nil || !strings.HasPrefix(string(log), "line 1\n") {
		t.Errorf("the log that was kept in %q: got %q, %v", kept, log, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "kubemeter-cluster-*")); len(left) > 0 {
		t.Errorf("folders are left: %v", left)
	}
}

// helperReport is what the helper prints when its cluster runs.
type helperReport struct {
	Dir  string
	PIDs []int
}

// runHelper starts a cluster, restarts a part of it, starts a process and waits
// until it is killed.
func runHelper() {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	c, err := Start(ctx, Options{Log: os.Stderr})
	fail(err)
	fail(c.StopAPIServer())
	fail(c.StartAPIServer(ctx))
	_, err = c.StartProcess("stubborn", "/bin/sh", []string{"-c", `trap '' TERM HUP INT; while :; do sleep 1; done`}, nil)
	fail(err)
	fail(json.NewEncoder(os.Stdout).Encode(helperReport{Dir: c.Dir(), PIDs: c.pids()}))
	select {}
}

func TestCrashOfParent(t *testing.T) {
	sharedCluster(t) // so that the helper needs no build
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperEnv+"=1")
	helper.Stderr = os.Stderr
	stdout, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the helper reports nothing: %v, %v", err, helper.Wait())
	}
	var report helperReport
	if err := json.Unmarshal(line, &report); err != nil {
		t.Fatal(err)
	}
	running := slices.DeleteFunc(slices.Clone(report.PIDs), func(pid int) bool { return !alive(pid) })
	if len(running) != 4 {
		t.Errorf("got %d processes before the crash, want 4", len(running))
	}

	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait() // killed
	gone := func() bool {
		_, err := os.Stat(report.Dir)
		return errors.Is(err, os.ErrNotExist) && !slices.ContainsFunc(report.PIDs, alive)
	}
	for deadline := time.Now().Add(time.Minute); !gone(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after the parent was killed, %s or some of the processes %v are left", report.Dir, report.PIDs)
		}
	}
}

// alive is false for a process that has ended and whose parent has not noticed.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func (c *Cluster) pids() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var pids []int
	for _, p := range c.processes {
		pids = append(pids, p.PID())
	}
	return pids
}

// lockedBuffer can be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*lockedBuffer)(nil)

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
