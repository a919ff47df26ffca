// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	metricsv1 "k8s.io/metrics/pkg/apis/metrics/v1"

	"github.com/kubemeter/metrics-server/test/eventually"
)

// usages is a container's usage by namespace/pod/container, or a node's by its
// name.
type usages map[string]corev1.ResourceList

// read lists nodes and pods of one version, in one encoding, through the
// aggregation layer.
func read(t *testing.T, version, contentType string, options metav1.ListOptions) (nodes, containers usages) {
	t.Helper()
	nodes, containers, err := tryRead(t, version, contentType, options)
	if err != nil {
		t.Fatal(err)
	}
	return nodes, containers
}

func tryRead(t *testing.T, version, contentType string, options metav1.ListOptions) (nodes, containers usages, err error) {
	t.Helper()
	config := local.AdminConfig()
	config.ContentType = contentType
	config.AcceptContentTypes = contentType
	client := metricsOf(t, config)
	asked := time.Now() // what is served then may be too old by the time that it is read
	nodes, containers = usages{}, usages{}
	nodeList, podList := &metricsv1.NodeMetricsList{}, &metricsv1.PodMetricsList{}
	for resource, list := range map[string]runtime.Object{"nodes": nodeList, "pods": podList} {
		// The types of both versions are the same but for their package.
		restClient := client.MetricsV1().RESTClient()
		if version == "v1beta1" {
			restClient = client.MetricsV1beta1().RESTClient()
		}
		body, err := restClient.Get().Resource(resource).VersionedParams(&options, metav1.ParameterCodec).Do(t.Context()).Get()
		if err != nil {
			return nil, nil, err
		}
		if err := convert(body, list); err != nil {
			return nil, nil, err
		}
	}
	for _, n := range nodeList.Items {
		nodes[n.Name] = n.Usage
	}
	for _, p := range podList.Items {
		// Times have whole seconds.
		if p.Window.Duration < 5*time.Second || asked.Sub(p.Timestamp.Time) > 4*resolution+time.Second {
			t.Errorf("%s/%s has a window of %s that ends at %s", p.Namespace, p.Name, p.Window.Duration, p.Timestamp)
		}
		for _, c := range p.Containers {
			containers[p.Namespace+"/"+p.Name+"/"+c.Name] = c.Usage
		}
	}
	return nodes, containers, nil
}

// convert makes a v1 list of a list of either version.
func convert(from, to runtime.Object) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// What is served is what the kubelets were told to produce, in both versions and
// encodings.
func TestServedUsageIsWhatKubeletsProduce(t *testing.T) {
	for _, version := range []string{"v1", "v1beta1"} {
		for _, contentType := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
			t.Run(version+" "+contentType, func(t *testing.T) {
				nodes, containers := read(t, version, contentType, metav1.ListOptions{})
				now := time.Now()
				if len(nodes) != nodeCount {
					t.Errorf("%d nodes, want %d", len(nodes), nodeCount)
				}
				check := func(name string, usage corev1.ResourceList, cores, bytes float64) {
					t.Helper()
					if cpu := usage.Cpu().AsApproximateFloat64(); !within1Percent(cpu, cores) {
						t.Errorf("%s: %v cores, want %v", name, cpu, cores)
					}
					if memory := usage.Memory().AsApproximateFloat64(); !within1Percent(memory, bytes) {
						t.Errorf("%s: %v bytes, want %v", name, memory, bytes)
					}
				}
				for i := range nodeCount {
					n := node(t, i)
					check(n.Name(), nodes[n.Name()], n.ExpectedCPU(now.Add(-resolution), now)/1e9, float64(n.WorkingSet(now)))
				}
				want := 0
				for _, w := range local.Workload {
					for _, c := range w.Containers {
						want++
						check(w.Name+"/"+c.Name, containers[w.Namespace+"/"+w.Name+"/"+c.Name], c.CPU.Mean, c.Memory.Mean)
					}
				}
				if len(containers) != want {
					t.Errorf("%d containers, want %d", len(containers), want)
				}
			})
		}
	}
}

func TestSelectors(t *testing.T) {
	count := func(options metav1.ListOptions) (nodes, pods int) {
		n, c := read(t, "v1", "application/json", options)
		names := map[string]bool{}
		for id := range c {
			names[id[:strings.LastIndex(id, "/")]] = true
		}
		return len(n), len(names)
	}
	inZoneA := metav1.ListOptions{LabelSelector: corev1.LabelTopologyZone + "=a"}
	nodesInZoneA := (nodeCount + 2) / 3 // every third
	// From 1.35 on, Kubernetes copies a node's zone to its pods.
	podsInZoneA, err := local.Client().CoreV1().Pods("").List(t.Context(), inZoneA)
	if err != nil {
		t.Fatal(err)
	}
	first, carts := "", 0
	for _, w := range local.Workload {
		if w.Labels["app"] == "cart" {
			carts++
			first = w.Name
		}
	}
	tests := []struct {
		options     metav1.ListOptions
		nodes, pods int
	}{
		{metav1.ListOptions{LabelSelector: "app=cart"}, 0, carts},
		{metav1.ListOptions{LabelSelector: "app!=cart"}, nodeCount, podCount - carts},
		{inZoneA, nodesInZoneA, len(podsInZoneA.Items)},
		{metav1.ListOptions{FieldSelector: "metadata.name=" + first}, 0, 1},
		{metav1.ListOptions{FieldSelector: "metadata.name=node-1"}, 1, 0},
		{metav1.ListOptions{LabelSelector: "app=cart", FieldSelector: "metadata.name!=" + first}, 0, carts - 1},
	}
	for _, tt := range tests {
		if nodes, pods := count(tt.options); nodes != tt.nodes || pods != tt.pods {
			t.Errorf("%+v: %d nodes and %d pods, want %d and %d", tt.options, nodes, pods, tt.nodes, tt.pods)
		}
	}
	client := metricsOf(t, local.AdminConfig())
	pods, err := client.MetricsV1().PodMetricses("payments").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("payments: %d pods, %v", len(pods.Items), err)
	}
	for _, p := range pods.Items {
		if p.Namespace != "payments" || p.Labels["app"] != "ledger" {
			t.Errorf("payments has %s/%s %v", p.Namespace, p.Name, p.Labels)
		}
	}
	_, err = client.MetricsV1beta1().PodMetricses("").List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), "metadata.name") {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestEncodings(t *testing.T) {
	tests := []struct{ accept, has string }{
		{"application/json", `"kind":"NodeMetricsList","apiVersion":"metrics.k8s.io/v1beta1"`},
		{"application/yaml", "kind: NodeMetricsList"},
		{"application/vnd.kubernetes.protobuf", "k8s\x00"},
		{"application/json;as=Table;v=v1;g=meta.k8s.io", `"name":"Memory"`},
		{"application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", `"kind":"PartialObjectMetadataList"`},
	}
	for _, tt := range tests {
		status, body := request(t, local.AdminConfig(), "/apis/metrics.k8s.io/v1beta1/nodes", tt.accept)
		if status != http.StatusOK || !strings.Contains(body, tt.has) {
			t.Errorf("%s: %d %.300q", tt.accept, status, body)
		}
	}
	if status, _ := request(t, local.AdminConfig(), "/apis/metrics.k8s.io/v1beta1/nodes", "text/html"); status != http.StatusNotAcceptable {
		t.Errorf("text/html: %d", status)
	}
}

func TestAuthorization(t *testing.T) {
	const path = "/apis/metrics.k8s.io/v1/namespaces/checkout/pods"
	user := func(name string, groups ...string) *rest.Config {
		config, err := local.ClientFor(name, groups...)
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	kubectl(t, "create", "rolebinding", "viewer", "--clusterrole=view", "--user=viewer", "--namespace=checkout")
	defer kubectl(t, "delete", "rolebinding", "viewer", "--namespace=checkout")
	tests := []struct {
		name   string
		config *rest.Config
		path   string
		status int
	}{
		{"administrator", local.AdminConfig(), path, 200},
		{"user without rights", user("nobody"), path, 403},
		{"viewer of the namespace", user("viewer"), path, 200},
		{"viewer in another namespace", user("viewer"), "/apis/metrics.k8s.io/v1/namespaces/search/pods", 403},
		{"viewer, nodes", user("viewer"), "/apis/metrics.k8s.io/v1/nodes", 403},
		{"anonymous", local.AnonymousConfig(), path, 403},
	}
	for _, tt := range tests {
		for _, way := range []string{"aggregated", "direct"} {
			config := rest.CopyConfig(tt.config)
			if way == "direct" {
				config.Host = local.ServerURL()
			}
			eventually.Succeeds(t, patience, func() error { // a new binding takes a moment
				if status, body := request(t, config, tt.path, "application/json"); status != tt.status {
					return fmt.Errorf("%s, %s: %d, want %d: %s", tt.name, way, status, tt.status, body)
				}
				return nil
			})
		}
	}
	bad := local.AnonymousConfig()
	bad.BearerToken = "wrong"
	if status, _ := request(t, bad, path, "application/json"); status != http.StatusUnauthorized {
		t.Errorf("wrong token: %d", status)
	}
	// The server's own metrics are not for everybody; its health is.
	nobody := user("nobody")
	nobody.Host = local.ServerURL()
	if status, _ := request(t, nobody, "/metrics", "text/plain"); status != http.StatusForbidden {
		t.Errorf("/metrics for nobody: %d", status)
	}
	anonymous := local.AnonymousConfig()
	anonymous.Host = local.ServerURL()
	if status, body := request(t, anonymous, "/livez", "text/plain"); status != http.StatusOK {
		t.Errorf("/livez for anybody: %d %s", status, body)
	}
}

func TestAPIServicesAreAvailableAndVerified(t *testing.T) {
	for _, version := range []string{"v1", "v1beta1"} {
		out := kubectl(t, "get", "apiservice", version+".metrics.k8s.io", "-o",
			`jsonpath={.spec.insecureSkipTLSVerify} {.status.conditions[?(@.type=="Available")].status} {.spec.caBundle}`)
		parts := strings.Fields(strings.TrimPrefix(out, "false"))
		if len(parts) != 2 || parts[0] != "True" {
			t.Fatalf("%s: %q", version, out)
		}
		if ca, err := base64.StdEncoding.DecodeString(parts[1]); err != nil || !strings.Contains(string(ca), "BEGIN CERTIFICATE") {
			t.Errorf("%s: the CA bundle is %q, %v", version, ca, err)
		}
	}
}
