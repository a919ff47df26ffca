// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/status"
)

// newOtherHost is one that nothing may be sent to, and what leads there.
func newOtherHost(t *testing.T) http.HandlerFunc {
	t.Helper()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s with %q was sent to another host", r.Method, r.URL.Path, r.Header.Get("Authorization"))
	}))
	t.Cleanup(other.Close)
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/elsewhere", http.StatusFound)
	}
}

// Kubelets and pods answer through the API server, and may not say where else the user's
// token is shown.
func TestRedirectOfKubeletsAndPods(t *testing.T) {
	f, elsewhere := newFakeAPI(t), newOtherHost(t)
	f.remove("/apis/metrics.k8s.io/v1beta1/nodes")
	f.set(proxyPath("n1", "/metrics/resource"), elsewhere)
	pod := serverPod()
	pod.Status.Conditions = nil
	f.set("/api/v1/namespaces/kube-system/pods", corev1.PodList{Items: []corev1.Pod{pod}})
	const path = "/api/v1/namespaces/kube-system/pods/"
	f.set(path+"https:metrics-server-0:10250/proxy/readyz", elsewhere)
	f.set(path+"metrics-server-0/portforward", elsewhere)
	r := f.run(t, f.config(t))
	mustFind(t, r, "kubelet-http-status", "302 Found")
	mustFind(t, r, codeServerNotReady, "not ready")
}

func TestRedirectOfServer(t *testing.T) {
	f, s := newFakeAPI(t), newFakeServer(t, status.Status{})
	s.Config.Handler = newOtherHost(t)
	c := f.trust(t, s, s.startFor(t, "metrics-server.kube-system.svc"))
	c.ServerURL, c.SendToken = s.URL, true
	c.Clock = clock.RealClock{} // by which the certificate is valid
	if skipped := strings.Join(f.run(t, c).stepOf("server").NotChecked, ""); !strings.Contains(skipped, "302 Found") {
		t.Errorf("%q", skipped)
	}
}

// Only a server that has no /status is another one.
func TestNoStatus(t *testing.T) {
	for code, foreign := range map[int]bool{403: false, 404: true, 500: false, 503: false} {
		f, s := newFakeAPI(t), newFakeServer(t, status.Status{})
		s.Config.Handler = answering(code, "text/plain", "no")
		ca := s.startFor(t, "metrics-server.kube-system.svc")
		config := f.trust(t, s, ca)
		c := f.checker(t)
		c.Config = config
		c.ServerURL, c.SendToken, c.Clock = s.URL, true, clock.RealClock{}
		c.gather(t.Context())
		if c.view.known || c.view.foreign != foreign {
			t.Errorf("%d: %+v", code, c.view)
		}
	}
}
