// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fakeAPI is an API server that has what it is given, and refuses to be changed.
type fakeAPI struct {
	*httptest.Server
	mu sync.Mutex
	// objects are by path; a http.HandlerFunc answers itself.
	objects map[string]any
	// denied are resources that the server's account may do nothing with.
	denied map[string]bool
	// changes are requests that would change something.
	changes []string
}

// newFakeAPI has a cluster with nothing wrong but what is changed later: one node, one pod
// of the metrics server that cannot be reached, and nobody to ask for a status.
func newFakeAPI(t *testing.T) *fakeAPI {
	t.Helper()
	f := &fakeAPI{objects: map[string]any{}, denied: map[string]bool{}}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.StartTLS()
	t.Cleanup(f.Close)
	f.set("/version", map[string]string{"gitVersion": "v1.37.2"})
	f.set("/apis/apiregistration.k8s.io/v1", metav1.APIResourceList{})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
	f.set("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", corev1.ConfigMap{
		Data: map[string]string{requestHeaderCA: string(ca), "requestheader-allowed-names": `["front-proxy-client"]`},
	})
	for _, name := range apiServiceNames {
		f.set("/apis/apiregistration.k8s.io/v1/apiservices/"+name, apiServiceObject(name, ca))
	}
	f.set("/api/v1/namespaces/kube-system/services/metrics-server", corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics-server", Namespace: "kube-system"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"k8s-app": "metrics-server"}, Ports: []corev1.ServicePort{{Port: 443}}},
	})
	f.set("/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", map[string]any{"items": []any{map[string]any{"endpoints": []any{map[string]any{"addresses": []string{"10.0.0.9"}}}}}})
	f.set("/apis/apps/v1/namespaces/kube-system/deployments", appsv1.DeploymentList{Items: []appsv1.Deployment{{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics-server", Namespace: "kube-system"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "metrics-server"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"k8s-app": "metrics-server"}}, Spec: serverSpec()},
		},
	}}})
	f.set("/api/v1/namespaces/kube-system/pods", corev1.PodList{Items: []corev1.Pod{serverPod()}})
	f.set("/api/v1/namespaces/kube-system/serviceaccounts/metrics-server", corev1.ServiceAccount{})
	f.set("/api/v1/namespaces/kube-system/serviceaccounts/metrics-server-kubelet", corev1.ServiceAccount{})
	f.set("/api/v1/namespaces/kube-system/serviceaccounts/metrics-server-kubelet/token",
		authenticationv1.TokenRequest{Status: authenticationv1.TokenRequestStatus{Token: "kubelet-token"}})
	f.setNodes(testNode("n1"))
	f.set("/apis/metrics.k8s.io/v1beta1/nodes", usageList{Items: []usage{usageOf("", "n1")}})
	f.set("/apis/metrics.k8s.io/v1beta1/pods", usageList{})
	f.set("/api/v1/pods", corev1.PodList{})
	f.set("/apis/autoscaling/v2/horizontalpodautoscalers", map[string]any{})
	return f
}

func serverSpec() corev1.PodSpec {
	return corev1.PodSpec{ServiceAccountName: "metrics-server", Containers: []corev1.Container{{
		Name: "metrics-server", Args: []string{"--metric-resolution=15s", "--kubelet-preferred-address-types=InternalIP", "--kubelet-service-account=kube-system/metrics-server-kubelet"},
	}}}
}

func serverPod() corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics-server-0", Namespace: "kube-system"}, Spec: serverSpec(),
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func apiServiceObject(name string, ca []byte) map[string]any {
	return map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"service":  map[string]any{"name": "metrics-server", "namespace": "kube-system", "port": 443},
			"caBundle": ca,
		},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Available", "status": "True", "reason": "Passed"}}},
	}
}

func testNode(name string) corev1.Node {
	return corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

func usageOf(namespace, name string) usage {
	u := usage{Timestamp: now.Add(-10 * time.Second), Window: metav1.Duration{Duration: 15 * time.Second}}
	u.Metadata.Namespace, u.Metadata.Name = namespace, name
	return u
}

func (f *fakeAPI) set(path string, object any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[path] = object
}

func (f *fakeAPI) setNodes(nodes ...corev1.Node) {
	f.set("/api/v1/nodes", corev1.NodeList{Items: nodes})
	for _, n := range nodes {
		f.set("/api/v1/nodes/"+n.Name, n)
	}
}

func (f *fakeAPI) remove(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.objects, path)
}

func (f *fakeAPI) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	object, ok := f.objects[r.URL.Path]
	if r.Method != http.MethodGet && r.URL.Path != "/apis/authorization.k8s.io/v1/subjectaccessreviews" && !strings.HasSuffix(r.URL.Path, "/portforward") && !strings.HasSuffix(r.URL.Path, "/token") {
		f.changes = append(f.changes, r.Method+" "+r.URL.Path)
	}
	f.mu.Unlock()
	if handler, is := object.(http.HandlerFunc); is {
		handler(w, r)
		return
	}
	if r.URL.Path == "/apis/authorization.k8s.io/v1/subjectaccessreviews" {
		f.review(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		object = metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404, Message: r.URL.Path + " not found"}
	}
	_ = json.NewEncoder(w).Encode(object)
}

func (f *fakeAPI) review(w http.ResponseWriter, r *http.Request) {
	var review authorizationv1.SubjectAccessReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a := review.Spec.ResourceAttributes
	resource := strings.TrimSuffix(a.Resource+"/"+a.Subresource, "/")
	account := "metrics-server"
	if a.Resource == "nodes" && a.Subresource != "" {
		account = "metrics-server-kubelet"
	}
	review.Status.Allowed = review.Spec.User == "system:serviceaccount:kube-system:"+account && !f.denied[resource]
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

func (f *fakeAPI) config(t *testing.T) Config {
	t.Helper()
	return Config{
		Client:     &rest.Config{Host: f.URL, BearerToken: "user-token", ContentConfig: rest.ContentConfig{ContentType: "application/json"}, TLSClientConfig: rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})}, QPS: -1},
		Service:    types.NamespacedName{Namespace: "kube-system", Name: "metrics-server"},
		ParseFlags: parseFlags,
		Clock:      clocktesting.NewFakeClock(now),
	}
}

// parseFlags knows three flags.
func parseFlags(args []string, client *rest.Config) (Flags, error) {
	flags := Flags{
		Resolution: 15 * time.Second, MaxAge: time.Minute, NodeSelector: labels.Everything(),
		UsesServerCredentials: true,
		Kubelet:               kubelet.Config{Client: client, Port: 10250, AddressTypes: []corev1.NodeAddressType{corev1.NodeInternalIP}, Timeout: 10 * time.Second, Resolution: 15 * time.Second},
	}
	for _, arg := range args {
		if secret, ok := strings.CutPrefix(arg, "--tls-secret="); ok {
			flags.CertificateSecret.Namespace, flags.CertificateSecret.Name, _ = strings.Cut(secret, "/")
		}
		if account, ok := strings.CutPrefix(arg, "--kubelet-service-account="); ok {
			flags.KubeletServiceAccount.Namespace, flags.KubeletServiceAccount.Name, _ = strings.Cut(account, "/")
			flags.UsesServerCredentials = false
		}
		if arg == "--kubelet-insecure-tls" {
			flags.Kubelet.Client = rest.CopyConfig(client)
			flags.Kubelet.Client.TLSClientConfig = rest.TLSClientConfig{Insecure: true}
		}
	}
	return flags, nil
}

// run checks, and sees that nothing was changed.
func (f *fakeAPI) run(t *testing.T, c Config) *Report {
	t.Helper()
	r, err := Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.changes) > 0 {
		t.Errorf("it changes something: %q", f.changes)
	}
	return r
}

// checker is one at its beginning, with the defaults as flags.
func (f *fakeAPI) checker(t *testing.T) *checker {
	t.Helper()
	config := f.config(t)
	cluster, err := newCluster(config.Client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.close)
	c := &checker{Config: config, cluster: cluster, progress: newProgress(nil, config.Clock), account: config.Service}
	if c.flags, err = parseFlags(serverSpec().Containers[0].Args, config.Client); err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *Report) find(code Code) *Finding {
	for i := range r.Steps {
		for j := range r.Steps[i].Findings {
			if f := &r.Steps[i].Findings[j]; f.Code == code {
				return f
			}
		}
	}
	return nil
}

func (r *Report) stepOf(name string) *Step {
	for i := range r.Steps {
		if r.Steps[i].Name == name {
			return &r.Steps[i]
		}
	}
	return nil
}

func (r *Report) text(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b, "text"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// mustFind returns a finding, and fails with the whole report if it is not there.
func mustFind(t *testing.T, r *Report, code Code, seen string) *Finding {
	t.Helper()
	f := r.find(code)
	if f == nil {
		t.Fatalf("no %s in:\n%s", code, r.text(t))
	}
	if !strings.Contains(f.Seen, seen) {
		t.Errorf("%s: seen is %q, want %q in it", code, f.Seen, seen)
	}
	return f
}

func proxyPath(node, path string) string { return fmt.Sprintf("/api/v1/nodes/%s/proxy%s", node, path) }

// answering is a kubelet behind the API server.
func answering(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}
