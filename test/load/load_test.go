// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsscheme "k8s.io/metrics/pkg/client/clientset/versioned/scheme"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// Every pod has a name of its own, is valid, and is found by the selector of its
// application and by no other.
func TestWorkload(t *testing.T) {
	w := &workload{nodes: 103, podsPerNode: 15, containersPerPod: 3, started: time.Unix(1e9, 0)}
	names := map[types.NamespacedName]bool{}
	matching := map[string]int{}
	perNode := make([]int, w.nodes)
	usage := map[float64]bool{}
	for i := range w.pods() {
		m, p := w.apiPod(i), w.simulated(i)
		name := types.NamespacedName{Namespace: m.Namespace, Name: m.Name}
		if names[name] || m.Namespace != p.Namespace || m.Name != p.Name || len(p.Containers) != 3 || len(m.Labels) != 4 {
			t.Fatalf("pod %d is %+v and %+v", i, m, p)
		}
		names[name] = true
		for _, problem := range slices.Concat(validation.IsDNS1123Subdomain(m.Name), validation.IsDNS1123Label(m.Namespace)) {
			t.Fatalf("pod %d: %s", i, problem)
		}
		for key, value := range m.Labels {
			for _, problem := range slices.Concat(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)) {
				t.Fatalf("pod %d: label %s=%s: %s", i, key, value, problem)
			}
		}
		selector, err := labels.Parse(w.selector(i))
		if err != nil || !selector.Matches(labels.Set(m.Labels)) {
			t.Fatalf("pod %d is not selected by %s: %v", i, w.selector(i), err)
		}
		matching[m.Namespace+"/"+w.selector(i)]++
		perNode[w.node(i)]++
		usage[p.Containers[0].CPU.Mean] = true
	}
	for i := range w.pods() {
		if got := matching[w.namespace(i)+"/"+w.selector(i)]; got != w.podsOfApplication(i) {
			t.Fatalf("the application of pod %d has %d pods, want %d", i, got, w.podsOfApplication(i))
		}
	}
	inNamespaces := 0
	for namespace := range w.namespaces() {
		inNamespaces += w.podsOf(namespace)
	}
	if inNamespaces != w.pods() || w.namespaces() != 2 || w.podsOf(1) != w.pods()-podsPerNamespace {
		t.Errorf("%d namespaces have %d of %d pods", w.namespaces(), inNamespaces, w.pods())
	}
	if slices.Min(perNode) != 15 || slices.Max(perNode) != 15 || len(usage) != w.pods() {
		t.Errorf("pods per node %v, %d different usages", perNode, len(usage))
	}
}

func TestDistribution(t *testing.T) {
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(200-i)*time.Second)
	}
	if got, want := newDistribution(times), (Distribution{200, 1, 100, 198, 200}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := newDistribution([]time.Duration{time.Second}), (Distribution{1, 1, 1, 1, 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := newDistribution(nil); got != (Distribution{}) {
		t.Errorf("%+v", got)
	}
}

func startKubelets(t *testing.T) *kubeletsim.Simulation {
	t.Helper()
	ca, err := kubeletsim.NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	s, err := kubeletsim.Start(kubeletsim.Options{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestScrapeLog(t *testing.T) {
	s := startKubelets(t)
	var nodes []*kubeletsim.Node
	for i := range 3 {
		n, err := s.AddNode(fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	const resolution = 10 * time.Second
	clock := testingclock.NewFakePassiveClock(time.Unix(1e9, 0))
	log := newScrapeLog(len(nodes), clock)
	pass := func(d time.Duration) { clock.SetTime(clock.Now().Add(d)) }
	good := kubeletsim.Request{Path: "/metrics/resource", Status: 200}

	log.observe(nodes[0], good)
	log.observe(nodes[1], good)
	pass(resolution)
	log.begin()
	log.observe(nodes[0], good)
	pass(resolution)
	log.observe(nodes[0], good)
	log.observe(nodes[0], kubeletsim.Request{Path: good.Path, Status: 0})
	log.observe(nodes[1], good) // 20 s after its last
	got := log.since(resolution, resolution)
	want := Scrapes{
		Answered: 3, Failed: 1, PerNode: 1, Silent: 1, Late: 1,
		Gap: Distribution{Count: 3, Min: 10, P50: 10, P99: 20, Max: 20},
	}
	if got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}

	log.forget()
	pass(time.Hour)
	log.observe(nodes[0], good)
	if got := log.since(resolution, resolution); got.Gap.Count != 0 || got.Answered != 1 {
		t.Errorf("what another server did counts: %+v", got)
	}
}

func TestCount(t *testing.T) {
	list := &metricsv1beta1.PodMetricsList{
		TypeMeta: metav1.TypeMeta{APIVersion: "metrics.k8s.io/v1beta1", Kind: "PodMetricsList"},
		Items:    make([]metricsv1beta1.PodMetrics, 3),
	}
	one := &metricsv1beta1.PodMetrics{
		TypeMeta:   metav1.TypeMeta{APIVersion: "metrics.k8s.io/v1beta1", Kind: "PodMetrics"},
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
	}
	none := &metricsv1beta1.PodMetricsList{TypeMeta: list.TypeMeta}
	table := &metav1.Table{
		ColumnDefinitions: []metav1.TableColumnDefinition{{Name: "x"}},
		Rows:              make([]metav1.TableRow, 2),
	}
	for i, c := range []struct {
		o      runtime.Object
		accept string
		want   int
	}{
		{list, acceptJSON, 3},
		{list, acceptProtobuf, 3},
		{one, acceptJSON, 1},
		{one, acceptProtobuf, 1},
		{none, acceptJSON, 0},
		{none, acceptProtobuf, 0},
		{table, acceptTable, 2},
	} {
		body := encoded(t, c.o, c.accept)
		got, err := count(bytes.NewReader(body), read{accept: c.accept})
		if got != c.want || err != nil {
			t.Errorf("case %d: %d %v, want %d", i, got, err, c.want)
		}
		const cut = 5 // more than the empty fields at the end of a message
		if got, err := count(bytes.NewReader(body[:len(body)-cut]), read{accept: c.accept}); err == nil {
			t.Errorf("case %d: a part is taken for %d objects", i, got)
		}
	}
	if _, err := count(strings.NewReader("<html>"), read{accept: acceptProtobuf}); !errors.Is(err, errNoProtobuf) {
		t.Errorf("%v", err)
	}
}

// An answer that is not complete is no answer, also when it is compressed.
func TestCheck(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/absent" {
			http.NotFound(w, r)
			return
		}
		var out io.Writer = w
		if r.Header.Get("Accept-Encoding") == "gzip" {
			w.Header().Set("Content-Encoding", "gzip")
			compressed := gzip.NewWriter(w)
			defer compressed.Close()
			out = compressed
		}
		fmt.Fprint(out, `{"kind":"PodMetricsList","items":[`, strings.Repeat(`{"a":[1,2]},`, 99), `{}]}`)
	}))
	defer server.Close()
	target := &target{client: server.Client(), base: server.URL}
	const size = 34 + 99*12 + 4
	for i, c := range []struct {
		read read
		good bool
	}{
		{read{accept: acceptJSON, want: 100}, true},
		{read{accept: acceptJSON, want: 100, gzip: true}, true},
		{read{accept: acceptJSON, want: 101}, false},
		{read{accept: acceptJSON, want: 99, gzip: true}, false},
		{read{accept: acceptJSON, want: 1, path: "/absent"}, false},
	} {
		bytes, err := target.check(t.Context(), c.read)
		if c.good != (err == nil) {
			t.Errorf("case %d: %v", i, err)
		}
		if c.good && (c.read.gzip && bytes >= size || !c.read.gzip && bytes != size) {
			t.Errorf("case %d: %d bytes", i, bytes)
		}
	}
}

func encoded(t *testing.T, o runtime.Object, accept string) []byte {
	t.Helper()
	if accept != acceptProtobuf {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	info, _ := runtime.SerializerInfoForMediaType(metricsscheme.Codecs.SupportedMediaTypes(), accept)
	body, err := runtime.Encode(info.Serializer, o)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestGoal(t *testing.T) {
	known := func(v float64) value { return value{v, true} }
	fifth, below, atMost, limit := goal{fraction: 5}, goal{fraction: 1, strict: true}, goal{fraction: 1}, goal{most: 100}
	for i, c := range []struct {
		goal         goal
		server, peer value
		want         string
	}{
		{fifth, known(2), known(10), "met"},
		{fifth, known(2.1), known(10), "not met"},
		{fifth, known(2), value{}, "not measured"},
		{fifth, value{}, known(2), "not measured"},
		{below, known(2), known(2), "not met"},
		{below, known(1), known(2), "met"},
		{atMost, known(2), known(2), "met"},
		{limit, known(100), value{}, "met"},
		{limit, known(101), known(1000), "not met"},
		{limit, value{}, known(1), "not measured"},
		{goal{}, known(1), known(2), ""},
	} {
		if got := c.goal.verdict(c.server, c.peer); got != c.want {
			t.Errorf("case %d: %q, want %q", i, got, c.want)
		}
	}
	for want, g := range map[string]goal{"≤ 1/5": fifth, "< 1": below, "≤ 1": atMost, "≤ 100.0 MB": {most: 100e6}, "": {}} {
		if got := g.text(megabytes); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// sample is a report of two runs: with and without a peer.
func sample() *Report {
	result := func(name string, times float64) *Result {
		return &Result{
			Name: name, BinaryBytes: 70e6, Idle: &Memory{Resident: uint64(50e6 * times)}, NodesReady: 9, Ready: 10,
			Rest:  &Rest{CPUPerScrape: 0.0002 * times, Memory: Memory{Resident: uint64(40e6 * times)}},
			Reads: []*Read{{Name: listPodsJSON, Time: Distribution{5, 0.03 * times, 0.04 * times, 0.05, 0.05}, Growth: 30e6}},
			HPA:   &HPA{Rate: 300, Age: Distribution{P99: 15.9}},
		}
	}
	return &Report{Resolution: "15s", Runs: []*Run{
		{Nodes: 500, Pods: 15000, Plane: "control plane", Results: []*Result{result("server", 1), result("peer", 6)}},
		{Nodes: 5000, Pods: 150000, Plane: "stub of the core API", Results: []*Result{result("server", 10)}, Failures: []string{"limits: too low"}},
	}}
}

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	sample().Print(&out)
	for _, want := range []string{
		"\n500 nodes, 15000 pods, 0 containers; control plane\n",
		"\n5000 nodes, 150000 pods, 0 containers; stub of the core API\n",
		"0.2 ms 1.2 ms 0.167 ≤ 1/5 met",
		"40.0 MB 240.0 MB 0.167 ≤ 1/8 not met",
		"LIST all pods, JSON, p50 40 ms 240 ms 0.167 ≤ 1/10 not met",
		"… growth of memory 30.0 MB 30.0 MB 1.000 ≤ 100.0 MB met",
		"… age of samples, p99 15.9 s 15.9 s 1.000 ≤ 16.0 s met",
		"CPU per scrape 2 ms – ≤ 1/5 not measured",
		"failed:\n 5000 nodes: limits: too low",
	} {
		if got := singleSpaces(out.String()); !strings.Contains(got, want) {
			t.Errorf("%q was not printed:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), listNodesJSON) {
		t.Error("there is a row of what nobody measured")
	}
}

func singleSpaces(text string) string {
	for strings.Contains(text, "  ") {
		text = strings.ReplaceAll(text, "  ", " ")
	}
	return text
}

func TestReports(t *testing.T) {
	file := func(name string) string { return filepath.Join(t.TempDir(), name) }
	first, second := sample(), sample()
	first.Runs = first.Runs[1:]
	first.Runs[0].Plane = "older"
	second.Runs[0], second.Runs[1] = second.Runs[1], second.Runs[0]
	files := []string{file("a"), file("b")}
	for i, r := range []*Report{first, second} {
		if err := r.Write(files[i]); err != nil {
			t.Fatal(err)
		}
	}
	merged, err := ReadReports(files...)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(merged)
	want, _ := json.Marshal(sample())
	if !bytes.Equal(got, want) {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if err := os.WriteFile(files[0], []byte("no report"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{files[0], file("absent")} {
		if _, err := ReadReports(f); err == nil {
			t.Errorf("%s was read", f)
		}
	}
}

// Pictures are drawn also where there is little or nothing to see.
func TestDraw(t *testing.T) {
	whole, single := sample(), sample()
	single.Runs = single.Runs[:1]
	for name, r := range map[string]*Report{"whole": whole, "single": single, "empty": {}} {
		base := filepath.Join(t.TempDir(), name)
		if err := r.Draw(base); err != nil {
			t.Fatal(err)
		}
		for extension, magic := range map[string]string{".svg": "<?xml", ".png": "\x89PNG"} {
			picture, err := os.ReadFile(base + extension)
			if err != nil || !bytes.HasPrefix(picture, []byte(magic)) {
				t.Errorf("%s%s is %.20q: %v", name, extension, picture, err)
			}
		}
	}
	if err := whole.Draw(filepath.Join(t.TempDir(), "absent", "x")); err == nil {
		t.Error("a picture was saved in a folder that is not there")
	}
}

func TestOptions(t *testing.T) {
	good := Defaults()
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for i, change := range []func(*Options){
		func(o *Options) { o.Nodes = nil },
		func(o *Options) { o.Nodes = []int{500, 0} },
		func(o *Options) { o.PodsPerNode = 0 },
		func(o *Options) { o.ContainersPerPod = 0 },
		func(o *Options) { o.Resolution = time.Second },
		func(o *Options) { o.Measure = 0 },
		func(o *Options) { o.HPAReads = 0 },
	} {
		o := Defaults()
		change(&o)
		if _, err := Measure(t.Context(), o, io.Discard); err == nil {
			t.Errorf("case %d was taken", i)
		}
	}
}

func TestAPINode(t *testing.T) {
	s := startKubelets(t)
	n, err := s.AddNode("a")
	if err != nil {
		t.Fatal(err)
	}
	got := apiNode(n, s.Port())
	if got.Name != "a" || got.Status.Addresses[0] != (corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: n.Address()}) ||
		int(got.Status.DaemonEndpoints.KubeletEndpoint.Port) != s.Port() {
		t.Errorf("%+v", got)
	}
}
