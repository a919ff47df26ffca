// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/eventually"
)

const account = "system:serviceaccount:kube-system:metrics-server"

// TestForbidden takes away the right to read kubelets' metrics, and gives it back.
func TestForbidden(t *testing.T) {
	s := startServer(t)
	s.waitNode(t, time.Time{})
	setRights(t, `["nodes/stats"]`)
	taken := time.Now()
	line := s.waitLog(t, `.*reason="forbidden".*`)
	t.Logf("%.0f s after the right was taken away, the log says:\n%s", time.Since(taken).Seconds(), line)
	if !strings.Contains(line, "nodes/metrics") {
		t.Error("the log does not say which right is missing")
	}
	t.Logf("the kubelet says: %s", askKubelet(t, s.token))

	setRights(t, `["nodes/metrics","nodes/stats"]`)
	given := time.Now()
	s.waitNode(t, given)
	t.Logf("%.0f s after the right was given back, the node is served from a newer sample", time.Since(given).Seconds())
}

func setRights(t *testing.T, resources string) {
	t.Helper()
	patch := fmt.Sprintf(`--patch=[{"op":"replace","path":"/rules/1/resources","value":%s}]`, resources)
	must[string](t)(node.Kubectl(t.Context(), "patch", "clusterrole", "system:metrics-server", "--type=json", patch))
}

// TestUnauthorized shows the kubelet a certificate that no authority of the cluster has
// signed.
func TestUnauthorized(t *testing.T) {
	startServer(t) // for the rights
	stranger := must[*cluster.CertificateAuthority](t)(cluster.NewCertificateAuthority("stranger"))
	cert, key, err := stranger.IssueClient(account, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string][]byte{"client.crt": cert, "client.key": key} {
		if err := os.WriteFile(file(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The API server knows it by a certificate, and not by a token that the kubelet would
	// take.
	config := must[*rest.Config](t)(node.ClientFor(account))
	if err := cluster.WriteKubeconfig(file("kubeconfig"), config); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, config, must[int](t)(cluster.FreePort()),
		"--kubeconfig="+file("kubeconfig"), "--authentication-kubeconfig="+file("kubeconfig"), "--authorization-kubeconfig="+file("kubeconfig"),
		"--kubelet-client-certificate="+file("client.crt"), "--kubelet-client-key="+file("client.key"))
	t.Logf("the log says:\n%s", waitLog(t, p, `.*reason="unauthorized".*`))
}

// TestAPIServerGone takes the API server away for longer than the kubelet goes by its
// answers and than points are served, and gives it back.
func TestAPIServerGone(t *testing.T) {
	s := startServer(t)
	startWorkload(t)
	s.waitAll(t, time.Time{})
	if err := node.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	gone := time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			// Other tests need it.
			_ = node.StartAPIServer(context.WithoutCancel(t.Context()))
		}
	})
	line := s.waitLog(t, `.*"Scraping a node fails".*reason="unauthorized".*`)
	t.Logf("%.0f s after the API server went, the log says:\n%s", time.Since(gone).Seconds(), line)
	t.Logf("the kubelet says: %s", askKubelet(t, s.token))
	// All that was served is too old then.
	eventually.Succeeds(t, patience, func() error {
		if since := time.Since(gone); since < cacheTTL+5*resolution {
			return fmt.Errorf("it has been gone for %s only", since)
		}
		return nil
	})
	if err := node.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	s.waitAll(t, back)
	t.Logf("%.0f s after its return (it was gone for %.0f s), the node and its pods are served from newer samples", time.Since(back).Seconds(), back.Sub(gone).Seconds())
	t.Logf("the log says:\n%s", s.waitLog(t, `.*"Scraping a node works again".*`))
}

// waitNode waits until the node is served from a sample that is newer.
func (s *server) waitNode(t *testing.T, since time.Time) {
	t.Helper()
	eventually.Succeeds(t, patience, func() error {
		m, err := s.client.MetricsV1beta1().NodeMetricses().Get(t.Context(), Name, metav1.GetOptions{})
		if err == nil && !m.Timestamp.After(since) {
			err = fmt.Errorf("the newest sample is of %s", m.Timestamp)
		}
		return err
	})
}

// waitAll waits for the pods that run all the time, too.
func (s *server) waitAll(t *testing.T, since time.Time) {
	t.Helper()
	s.waitNode(t, since)
	for _, pod := range []string{"whole", "burn", "idle"} {
		eventually.Succeeds(t, patience, func() error {
			m, err := s.client.MetricsV1beta1().PodMetricses(namespace).Get(t.Context(), pod, metav1.GetOptions{})
			if err == nil && !m.Timestamp.After(since) {
				err = fmt.Errorf("the newest sample of pod %s is of %s", pod, m.Timestamp)
			}
			return err
		})
	}
}

func (s *server) waitLog(t *testing.T, pattern string) string {
	t.Helper()
	return waitLog(t, s.Process, pattern)
}

// waitLog returns the first line of a server's log that matches.
func waitLog(t *testing.T, p *cluster.Process, pattern string) (line string) {
	t.Helper()
	wanted := regexp.MustCompile("(?m)^" + pattern + "$")
	eventually.Succeeds(t, patience, func() error {
		text := logOf(t, p)
		if line = wanted.FindString(text); line == "" {
			return fmt.Errorf("there is no %s in the log:\n%s", pattern, text)
		}
		return nil
	})
	return line
}

// askKubelet returns what the kubelet tells the holder of a token.
func askKubelet(t *testing.T, token string) string {
	t.Helper()
	config := node.AnonymousConfig()
	config.BearerToken = token
	client := must[*http.Client](t)(rest.HTTPClientFor(config))
	defer client.CloseIdleConnections()
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+node.Address()+":10250/metrics/resource", nil))
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := must[[]byte](t)(io.ReadAll(io.LimitReader(resp.Body, 200)))
	return fmt.Sprintf("%s: %q", resp.Status, body)
}
