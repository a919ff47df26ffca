// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package switchover replaces one metrics server by another in a running cluster, as
// a rolling update of its Deployment does, and counts the reads that are lost.
//
// The other one is this server as metrics-server of kubernetes-sigs is installed: with
// a certificate that it signs itself, which the API server does not verify, and v1beta1
// only. With a flag it is any compatible binary:
//
//	go test ./switchover -args -peer=BINARY
package switchover

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/kubemeter/metrics-server/pkg/leaktest"
	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

var (
	peer     = flag.String("peer", "", "path of the binary of the other metrics server")
	previous = flag.String("previous", "", "path of the binary that TestUpdate begins with, in place of this one without its new flags")
)

const (
	nodes, pods = 3, 24
	// patience is how long a test waits for what has to come.
	patience = 3 * time.Minute
	// resolution is an interval of both servers.
	resolution = 10 * time.Second
)

// peerManifest is what is applied for the peer.
const peerManifest = `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: v1beta1.metrics.k8s.io
  labels: {k8s-app: metrics-server}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: metrics-server, namespace: kube-system}
`

// install is a way in which a metrics server runs.
type install struct {
	name, binary string
	flags        []string
}

// site is a cluster in which one of them runs.
type site struct {
	*localcluster.Local
	t        *testing.T
	balancer *balancer
	running  []*replica // nil for one that has not been started yet
	started  int
	own, old install
}

func TestSwitch(t *testing.T) {
	s := newSite(t, 1, nil)
	peerAPIService := s.objects(peerManifest)
	s.apply(peerAPIService)
	s.rollOut(s.old)
	s.eventually(s.served)
	r := startReaders(t, s)

	base, unverified := s.apiServices("base", 2), s.apiServices("overlays/switch", 1)
	back := func() {
		s.kubectl("patch", "apiservice", "v1beta1.metrics.k8s.io", "--type=merge", "-p", `{"spec":{"insecureSkipTLSVerify":true,"caBundle":null}}`)
		s.kubectl("delete", "apiservice", "v1.metrics.k8s.io")
		s.apply(peerAPIService)
		s.rollOut(s.old)
	}
	for _, step := range []struct {
		name     string
		do       func()
		lossless bool
	}{
		{"to ours at once", func() { s.apply(base); s.rollOut(s.own); s.eventually(s.verified) }, false},
		{"back", back, true},
		{"to ours by the overlay", func() { s.apply(unverified); s.rollOut(s.own) }, true},
		{"and verified", func() { s.apply(base); s.eventually(s.verified) }, false},
		{"back again", back, true},
	} {
		step.do()
		s.eventually(s.served)
		lost := r.take()
		t.Logf("%s: %s", step.name, lost)
		if lost.reads == 0 || step.lossless && len(lost.failures) > 0 {
			t.Errorf("%s: %d reads, of which these failed:\n%s", step.name, lost.reads, strings.Join(lost.failures, "\n"))
		}
	}
}

// TestRollingUpdate is an update of this server from itself, with two replicas.
func TestRollingUpdate(t *testing.T) {
	s := newSite(t, 2, nil)
	s.apply(s.apiServices("base", 2))
	s.rollOut(s.own)
	s.eventually(s.verified)
	s.eventually(s.served)
	r := startReaders(t, s)
	s.rollOut(s.own)
	s.eventually(s.served)
	lost := r.take()
	t.Log(lost)
	if lost.reads == 0 || len(lost.failures) > 0 {
		t.Errorf("%d reads, of which these failed:\n%s", lost.reads, strings.Join(lost.failures, "\n"))
	}
}

// TestUpdate is an update of this server from the version before --kubelet-service-account and
// --tls-ca-configmap, in place: the rights first, and then the pods, as manifests and chart are
// applied. Without rights the flags stay unset, as with rbac.create=false of the chart: then only
// -previous makes it more than a restart.
func TestUpdate(t *testing.T) {
	for name, newRights := range map[string]bool{"with its rights": true, "without new rights": false} {
		t.Run(name, func(t *testing.T) {
			tokens := &localcluster.TokenLog{}
			s := newSite(t, 1, tokens.Observe)
			before := s.own
			before.name, before.flags = "metrics-server-before", slices.DeleteFunc(slices.Clone(s.own.flags), func(flag string) bool {
				return flag == localcluster.KubeletServiceAccountFlag
			})
			if *previous != "" {
				before.binary = *previous
			}
			after := before
			after.binary = s.own.binary
			if newRights {
				after = s.own
				after.flags = append(after.flags, "--tls-ca-configmap=kube-system/metrics-server-ca")
			}
			added := []string{"clusterrolebinding/system:metrics-server-kubelet", "serviceaccount/metrics-server-kubelet", "role/metrics-server-kubelet-token",
				"rolebinding/metrics-server-kubelet-token", "role/metrics-server-ca", "rolebinding/metrics-server-ca"}
			s.kubectl(append([]string{"delete", "--namespace=kube-system"}, added...)...)
			s.apply(s.apiServices("base", 2))
			s.rollOut(before)
			s.eventually(s.verified)
			s.eventually(s.served)
			if seen := byAccount(tokens); len(seen) != 1 || seen["metrics-server"] == 0 {
				t.Errorf("kubelets were sent tokens of %v", seen)
			}
			r := startReaders(t, s)
			if newRights {
				s.kubectl("apply", "-f", filepath.Join("..", "..", "manifests", "base", "rbac.yaml"))
			}
			s.rollOut(after)
			s.eventually(s.served)
			during := byAccount(tokens)
			time.Sleep(2 * resolution) // the new server goes on
			afterwards := byAccount(tokens)
			lost := r.take()
			t.Logf("%s; kubelets were sent tokens of %v during the update, of %v afterwards", lost, during, afterwards)
			if lost.reads == 0 || len(lost.failures) > 0 {
				t.Errorf("%d reads, of which these failed:\n%s", lost.reads, strings.Join(lost.failures, "\n"))
			}
			want := "metrics-server"
			if newRights {
				want = "metrics-server-kubelet"
				s.kubectl("get", "configmap", "metrics-server-ca", "--namespace=kube-system")
			}
			if len(afterwards) != 1 || afterwards[want] == 0 {
				t.Errorf("afterwards, kubelets were sent tokens of %v, want %s", afterwards, want)
			}
		})
	}
}

// byAccount sums the tokens up that kubelets were sent since the last time.
func byAccount(l *localcluster.TokenLog) map[string]int {
	sum := map[string]int{}
	for token, n := range l.Take() {
		sum[localcluster.AccountOf(token)] += n
	}
	return sum
}

// newSite returns a cluster for a number of replicas, in which none runs yet.
func newSite(t *testing.T, replicas int, observeToken func(string)) *site {
	t.Helper()
	leaktest.Check(t)
	dir := t.TempDir()
	binary, err := localcluster.BuildServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	balancer := newBalancer(t)
	l, err := localcluster.Prepare(t.Context(), localcluster.Options{Server: binary, Nodes: nodes, Pods: pods, ObserveToken: observeToken, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	if err := l.CreateWorkload(t.Context()); err != nil {
		t.Fatal(err)
	}
	common := append(l.ServerArgs(), "--metric-resolution="+resolution.String(), "--kubelet-request-timeout=4s",
		"--tls-cert-file=", "--tls-private-key-file=")
	s := &site{
		Local: l, t: t, balancer: balancer, running: make([]*replica, replicas),
		own: install{"metrics-server-own", binary, append(common[:len(common):len(common)], "--tls-secret=kube-system/metrics-server-tls", localcluster.KubeletServiceAccountFlag)},
		old: install{"metrics-server-old", binary, append(common[:len(common):len(common)], "--cert-dir="+filepath.Join(dir, "certificates"))},
	}
	if *peer != "" {
		s.old.binary = *peer
	}
	// As if nothing had been installed yet, but for the Service.
	s.kubectl("delete", "apiservice", "v1.metrics.k8s.io", "v1beta1.metrics.k8s.io")
	return s
}

func (s *site) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.Kubectl(s.t.Context(), args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// apiServices are those of the manifests in a folder.
func (s *site) apiServices(folder string, want int) (found []*unstructured.Unstructured) {
	s.t.Helper()
	for _, o := range s.objects(s.kubectl("kustomize", filepath.Join("..", "..", "manifests", folder))) {
		if o.GetKind() == "APIService" {
			found = append(found, o)
		}
	}
	if len(found) != want {
		s.t.Fatalf("%s has %d APIServices", folder, len(found))
	}
	return found
}

func (s *site) objects(manifest string) (all []*unstructured.Unstructured) {
	s.t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096)
	for {
		o := &unstructured.Unstructured{}
		switch err := decoder.Decode(&o.Object); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			s.t.Fatal(err)
		case len(o.Object) > 0:
			all = append(all, o)
		}
	}
}

// apply is kubectl apply, with the port of the balancer for that of the Service:
// there is no kube-proxy here.
func (s *site) apply(objects []*unstructured.Unstructured) {
	s.t.Helper()
	for _, o := range objects {
		if err := unstructured.SetNestedField(o.Object, int64(s.balancer.port), "spec", "service", "port"); err != nil {
			s.t.Fatal(err)
		}
		text, err := o.MarshalJSON()
		if err != nil {
			s.t.Fatal(err)
		}
		file := filepath.Join(s.t.TempDir(), "object.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			s.t.Fatal(err)
		}
		s.kubectl("apply", "-f", file)
	}
}

// rollOut does what a Deployment does whose maxUnavailable is 0, for each pod: a new one
// gets requests when it is ready, and the old one none any more before it ends.
func (s *site) rollOut(i install) {
	s.t.Helper()
	for n, old := range s.running {
		s.running[n] = s.start(i)
		s.balancer.route(s.running)
		if old != nil {
			if err := errors.Join(old.process.Stop(), old.process.Wait()); err != nil {
				s.t.Error(err)
			}
		}
	}
}

// start returns when the new one is ready.
func (s *site) start(i install) *replica {
	s.t.Helper()
	port, err := cluster.FreePort()
	if err != nil {
		s.t.Fatal(err)
	}
	s.started++
	args := append(i.flags[:len(i.flags):len(i.flags)], fmt.Sprint("--secure-port=", port))
	process, err := s.StartProcess(fmt.Sprint(i.name, "-", s.started), i.binary, args, os.Stderr)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &replica{process: process, address: fmt.Sprint("127.0.0.1:", port)}
	s.eventually(r.ready)
	return r
}

// replica is a process in place of a pod.
type replica struct {
	process *cluster.Process
	address string
}

// ready asks as a kubelet does, which verifies nothing.
func (r *replica) ready(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+r.address+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// verified tells whether the API server verifies the server.
func (s *site) verified(ctx context.Context) error {
	for _, name := range []string{"v1.metrics.k8s.io", "v1beta1.metrics.k8s.io"} {
		bundle, err := s.Kubectl(ctx, "get", "apiservice", name, "-o", "jsonpath={.spec.caBundle}{.spec.insecureSkipTLSVerify}")
		if err != nil {
			return err
		}
		if len(bundle) < 100 || strings.Contains(bundle, "true") {
			return fmt.Errorf("%s is not verified: %q", name, bundle)
		}
	}
	return s.WaitAvailable(ctx)
}

func (s *site) eventually(check func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("not within %s: %v", patience, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
