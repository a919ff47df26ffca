// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package servingcert tests the serving certificate that servers keep themselves: in a
// Secret of a real control plane, with the rights of the manifests, behind a real
// aggregation layer that verifies it.
package servingcert

import (
	"bytes"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	certutil "k8s.io/client-go/util/cert"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	// validity is the least that the server takes.
	validity = 2 * time.Minute
	// patience is how long a test waits for what has to come.
	patience = 2 * time.Minute
)

var (
	duration = flag.Duration("for", 0, "how long certificates are rotated, at least until each kind of rotation was seen")

	local *localcluster.Local
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: 3, Pods: 6, ManagedCertificate: true,
		ServerFlags: []string{
			"--metric-resolution=10s", "--kubelet-request-timeout=4s", "--v=1",
			"--tls-secret-validity=" + validity.String(),
			// Connections are made anew all the time, so that certificates are verified.
			"--goaway-chance=0.02",
		},
	}, func(l *localcluster.Local) int {
		local = l
		return m.Run()
	}))
}

// secret returns the Secret's data, which is nil if there is none.
func secret(t *testing.T) map[string][]byte {
	t.Helper()
	s, err := local.Client().CoreV1().Secrets(metav1.NamespaceSystem).Get(t.Context(), localcluster.CertificateSecret, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return s.Data
}

func deleteSecret(t *testing.T) {
	t.Helper()
	err := local.Client().CoreV1().Secrets(metav1.NamespaceSystem).Delete(t.Context(), localcluster.CertificateSecret, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

func createSecret(t *testing.T, data map[string][]byte) {
	t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: localcluster.CertificateSecret}, Data: data}
	if _, err := local.Client().CoreV1().Secrets(metav1.NamespaceSystem).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// patchSecret writes over the Secret, whoever else writes to it.
func patchSecret(t *testing.T, patch string) {
	t.Helper()
	_, err := local.Client().CoreV1().Secrets(metav1.NamespaceSystem).Patch(t.Context(), localcluster.CertificateSecret,
		types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// newAuthority is a CA that the server has not made.
func newAuthority(t *testing.T, notBefore, notAfter time.Time) *cluster.CertificateAuthority {
	t.Helper()
	a, err := cluster.NewCertificateAuthorityBetween("a CA of the test", notBefore, notAfter)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// certificate is the one in the Secret.
func certificate(t *testing.T) *x509.Certificate {
	t.Helper()
	certs, err := certutil.ParseCertsPEM(secret(t)["tls.crt"])
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

// checkKept has an error unless the Secret's authorities are in both APIServices, and
// the Secret's certificate is served by the replicas.
func checkKept(t *testing.T, replicas ...replica) error {
	t.Helper()
	data := secret(t)
	var errs []error
	for _, name := range apiServices {
		if bundle := bundleOf(t, name); !bytes.Equal(bundle, data["ca.crt"]) {
			errs = append(errs, fmt.Errorf("%s has the bundle %q, and the Secret %q", name, bundle, data["ca.crt"]))
		}
	}
	for _, r := range replicas {
		served, err := r.served(data["ca.crt"])
		if err == nil && !bytes.Equal(served, data["tls.crt"]) {
			err = fmt.Errorf("%s serves %q, and the Secret has %q", r.address, served, data["tls.crt"])
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Two replicas that are started when there is no Secret end up with one certificate.
func TestStartedAtOnce(t *testing.T) {
	stopServer(t)
	deleteSecret(t)
	replicas := startReplicas(t)
	eventually.Succeeds(t, patience, func() error { return checkKept(t, replicas...) })
	if err := local.WaitAvailable(t.Context()); err != nil {
		t.Error(err)
	}
	want := fmt.Sprintf("\nmetrics_server_serving_certificate_expiration_timestamp_seconds %s\n",
		strconv.FormatFloat(float64(certificate(t).NotAfter.Unix()), 'g', -1, 64))
	for _, r := range replicas {
		if text := r.metrics(t, secret(t)["ca.crt"]); !strings.Contains(text, want) {
			t.Errorf("there is no line %q in\n%s", want, text)
		}
	}
}

// While certificates and authorities are rotated, the Secret is deleted and written
// over, no request through the aggregation layer fails.
func TestRotation(t *testing.T) {
	stopServer(t)
	deleteSecret(t)
	// A fifth of its life is four minutes.
	old := newAuthority(t, time.Now().Add(-16*time.Minute+20*time.Second), time.Now().Add(4*time.Minute+20*time.Second))
	key, err := old.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	createSecret(t, map[string][]byte{"ca.crt": old.CertPEM(), "ca.key": key})
	replicas := startReplicas(t)
	eventually.Succeeds(t, patience, func() error { return checkKept(t, replicas...) })
	if err := local.RegisterAPIServices(t.Context(), newBalancer(t, replicas), nil); err != nil {
		t.Fatal(err)
	}
	if err := local.WaitAvailable(t.Context()); err != nil {
		t.Fatal(err)
	}
	load := startLoad(t)
	began := time.Now()

	t.Log("waiting for another authority")
	eventually.Succeeds(t, patience, func() error {
		if n := bytes.Count(bundleOf(t, apiServices[0]), []byte("BEGIN")); n != 2 {
			return fmt.Errorf("the bundle has %d authorities", n)
		}
		return nil
	})
	t.Logf("after %s; waiting for a certificate that it signed", time.Since(began).Round(time.Second))
	eventually.Succeeds(t, patience, func() error {
		_, err := certificate(t).Verify(x509.VerifyOptions{Roots: old.Pool()})
		if err == nil {
			return errors.New("the old authority signed the certificate")
		}
		return checkKept(t, replicas...)
	})
	t.Logf("after %s", time.Since(began).Round(time.Second))
	t.Run("Secret deleted", func(t *testing.T) {
		before := secret(t)
		deleteSecret(t)
		eventually.Succeeds(t, patience, func() error { return checkRestored(t, before, replicas) })
	})
	for name, patch := range map[string]string{
		"empty":                   `[{"op": "remove", "path": "/data"}]`,
		"garbage":                 `[{"op": "replace", "path": "/data", "value": {"ca.crt": "eA==", "ca.key": "eA==", "tls.crt": "eA==", "tls.key": "eA=="}}]`,
		"garbage of an authority": `[{"op": "replace", "path": "/data/ca.crt", "value": "eA=="}]`,
		"no certificate":          `[{"op": "remove", "path": "/data/tls.crt"}]`,
		"another one's key":       `[{"op": "copy", "from": "/data/ca.key", "path": "/data/tls.key"}]`,
		"no authority's key":      `[{"op": "copy", "from": "/data/tls.key", "path": "/data/ca.key"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			before := secret(t)
			patchSecret(t, patch)
			eventually.Succeeds(t, patience, func() error { return checkRestored(t, before, replicas) })
		})
	}
	time.Sleep(time.Until(began.Add(*duration)))
	load.stop(t)
	load.report(t, time.Since(began))
}

// checkRestored has an error unless all is as before, but that the time may have come
// to rotate something.
func checkRestored(t *testing.T, before map[string][]byte, replicas []replica) error {
	t.Helper()
	data := secret(t)
	if !bytes.Contains(data["ca.crt"], before["ca.crt"]) {
		return fmt.Errorf("the Secret has %q, before %q", data["ca.crt"], before["ca.crt"])
	}
	return checkKept(t, replicas...)
}

// A server that lacks a right says which, answers health checks, and is not ready.
func TestMissingRight(t *testing.T) {
	process, url, err := local.StartAnother("--tls-secret=default/metrics-server-tls")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(process.Stop(), process.Wait()); err != nil {
			t.Error(err)
		}
	})
	eventually.Succeeds(t, patience, func() error {
		text, err := os.ReadFile(process.LogFile())
		if err != nil {
			return err
		}
		for _, part := range []string{"lacks a right", `cannot get resource \"secrets\" in API group \"\" in the namespace \"default\"`} {
			if !strings.Contains(string(text), part) {
				return fmt.Errorf("there is no %q in the log:\n%s", part, text)
			}
		}
		return nil
	})
	eventually.Succeeds(t, patience, func() error {
		err := replica{host(url)}.ready()
		if err == nil {
			t.Fatal("the server is ready")
		}
		if !strings.Contains(err.Error(), "[-]serving-certificate failed") {
			return err
		}
		return nil
	})
}
