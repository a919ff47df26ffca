// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

func TestNothingWrong(t *testing.T) {
	f := newFakeAPI(t)
	r := f.run(t, f.config(t))
	if r.Result != ResultOK || r.ExitCode() != 0 {
		t.Errorf("%s", r.text(t))
	}
	if !strings.HasSuffix(r.text(t), "All is well.\n") {
		t.Errorf("%s", r.text(t))
	}
	if server := r.stepOf("server"); !strings.Contains(strings.Join(server.NotChecked, ""), "--send-token") && !strings.Contains(strings.Join(server.NotChecked, ""), "port-forward") {
		t.Errorf("it does not say why the server's own word is missing: %q", server.NotChecked)
	}
}

func TestCanceled(t *testing.T) {
	f := newFakeAPI(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, f.config(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// What is told in JSON is what the types say, and stays.
func TestJSON(t *testing.T) {
	f := newFakeAPI(t)
	f.denied["nodes/metrics"] = true
	var b bytes.Buffer
	if err := f.run(t, f.config(t)).Write(&b, "json"); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"version", "result", "problems", "warnings", "steps"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no %s in %s", key, b.String())
		}
	}
	if got["version"] != 1.0 || got["result"] != "problem" || got["problems"] != 1.0 {
		t.Errorf("%s", b.String())
	}
}

func TestAnonymousAPIServer(t *testing.T) {
	f := newFakeAPI(t)
	f.set("/version", answering(http.StatusUnauthorized, "application/json", `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`))
	r := f.run(t, f.config(t))
	finding := mustFind(t, r, codeAPIServer, "credentials")
	if r.ExitCode() != 2 || finding.Mend[0] != "kubectl auth whoami" {
		t.Errorf("%d %q", r.ExitCode(), finding.Mend)
	}
}

// What may not be seen is told, and is not taken for well.
func TestForbidden(t *testing.T) {
	f := newFakeAPI(t)
	forbidden := answering(http.StatusForbidden, "application/json", `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"nodes is forbidden","reason":"Forbidden","code":403}`)
	f.set("/api/v1/nodes", forbidden)
	r := f.run(t, f.config(t))
	if step := r.stepOf("nodes"); step.Result != ResultUnknown || !strings.Contains(step.NotChecked[0], "you are not allowed to see them") || r.ExitCode() != 2 {
		t.Errorf("%d\n%s", r.ExitCode(), r.text(t))
	}
}

func TestAggregation(t *testing.T) {
	f := newFakeAPI(t)
	const path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
	f.set(path, corev1.ConfigMap{Data: map[string]string{"client-ca-file": "x"}})
	mustFind(t, f.run(t, f.config(t)), codeFrontProxyMissing, requestHeaderCA)
	f.set(path, corev1.ConfigMap{Data: map[string]string{requestHeaderCA: "garbage"}})
	mustFind(t, f.run(t, f.config(t)), codeFrontProxyCA, requestHeaderCA)
	for _, line := range mendAggregation {
		if strings.Contains(line, "init phase control-plane") {
			t.Errorf("it has the API server's own flags overwritten: %s", line)
		}
	}
	f.remove("/apis/apiregistration.k8s.io/v1")
	mustFind(t, f.run(t, f.config(t)), codeAggregationOff, "apiregistration.k8s.io/v1")
}

// Why the aggregator routes to nobody is told by its condition.
func TestUnavailable(t *testing.T) {
	for message, want := range map[string]Code{
		"bad status from https://10.0.0.9:10250/apis/metrics.k8s.io/v1beta1: 401":          codeFrontProxyRefused,
		"bad status from https://10.0.0.9:10250/apis/metrics.k8s.io/v1beta1: 403":          codeFrontProxyRefused,
		"bad status from https://10.0.0.9:10250/apis/metrics.k8s.io/v1beta1: 404":          codeServerNotFound,
		"dial tcp 10.0.0.9:10250: connect: connection refused":                             codeServerRefuses,
		"dial tcp 10.0.0.9:10250: i/o timeout":                                             codeServerUnreachable,
		"net/http: request canceled (Client.Timeout exceeded while awaiting headers)":      codeServerUnreachable,
		"tls: failed to verify certificate: x509: certificate signed by unknown authority": codeCABundleWrong,
		"x509: certificate has expired or is not yet valid":                                codeServingExpired,
		"x509: certificate is valid for a, not metrics-server.kube-system.svc":             codeServingName,
		"something else": codeAPIServiceDown,
	} {
		f := newFakeAPI(t)
		object := apiServiceObject(v1beta1Name, []byte("x"))
		f.set("/apis/apiregistration.k8s.io/v1/apiservices/"+v1beta1Name, withCondition(f, object, "FailedDiscoveryCheck", message))
		finding := mustFind(t, f.run(t, f.config(t)), want, message)
		if len(finding.Mend) == 0 {
			t.Errorf("%s: nothing to mend", message)
		}
	}
}

func withCondition(f *fakeAPI, object map[string]any, reason, message string) map[string]any {
	ca := f.objects["/apis/apiregistration.k8s.io/v1/apiservices/"+v1Name].(map[string]any)["spec"].(map[string]any)["caBundle"]
	object["spec"].(map[string]any)["caBundle"] = ca
	object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Available", "status": "False", "reason": reason, "message": message}}}
	return object
}

func TestNodeSelectorAndInsecureTLS(t *testing.T) {
	f := newFakeAPI(t)
	pod := serverPod()
	pod.Spec.Containers[0].Args = append(pod.Spec.Containers[0].Args, "--kubelet-insecure-tls")
	f.set("/api/v1/namespaces/kube-system/pods", corev1.PodList{Items: []corev1.Pod{pod}})
	mustFind(t, f.run(t, f.config(t)), codeKubeletsTrusted, "--kubelet-insecure-tls")
}

const soundAnswer = `node_cpu_usage_seconds_total 100 1767323040000
node_memory_working_set_bytes 1e9 1767323040000
container_cpu_usage_seconds_total{container="c",namespace="default",pod="web"} 5 1767323040000
container_memory_working_set_bytes{container="c",namespace="default",pod="web"} 1e6 1767323040000
`

// While the metrics API is away, kubelets are asked through the API server.
func TestKubeletsThroughAPIServer(t *testing.T) {
	const text = "text/plain; version=0.0.4"
	lines := strings.SplitAfter(soundAnswer, "\n")
	status := `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"error trying to reach service: %s","code":503}`
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		code   Code
		seen   string
	}{
		"sound":         {answering(200, text, soundAnswer), "", ""},
		"401":           {answering(401, text, "Unauthorized"), "kubelet-unauthorized", "401 Unauthorized"},
		"403":           {answering(403, text, "Forbidden (user=x, verb=get, resource=nodes, subresource=metrics)"), "kubelet-forbidden", "subresource=metrics"},
		"refused":       {answering(503, "application/json", strings.Replace(status, "%s", "dial tcp 10.0.0.1:10250: connect: connection refused", 1)), "kubelet-connection-refused", "connection refused"},
		"timeout":       {answering(503, "application/json", strings.Replace(status, "%s", "dial tcp 10.0.0.1:10250: i/o timeout", 1)), "kubelet-timeout", "i/o timeout"},
		"authority":     {answering(503, "application/json", strings.Replace(status, "%s", "x509: certificate signed by unknown authority", 1)), "kubelet-tls-unknown-authority", "unknown authority"},
		"SAN":           {answering(503, "application/json", strings.Replace(status, "%s", "x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs", 1)), "kubelet-tls-name", "IP SANs"},
		"500":           {answering(500, text, "oops"), "kubelet-http-status", "500"},
		"page":          {answering(200, "text/html", "<html>"), "kubelet-content-type", "text/html"},
		"noise":         {answering(200, text, "%%%"), "kubelet-syntax", "line 1"},
		"empty":         {answering(200, text, "# nothing\n"), "kubelet-empty", "no usage"},
		"no node CPU":   {answering(200, text, strings.Join(lines[1:], "")), codeNodeIncomplete, "node_cpu_usage_seconds_total"},
		"no containers": {answering(200, text, strings.Join(lines[:3], "")), codeNodeIncomplete, "container_memory_working_set_bytes"},
		"old":           {answering(200, text, strings.ReplaceAll(soundAnswer, "1767323040000", "1767320000000")), codeNodeOld, "its newest sample is of"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeAPI(t)
			f.remove("/apis/metrics.k8s.io/v1beta1/nodes")
			f.set(proxyPath("n1", "/metrics/resource"), tc.answer)
			r := f.run(t, f.config(t))
			step := r.stepOf("nodes")
			if tc.code == "" {
				if len(step.Findings) > 0 || !strings.Contains(strings.Join(step.Facts, ""), "1 of 1 kubelets that were asked answer soundly") {
					t.Errorf("%s", r.text(t))
				}
				return
			}
			finding := mustFind(t, r, tc.code, tc.seen)
			if finding.Objects[0] != "node/n1" || len(finding.Mend) == 0 {
				t.Errorf("%+v", finding)
			}
		})
	}
}

// A node's annotation is asked for as it is: it is no query, and does not lead away from the node.
func TestPathAnnotationIsEscaped(t *testing.T) {
	for _, annotation := range []string{"/metrics?x=y", "/a/%2e%2e/%2e%2e/%2e%2e/secrets", "/a b", "/a#b"} {
		f := newFakeAPI(t)
		f.remove("/apis/metrics.k8s.io/v1beta1/nodes")
		n := testNode("n1")
		n.Annotations = map[string]string{kubelet.MetricsPathAnnotation: annotation}
		f.setNodes(n)
		f.set(proxyPath("n1", annotation), answering(200, "text/plain", soundAnswer))
		if step := f.run(t, f.config(t)).stepOf("nodes"); len(step.Findings) > 0 ||
			!strings.Contains(strings.Join(step.Facts, ""), "1 of 1 kubelets that were asked answer soundly") {
			t.Errorf("%s: %+v", annotation, step)
		}
	}
}

// With several control planes, the CA of the front proxy is one for all, and the old files are kept.
func TestFrontProxyExpires(t *testing.T) {
	for code, expires := range map[Code]time.Time{
		codeFrontProxyExpired: now.Add(-time.Hour), codeFrontProxyExpiring: now.Add(24 * time.Hour),
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-24 * time.Hour), NotAfter: expires, IsCA: true, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		f := newFakeAPI(t)
		f.set("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication",
			corev1.ConfigMap{Data: map[string]string{requestHeaderCA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}})
		commands := strings.Join(mustFind(t, f.run(t, f.config(t)), code, "the CA of the front proxy").Mend, "\n")
		for _, part := range []string{"front-proxy-old", "to each other control plane node", "one control plane node after the other", "in a managed cluster"} {
			if !strings.Contains(commands, part) {
				t.Errorf("%s: %q is not in:\n%s", code, part, commands)
			}
		}
		if strings.Contains(commands, "rm /etc/kubernetes/pki/front-proxy-*") || strings.Contains(commands, "rm /etc/kubernetes/pki/front-proxy-ca") {
			t.Errorf("the CA is deleted:\n%s", commands)
		}
	}
}

// What the API server refuses says nothing of the kubelet.
func TestNoProxy(t *testing.T) {
	f := newFakeAPI(t)
	f.remove("/apis/metrics.k8s.io/v1beta1/nodes")
	f.set(proxyPath("n1", "/metrics/resource"), answering(403, "application/json", `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"nodes \"n1\" is forbidden: User \"you\" cannot get resource \"nodes/proxy\"","reason":"Forbidden","code":403}`))
	r := f.run(t, f.config(t))
	step := r.stepOf("nodes")
	if len(step.Findings) > 0 || !strings.Contains(strings.Join(step.NotChecked, ""), "nodes/proxy") {
		t.Errorf("%s", r.text(t))
	}
}

const forbidden = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"it is forbidden: no right","reason":"Forbidden","code":403}`

// A node that has no metrics is not well only because nobody may say why.
func TestNodeNotServedAndNotAsked(t *testing.T) {
	f := newFakeAPI(t)
	f.setNodes(testNode("n1"), testNode("n2"))
	f.set(proxyPath("n2", "/metrics/resource"), answering(403, "application/json", forbidden))
	r := f.run(t, f.config(t))
	if finding := mustFind(t, r, codeNodeNotServed, "its kubelet could not be asked"); finding.Objects[0] != "node/n2" || r.ExitCode() != 1 {
		t.Errorf("%d %+v", r.ExitCode(), finding)
	}
}

// What a step is about has to be seen for it to be well.
func TestPodsNotListed(t *testing.T) {
	f := newFakeAPI(t)
	f.set("/api/v1/pods", answering(403, "application/json", forbidden))
	if r := f.run(t, f.config(t)); r.stepOf("pods").Result != ResultUnknown || r.ExitCode() != 2 {
		t.Errorf("%d\n%s", r.ExitCode(), r.text(t))
	}
}

// A pod that has no metrics is found even if the server does not say why.
func TestPodNotExplained(t *testing.T) {
	f := newFakeAPI(t)
	f.set("/api/v1/pods", map[string]any{"items": []any{map[string]any{"metadata": map[string]any{"namespace": "default", "name": "web"}}}})
	f.set("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/web", answering(403, "application/json", forbidden))
	mustFind(t, f.run(t, f.config(t)), codePodNotServed, "could not be asked why: 403")
}

// A kubelet without /metrics/resource is read in the other way.
func TestSummary(t *testing.T) {
	f := newFakeAPI(t)
	f.remove("/apis/metrics.k8s.io/v1beta1/nodes")
	f.set(proxyPath("n1", "/metrics/resource"), answering(404, "text/plain", "404 page not found"))
	f.set(proxyPath("n1", "/stats/summary"), answering(200, "application/json",
		`{"node":{"nodeName":"n1","cpu":{"time":"2026-01-02T03:04:00Z","usageCoreNanoSeconds":100},"memory":{"time":"2026-01-02T03:04:00Z","workingSetBytes":5}},"pods":[]}`))
	c := f.config(t)
	c.Node = "n1"
	r := f.run(t, c)
	if facts := strings.Join(r.stepOf("nodes").Facts, ""); !strings.Contains(facts, "JSON of /stats/summary") {
		t.Errorf("%s", r.text(t))
	}
}

// With the metrics API only, a node that it has not is explained by what it says.
func TestMetricsAPISays(t *testing.T) {
	for message, want := range map[string]Code{
		`nodes.metrics.k8s.io "n1" not found: not scraped yet; the last scrape failed: node "n1": GET https://10.0.0.1:10250/metrics/resource: 403 Forbidden: "x"`: "kubelet-forbidden",
		`nodes.metrics.k8s.io "n1" not found: the kubelet's newest answer lacks its CPU or memory`:                                                                 codeNodeIncomplete,
		`nodes.metrics.k8s.io "n1" not found: its last sample is of 2026-01-01T00:00:00Z, and samples are served for 1m0s (--metric-max-age)`:                      codeNodeOld,
	} {
		f := newFakeAPI(t)
		f.set("/apis/metrics.k8s.io/v1beta1/nodes", usageList{})
		body, err := json.Marshal(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": message})
		if err != nil {
			t.Fatal(err)
		}
		f.set("/apis/metrics.k8s.io/v1beta1/nodes/n1", answering(404, "application/json", string(body)))
		mustFind(t, f.run(t, f.config(t)), want, "")
	}
}

// A metrics server that does not say why is no reason to be silent.
func TestOtherServer(t *testing.T) {
	f := newFakeAPI(t)
	f.set("/apis/metrics.k8s.io/v1beta1/nodes", usageList{})
	f.set(proxyPath("n1", "/metrics/resource"), answering(200, "text/plain", soundAnswer))
	mustFind(t, f.run(t, f.config(t)), codeNodeNotServed, "its kubelet answers")
}

func TestPod(t *testing.T) {
	f := newFakeAPI(t)
	c := f.config(t)
	c.Pod = types.NamespacedName{Namespace: "default", Name: "web"}
	pod := corev1.Pod{Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c"}, {Name: "d"}}}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	pod.Name, pod.Namespace = "web", "default"
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: running}, {Name: "d", State: running}}
	f.set("/api/v1/namespaces/default/pods/web", pod)
	f.set(proxyPath("n1", "/metrics/resource"), answering(200, "text/plain", soundAnswer))
	r := f.run(t, c)
	mustFind(t, r, codePodNotServed, "not found")
	mustFind(t, r, codePodNotScraped, "no container d")
	if facts := strings.Join(r.stepOf("pod").Facts, "\n"); !strings.Contains(facts, "container c: CPU 5s in all, memory 1000000 bytes, as of 2026-01-02T03:04:00Z") {
		t.Errorf("%s", facts)
	}
	f.set("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/web", usageOf("default", "web"))
	r = f.run(t, c)
	if r.ExitCode() != 0 || !strings.Contains(strings.Join(r.stepOf("pod").Facts, "\n"), "it is served, as of") {
		t.Errorf("%s", r.text(t))
	}
}
