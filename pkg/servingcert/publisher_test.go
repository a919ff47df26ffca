// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	applyv1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
)

var caName = types.NamespacedName{Namespace: "kube-system", Name: "metrics-server-ca"}

// publishedCA is what the ConfigMap has, "" if there is none.
func publishedCA(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	object, err := client.CoreV1().ConfigMaps(caName.Namespace).Get(t.Context(), caName.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return object.Data["ca.crt"]
}

func TestPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		var refuse atomic.Bool
		client.PrependReactor("patch", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
			return refuse.Load(), nil, errors.New("configmaps is forbidden")
		})
		type answer struct {
			bundle []byte
			err    error
		}
		var current atomic.Pointer[answer]
		set := func(bundle string, err error) { current.Store(&answer{[]byte(bundle), err}) }
		set("", nil)
		p := NewPublisher(caName, client.CoreV1(), func() ([]byte, error) { return current.Load().bundle, current.Load().err }, clock.RealClock{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			p.Run(ctx)
			close(ended)
		}()
		sleep := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		expect := func(want string) {
			t.Helper()
			if got := publishedCA(t, client); got != want {
				t.Errorf("the ConfigMap has %q, want %q", got, want)
			}
		}
		sleep(time.Minute)
		expect("") // there is no certificate yet
		set("first", nil)
		sleep(pollInterval)
		expect("first")
		set("", errors.New("the file is gone"))
		sleep(pollInterval)
		expect("first")
		set("second", nil)
		sleep(pollInterval)
		expect("second")
		if err := client.CoreV1().ConfigMaps(caName.Namespace).Delete(ctx, caName.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		sleep(resyncInterval + pollInterval)
		expect("second")
		// Someone else's content does not stay.
		changed := applyv1.ConfigMap(caName.Name, caName.Namespace).WithData(map[string]string{"ca.crt": "evil"})
		if _, err := client.CoreV1().ConfigMaps(caName.Namespace).Apply(ctx, changed, metav1.ApplyOptions{FieldManager: "someone", Force: true}); err != nil {
			t.Fatal(err)
		}
		expect("evil")
		sleep(resyncInterval + pollInterval)
		expect("second")
		// A failure is not the end.
		refuse.Store(true)
		set("third", nil)
		sleep(time.Minute)
		expect("second")
		refuse.Store(false)
		sleep(maxRetry + pollInterval)
		expect("third")
		cancel()
		<-ended
	})
}

func TestBundleOf(t *testing.T) {
	now := time.Now()
	ca, err := newAuthority(now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	served, err := ca.issue(now, time.Hour, []string{"metrics-server.kube-system.svc"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := encodeKey(ca.key)
	if err != nil {
		t.Fatal(err)
	}
	caText := string(certPEM(ca.cert))
	other, err := newAuthority(now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	// As Helm makes it.
	template, err := newTemplate("metrics-server", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	selfSigned, err := sign(template, template, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	self := certPEM(selfSigned)
	for _, tc := range []struct {
		name, ca, cert string // "" for no file
		want, problem  string
	}{
		{"a CA beside it", caText, string(served.certPEM), caText, ""},
		{"a CA and its key beside it", caText + string(key), string(served.certPEM), caText, ""},
		{"an empty file beside it", " \n", string(served.certPEM) + caText, caText, ""},
		{"one that signs itself", "", string(self), string(self), ""},
		{"one with its CA", "", string(served.certPEM) + caText, caText, ""},
		{"one of an unknown CA", "", string(served.certPEM), "", "no CA certificate in"},
		{"another CA beside it", string(certPEM(other.cert)), string(served.certPEM), "", "put its CA certificate into"},
		{"a CA that is none", "garbage", string(served.certPEM), "", "ca.crt: "},
		{"no file", "", "", "", "no such file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"ca.crt": tc.ca, "tls.crt": tc.cert} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := BundleOf(filepath.Join(dir, "tls.crt"))()
			if string(got) != tc.want || (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("got %q, %v, want %q and an error with %q", got, err, tc.want, tc.problem)
			}
		})
	}
}
