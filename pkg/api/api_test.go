// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/features"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilcompatibility "k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	componentmetrics "k8s.io/component-base/metrics"
	"k8s.io/metrics/pkg/apis/metrics"
	metricsv1 "k8s.io/metrics/pkg/apis/metrics/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/kubemeter/metrics-server/pkg/api/openapi"
	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/store"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const all = exposition.HasCPU | exposition.HasMemory | exposition.HasSwap

// newStore has nodes n1 and n2 (with swap), pods a/web, b/db and b/web (b/db
// with two containers), and what is not served: node n3, pod b/new.
func newStore(t *testing.T) (*store.Store, *clocktesting.FakeClock) {
	t.Helper()
	clk := clocktesting.NewFakeClock(start)
	s := store.New(clk, time.Minute)
	for _, n := range []string{"n1", "n2", "n3"} {
		s.SetNode(n, map[string]string{"zone": n[1:]})
	}
	for p, node := range map[string]string{"a/web": "n1", "b/db": "n1", "b/new": "n2", "b/web": "n2"} {
		namespace, name, _ := strings.Cut(p, "/")
		s.SetPod(store.PodMetadata{Namespace: namespace, Name: name, UID: p, Node: node, Labels: map[string]string{"app": name}})
	}
	for round := range uint64(2) {
		scrape(s, clk, round, []string{"a/web", "b/db"}, []string{"b/web"})
	}
	return s, clk
}

// scrape takes in a round of answers, 15 s after the one before: of n1 and of n2
// with these pods each.
func scrape(s *store.Store, clk *clocktesting.FakeClock, round uint64, onN1, onN2 []string) {
	now := start.Add(time.Duration(round) * 15 * time.Second)
	clk.SetTime(now)
	usage := func(millicores, mebibytes uint64) exposition.Usage {
		return exposition.Usage{
			Time: now.UnixNano(), CPU: 1e12 + round*15*millicores*1e6, Memory: mebibytes << 20, Has: all &^ exposition.HasSwap,
		}
	}
	containers := func(pods []string) (containers []exposition.Container) {
		add := func(pod, name string, u exposition.Usage) {
			namespace, pod, _ := strings.Cut(pod, "/")
			containers = append(containers, exposition.Container{
				Namespace: []byte(namespace), Pod: []byte(pod), Name: []byte(name), Usage: u,
			})
		}
		for _, pod := range pods {
			switch pod {
			case "a/web":
				add(pod, "main", usage(100, 10))
			case "b/db":
				add(pod, "main", usage(250, 50))
				add(pod, "sidecar", usage(5, 1))
			default:
				add(pod, "main", usage(1, 1))
			}
		}
		return containers
	}
	swapping := usage(2500, 4096)
	swapping.Swap, swapping.Has = 64<<20, all
	s.Put("n1", &exposition.Samples{Node: usage(1000, 2048), Containers: containers(onN1)}, now)
	s.Put("n2", &exposition.Samples{Node: swapping, Containers: containers(onN2)}, now)
}

// serve runs the API of a store on a generic API server without authentication.
func serve(t *testing.T, s *store.Store, clk clock.WithTicker) *httptest.Server {
	t.Helper()
	handler, _ := newHandler(t, s, clk, StallLimit)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// newHandler returns the API of a store, behind the filters of a generic API
// server, and its metrics. A watch may wait for its client as long as limit.
func newHandler(t testing.TB, s *store.Store, clk clock.WithTicker, limit time.Duration) (http.Handler, componentmetrics.KubeRegistry) {
	t.Helper()
	registry := componentmetrics.NewKubeRegistry()
	m, err := NewMetrics(registry.Register, clk)
	if err != nil {
		t.Fatal(err)
	}
	return newHandlerWith(t, s, NewListMemory(math.MaxInt64, 0, m), limit, true), registry
}

// newHandlerWith bounds what lists hold, and serves watches or not.
func newHandlerWith(t testing.TB, s *store.Store, lists *ListMemory, limit time.Duration, watchable bool) http.Handler {
	t.Helper()
	config := genericapiserver.NewConfig(Codecs)
	config.EffectiveVersion = utilcompatibility.DefaultBuildEffectiveVersion()
	config.ExternalAddress = "localhost:443"
	config.LoopbackClientConfig = &rest.Config{}
	config.ShutdownWatchTerminationGracePeriod = time.Second
	namer := openapinamer.NewDefinitionNamer(Scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(openapi.GetOpenAPIDefinitions, namer)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(openapi.GetOpenAPIDefinitions, namer)
	config.BuildHandlerChainFunc = BuildHandlerChain(lists, limit)
	generic, err := config.Complete(nil).New("test", genericapiserver.NewEmptyDelegate())
	if err != nil {
		t.Fatal(err)
	}
	if err := Install(generic, s, lists.metrics, watchable); err != nil {
		t.Fatal(err)
	}
	generic.PrepareRun()
	t.Cleanup(generic.Destroy)
	return generic.Handler
}

// get returns the status and the body.
func get(t *testing.T, server *httptest.Server, path, accept string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

const prefix = "/apis/metrics.k8s.io/"

func TestPodInEveryEncodingAndVersion(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	stored, err := s.Pod("b", "db")
	if err != nil {
		t.Fatal(err)
	}
	want := metricsv1.PodMetrics{
		TypeMeta: metav1.TypeMeta{Kind: "PodMetrics", APIVersion: "metrics.k8s.io/v1"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "b", Name: "db", Labels: map[string]string{"app": "db"},
			CreationTimestamp: metav1.NewTime(start.Add(15 * time.Second)),
			ResourceVersion:   strconv.FormatUint(stored.Revision(), 10),
		},
		Timestamp: metav1.NewTime(start.Add(15 * time.Second)),
		Window:    metav1.Duration{Duration: 15 * time.Second},
		Containers: []metricsv1.ContainerMetrics{
			{Name: "main", Usage: usage("250m", "50Mi")},
			{Name: "sidecar", Usage: usage("5m", "1Mi")},
		},
	}
	for _, version := range []string{"v1", "v1beta1"} {
		want.APIVersion = "metrics.k8s.io/" + version
		wantJSON, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		path := prefix + version + "/namespaces/b/pods/db"
		if status, body := get(t, server, path, "application/json"); status != 200 || string(body) != string(wantJSON)+"\n" {
			t.Errorf("%s JSON: %d\n got %s\nwant %s", version, status, body, wantJSON)
		}
		status, body := get(t, server, path, "application/yaml")
		if fromYAML, err := yaml.YAMLToJSON(body); err != nil || status != 200 || !sameJSON(t, fromYAML, wantJSON) {
			t.Errorf("%s YAML: %d %v\n%s", version, status, err, body)
		}
		status, body = get(t, server, path, "application/vnd.kubernetes.protobuf")
		decoded, _, err := Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil || status != 200 {
			t.Fatalf("%s protobuf: %d %v", version, status, err)
		}
		// The encoding leaves the kind to its envelope.
		decoded.GetObjectKind().SetGroupVersionKind(want.GroupVersionKind())
		if got, err := json.Marshal(decoded); err != nil || !sameJSON(t, got, wantJSON) {
			t.Errorf("%s protobuf: %v\n got %s\nwant %s", version, err, got, wantJSON)
		}
	}
}

// CBOR is there when the feature gate of the generic API server says so.
func TestCBORIsOfferedBehindItsFeatureGate(t *testing.T) {
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.CBORServingAndStorage, true)
	s, clk := newStore(t)
	server := serve(t, s, clk)
	status, body := get(t, server, prefix+"v1/namespaces/b/pods/db", "application/cbor")
	var got metricsv1.PodMetrics
	if err := direct.Unmarshal(body, &got); err != nil || status != 200 || got.Name != "db" || len(got.Containers) != 2 {
		t.Errorf("%d %v: %+v", status, err, got)
	}
}

func usage(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	ax, _ := json.Marshal(x)
	by, _ := json.Marshal(y)
	return string(ax) == string(by)
}

func TestLists(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	tests := []struct{ path, want string }{
		{"v1/pods", "a/web b/db b/web"},
		{"v1beta1/pods", "a/web b/db b/web"},
		{"v1/namespaces/b/pods", "b/db b/web"},
		{"v1/namespaces/none/pods", ""},
		{"v1/pods?labelSelector=app%3Dweb", "a/web b/web"},
		{"v1/pods?labelSelector=app+in+(db,x)", "b/db"},
		{"v1/pods?fieldSelector=metadata.name%3Dweb", "a/web b/web"},
		{"v1/pods?fieldSelector=metadata.namespace%3Db,metadata.name!%3Dweb", "b/db"},
		{"v1/namespaces/b/pods?fieldSelector=metadata.namespace%3Da", ""},
		{"v1/nodes", "n1 n2"},
		{"v1beta1/nodes?labelSelector=zone%3D2", "n2"},
		{"v1/nodes?fieldSelector=metadata.name%3Dn1", "n1"},
	}
	for _, tt := range tests {
		status, body := get(t, server, prefix+tt.path, "application/json")
		var list metav1.PartialObjectMetadataList
		if err := json.Unmarshal(body, &list); err != nil || status != 200 {
			t.Errorf("%s: %d %v %s", tt.path, status, err, body)
			continue
		}
		var got []string
		for _, item := range list.Items {
			got = append(got, strings.TrimPrefix(item.Namespace+"/"+item.Name, "/"))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %q, want %q", tt.path, got, tt.want)
		}
	}
}

func TestEmptyListIsNotNull(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	for _, path := range []string{"v1/namespaces/none/pods", "v1/nodes?fieldSelector=metadata.name%3Dx"} {
		if _, body := get(t, server, prefix+path, "application/json"); !strings.Contains(string(body), `"items":[]`) {
			t.Errorf("%s: %s", path, body)
		}
	}
}

func TestSwapIsAUsageKeyWhereReported(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	for node, want := range map[string]string{"n1": "", "n2": "64Mi"} {
		_, body := get(t, server, prefix+"v1beta1/nodes/"+node, "application/json")
		var n metricsv1beta1.NodeMetrics
		if err := json.Unmarshal(body, &n); err != nil {
			t.Fatal(err)
		}
		swap, ok := n.Usage["swap"]
		if ok != (want != "") || ok && swap.String() != want {
			t.Errorf("%s: swap is %v (%v), want %q", node, swap.String(), ok, want)
		}
	}
}

func TestErrors(t *testing.T) {
	s, clk := newStore(t)
	s.ScrapeFailed("n3", errTest("connection refused"))
	server := serve(t, s, clk)
	tests := []struct {
		path    string
		status  int
		message string
		cause   string
	}{
		{"v1/namespaces/b/pods/none", 404, `pods.metrics.k8s.io "none" not found: no such pod is running`, "not_listed"},
		{"v1/namespaces/b/pods/new", 404,
			`pods.metrics.k8s.io "new" not found: node "n2" has not reported it yet`, "not_scraped"},
		{"v1/nodes/n3", 404, `nodes.metrics.k8s.io "n3" not found: not scraped yet; the last scrape failed: connection refused`, "not_scraped"},
		{"v1/nodes/n4", 404, `nodes.metrics.k8s.io "n4" not found: there is no such node, or the server's --node-selector leaves it out`, "not_listed"},
		{"v1/pods?fieldSelector=status.phase%3DRunning", 400, `only by metadata.name, metadata.namespace, spec.nodeName`, ""},
		{"v1/pods?labelSelector=a%3D%3D%3Db", 400, "unable to parse requirement", ""},
	}
	for _, tt := range tests {
		status, body := get(t, server, prefix+tt.path, "application/json")
		var got metav1.Status
		if err := json.Unmarshal(body, &got); err != nil || status != tt.status || !strings.Contains(got.Message, tt.message) {
			t.Errorf("%s: %d %v\n got %s\nwant %s", tt.path, status, err, got.Message, tt.message)
		}
		if tt.cause != "" && (len(got.Details.Causes) != 1 || string(got.Details.Causes[0].Type) != tt.cause) {
			t.Errorf("%s: causes %+v, want %s", tt.path, got.Details.Causes, tt.cause)
		}
	}
}

type errTest string

func (e errTest) Error() string { return string(e) }

func TestTables(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	tests := []struct {
		path    string
		columns string
		rows    []string
	}{
		{"v1/namespaces/b/pods", "Name CPU Memory Swap Window", []string{"db 255m 51Mi <none> 15s", "web 1m 1Mi <none> 15s"}},
		{"v1/namespaces/b/pods/db", "Name CPU Memory Swap Window", []string{"db 255m 51Mi <none> 15s"}},
		{"v1/namespaces/none/pods", "Name CPU Memory Swap Window", nil},
		{"v1beta1/nodes", "Name CPU Memory Swap Window", []string{"n1 1 2Gi <none> 15s", "n2 2500m 4Gi 64Mi 15s"}},
		{"v1/nodes/n1", "Name CPU Memory Swap Window", []string{"n1 1 2Gi <none> 15s"}},
	}
	for _, tt := range tests {
		status, body := get(t, server, prefix+tt.path, "application/json;as=Table;v=v1;g=meta.k8s.io")
		var table metav1.Table
		if err := json.Unmarshal(body, &table); err != nil || status != 200 {
			t.Errorf("%s: %d %v %s", tt.path, status, err, body)
			continue
		}
		var columns, rows []string
		for _, c := range table.ColumnDefinitions {
			columns = append(columns, c.Name)
		}
		for _, r := range table.Rows {
			var cells []string
			for _, c := range r.Cells {
				cells = append(cells, c.(string))
			}
			rows = append(rows, strings.Join(cells, " "))
		}
		if strings.Join(columns, " ") != tt.columns || !slices.Equal(rows, tt.rows) {
			t.Errorf("%s: %q %q, want %q %q", tt.path, columns, rows, tt.columns, tt.rows)
		}
	}
}

// All that is printed beside what the store has are bookmarks of watches.
func TestBookmarkAsTable(t *testing.T) {
	bookmark, named := metav1.ObjectMeta{ResourceVersion: "7"}, metav1.ObjectMeta{ResourceVersion: "7", Name: "x"}
	tests := []struct {
		object runtime.Object
		err    string
	}{
		{&metrics.NodeMetrics{ObjectMeta: bookmark}, ""},
		{&metrics.PodMetrics{ObjectMeta: bookmark}, ""},
		{&metrics.NodeMetrics{ObjectMeta: named}, `cannot print *metrics.NodeMetrics "x" as a table`},
		{&metrics.PodMetrics{ObjectMeta: named}, `cannot print *metrics.PodMetrics "x" as a table`},
		{&metav1.Status{}, "cannot print *v1.Status as a table"},
	}
	for _, tt := range tests {
		table, err := convertToTable(tt.object, nil)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%T: %v, want %s", tt.object, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%T: %v", tt.object, err)
			continue
		}
		if len(table.Rows) != 1 || table.Rows[0].Object.Object != tt.object || table.ResourceVersion != "7" ||
			fmt.Sprint(table.Rows[0].Cells) != "[ <none> <none> <none> 0s]" {
			t.Errorf("%T: %+v", tt.object, table)
		}
	}
}

func TestNothingCanBeWritten(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+prefix+"v1/namespaces/b/pods/db", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s", method, resp.Status)
		}
	}
}

func TestDiscoveryAndOpenAPI(t *testing.T) {
	s, clk := newStore(t)
	server := serve(t, s, clk)
	_, body := get(t, server, prefix, "application/json")
	var group metav1.APIGroup
	if err := json.Unmarshal(body, &group); err != nil || len(group.Versions) != 2 || group.PreferredVersion.Version != "v1" {
		t.Errorf("group: %v %s", err, body)
	}
	for _, version := range []string{"v1", "v1beta1"} {
		_, body := get(t, server, prefix+version, "application/json")
		var resources metav1.APIResourceList
		if err := json.Unmarshal(body, &resources); err != nil || len(resources.APIResources) != 2 {
			t.Fatalf("resources: %v %s", err, body)
		}
		for _, r := range resources.APIResources {
			if !slices.Equal(r.Verbs, metav1.Verbs{"get", "list", "watch"}) {
				t.Errorf("%s: verbs %v", r.Name, r.Verbs)
			}
		}
		if status, body := get(t, server, "/openapi/v3/apis/metrics.k8s.io/"+version, "application/json"); status != 200 ||
			!strings.Contains(string(body), "io.k8s.metrics.pkg.apis.metrics."+version+".PodMetrics") {
			t.Errorf("OpenAPI v3 of %s: %d", version, status)
		}
	}
	if status, body := get(t, server, "/openapi/v2", "application/json"); status != 200 ||
		!strings.Contains(string(body), "io.k8s.metrics.pkg.apis.metrics.v1beta1.NodeMetrics") {
		t.Errorf("OpenAPI v2: %d", status)
	}
}
