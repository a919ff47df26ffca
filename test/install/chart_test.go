// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"github.com/kubemeter/metrics-server/test/cluster"
)

func TestChartLints(t *testing.T) {
	for _, h := range helms {
		h.must(t, "lint", "--strict", chart())
		for _, file := range valuesFiles(t) {
			h.must(t, "lint", "--strict", chart(), "--values", file)
		}
	}
}

// release is one of the chart, in a namespace of its own that is restricted.
type release struct {
	helm
	namespace string
}

// install removes the release when the test ends: of APIServices and cluster roles
// there can be one only.
func install(t *testing.T, h helm, args ...string) release {
	t.Helper()
	r := release{h, "metering-" + strings.ReplaceAll(h.name, " ", "")}
	restrict(t, r.namespace)
	existing := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics-server-existing"},
		Data:       map[string][]byte{"ca.crt": []byte(newBundle(t)), "tls.crt": []byte("certificate"), "tls.key": []byte("key")},
	}
	secrets := plane.Client().CoreV1().Secrets(r.namespace)
	must[*corev1.Secret](t)(secrets.Create(t.Context(), existing, metav1.CreateOptions{}))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := r.run(ctx, "uninstall", "metrics-server", "--namespace", r.namespace)
		if err != nil {
			t.Error(err)
		}
		if err := errors.Join(secrets.Delete(ctx, existing.Name, metav1.DeleteOptions{}), r.deleteWritten(ctx)); err != nil {
			t.Error(err)
		}
	})
	r.must(t, append([]string{"install", "metrics-server", chart(), "--namespace", r.namespace}, args...)...)
	return r
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// deleteWritten deletes what the server has written, which Helm leaves.
func (r release) deleteWritten(ctx context.Context) error {
	core := plane.Client().CoreV1()
	return errors.Join(
		ignoreNotFound(core.Secrets(r.namespace).Delete(ctx, tlsSecret, metav1.DeleteOptions{})),
		ignoreNotFound(core.ConfigMaps(r.namespace).Delete(ctx, caConfigMap, metav1.DeleteOptions{})),
	)
}

func (r release) upgrade(ctx context.Context, args ...string) error {
	_, err := r.run(ctx, append([]string{"upgrade", "metrics-server", chart(), "--namespace", r.namespace, "--reset-values"}, args...)...)
	return err
}

func (r release) secret(t *testing.T, name string) map[string][]byte {
	t.Helper()
	return must[*corev1.Secret](t)(plane.Client().CoreV1().Secrets(r.namespace).Get(t.Context(), name, metav1.GetOptions{})).Data
}

// apiServices are what the API server has of them.
func apiServices(t *testing.T) (both []*apiregistrationv1.APIService) {
	t.Helper()
	client := must[*aggregator.Clientset](t)(aggregator.NewForConfig(plane.AdminConfig()))
	for _, name := range []string{"v1.metrics.k8s.io", "v1beta1.metrics.k8s.io"} {
		both = append(both, must[*apiregistrationv1.APIService](t)(client.ApiregistrationV1().APIServices().Get(t.Context(), name, metav1.GetOptions{})))
	}
	return both
}

// checkTrust checks how the API server is told to verify the server.
func checkTrust(t *testing.T, insecure bool, bundle []byte, injectFrom string) {
	t.Helper()
	for _, s := range apiServices(t) {
		if s.Spec.InsecureSkipTLSVerify != insecure || !bytes.Equal(s.Spec.CABundle, bundle) || s.Annotations["cert-manager.io/inject-ca-from"] != injectFrom {
			t.Errorf("%s: insecureSkipTLSVerify %t, want %t; caBundle %q, want %q; CA injected from %q, want %q", s.Name,
				s.Spec.InsecureSkipTLSVerify, insecure, s.Spec.CABundle, bundle, s.Annotations["cert-manager.io/inject-ca-from"], injectFrom)
		}
	}
}

func TestChart(t *testing.T) {
	for _, h := range helms {
		t.Run(h.name+" default", func(t *testing.T) {
			r := install(t, h)
			admitPod(t, r.namespace)
			checkTrust(t, false, nil, "")
			r.checkKept(t)
		})
		for name, file := range valuesFiles(t) {
			t.Run(h.name+" "+name, func(t *testing.T) {
				r := install(t, h, "--values", file)
				admitPod(t, r.namespace)
				check := func() {
					t.Helper()
					switch name {
					case "tls-insecure":
						checkTrust(t, true, nil, "")
					case "tls-helm":
						checkTrust(t, false, r.secret(t, "metrics-server")["tls.crt"], "")
					case "tls-existing-secret":
						checkTrust(t, false, r.secret(t, "metrics-server-existing")["ca.crt"], "")
					case "tls-cert-manager":
						checkTrust(t, false, nil, r.namespace+"/metrics-server")
					default:
						checkTrust(t, false, nil, "")
					}
				}
				check()
				r.checkKept(t)
				if err := r.upgrade(t.Context(), "--values", file); err != nil {
					t.Error(err)
				}
				check()
			})
		}
	}
}

// newBundle is one of a new authority.
func newBundle(t *testing.T) string {
	t.Helper()
	authority := must[*cluster.CertificateAuthority](t)(cluster.NewCertificateAuthority("test"))
	return string(authority.CertPEM())
}

// setBundle does what the server does.
func setBundle(t *testing.T, bundle string) {
	t.Helper()
	client := must[*aggregator.Clientset](t)(aggregator.NewForConfig(plane.AdminConfig()))
	patch := fmt.Appendf(nil, `{"spec":{"caBundle":%q}}`, base64.StdEncoding.EncodeToString([]byte(bundle)))
	for _, s := range apiServices(t) {
		must[*apiregistrationv1.APIService](t)(client.ApiregistrationV1().APIServices().Patch(t.Context(), s.Name,
			types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "metrics-server"}))
	}
}

func TestUpgrades(t *testing.T) {
	bundle := newBundle(t)
	for _, h := range helms {
		t.Run(h.name+" leaves the server's bundle alone", func(t *testing.T) {
			r := install(t, h)
			setBundle(t, bundle)
			if err := r.upgrade(t.Context(), "--set", "replicas=2"); err != nil {
				t.Fatal(err)
			}
			checkTrust(t, false, []byte(bundle), "")
		})
		t.Run(h.name+" to verification", func(t *testing.T) {
			r := install(t, h, "--set", "apiService.insecureSkipTLSVerify=true")
			if err := r.upgrade(t.Context()); err != nil {
				t.Fatal(err)
			}
			checkTrust(t, false, nil, "")
		})
		t.Run(h.name+" from verification", func(t *testing.T) {
			r := install(t, h)
			setBundle(t, bundle)
			args := []string{"--set", "apiService.insecureSkipTLSVerify=true"}
			err := r.upgrade(t.Context(), args...)
			if h.name == "helm v4" {
				// The bundle belongs to the server, and version 4 takes it only when told.
				if err == nil || !strings.Contains(err.Error(), `conflict with "metrics-server"`) {
					t.Fatalf("taking the bundle away from the server: %v", err)
				}
				err = r.upgrade(t.Context(), append(args, "--force-conflicts")...)
			}
			if err != nil {
				t.Fatal(err)
			}
			checkTrust(t, true, nil, "")
		})
		t.Run(h.name+" renews its certificate", func(t *testing.T) {
			args := []string{"--set", "tls.type=helm"}
			r := install(t, h, args...)
			old := r.secret(t, "metrics-server")["tls.crt"]
			if err := r.upgrade(t.Context(), append(args, "--set", "tls.helm.lookup=false")...); err != nil {
				t.Fatal(err)
			}
			renewed := r.secret(t, "metrics-server")["tls.crt"]
			if bytes.Equal(renewed, old) {
				t.Error("the certificate is the old one")
			}
			// Pods serve the old one for a while.
			checkTrust(t, false, append(renewed, old...), "")
		})
	}
}

// TestSwitchToVerification applies the APIService as it is where nothing is
// verified, and then ours: what is not in it any more must go.
func TestSwitchToVerification(t *testing.T) {
	const insecure = `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: metrics-server, namespace: kube-system}
`
	ours := repository() + "/manifests/base/apiservice.yaml"
	for _, before := range []string{"--server-side=false", "--server-side=true"} {
		for _, after := range []string{"--server-side=false", "--server-side=true"} {
			if before == "--server-side=true" && after == "--server-side=false" {
				continue // kubectl does not take over fields that were applied server-side.
			}
			t.Run(before+" "+after, func(t *testing.T) {
				file := t.TempDir() + "/apiservice.yaml"
				writeFile(t, file, insecure)
				kubectl(t, "apply", before, "-f", file)
				kubectl(t, "apply", after, "-f", ours)
				checkTrust(t, false, nil, "")
				kubectl(t, "delete", "-f", ours)
			})
		}
	}
}

// TestCertificateOfTheUser is about those who name a certificate with a flag.
func TestCertificateOfTheUser(t *testing.T) {
	out := must[string](t)(newest().template(t.Context(), "--set", "args={--tls-cert-file=/certs/tls.crt,--tls-private-key-file=/certs/tls.key}",
		"--set", "metrics.enabled=true,serviceMonitor.enabled=true", "--show-only=templates/deployment.yaml", "--show-only=templates/clusterrole.yaml", "--show-only=templates/servicemonitor.yaml"))
	for _, none := range []string{"--tls-secret", "apiservices", "metrics-server-tls"} {
		if strings.Contains(out, none) {
			t.Errorf("the server is to make a certificate too: there is %s in\n%s", none, out)
		}
	}
}
