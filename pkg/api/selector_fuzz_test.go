// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// population is what requests of any kind are asked of. It does not change.
type population struct {
	handler     http.Handler
	nodes, pods []resident // in the order of their keys
}

// resident is a node or a pod as selectors see it.
type resident struct {
	key    store.Key
	labels labels.Set
	fields fields.Set
}

// name is the name as namesOf has it.
func (r resident) name() string { return strings.TrimPrefix(r.key.Namespace+"/"+r.key.Name, "/") }

func newPopulation(f *testing.F) *population {
	f.Helper()
	klog.LogToStderr(false) // each refused selector is a line
	klog.SetOutput(io.Discard)
	f.Cleanup(func() { klog.LogToStderr(true) })
	const nodes = 4
	sets := []labels.Set{
		nil,
		{"app": "web", "tier": "front"},
		{"app": "db", "weight": "10"},
		{"app": "", "example.com/team": "a_b.c"},
		{"app": "web", "weight": "-3"},
		{"tier": "front", "weight": "x"},
		{"app": "web", "tier": "front", "example.com/team": "a"},
	}
	p := new(population)
	fleet := newFleet(start, nodes)
	on := make([][]string, nodes)
	for i, pod := range []string{
		"a/web", "a/web-0", "a/web.1", "a/web-10", "a/db", "a-b/web", "a-b/db", "a0/web", "b/db", "b/web", "b/web-2", "b/0",
		"kube-system/coredns", "kube-system/a", "b/z", "c/only", "b/web-1", "a/z.z.z",
	} {
		node := i % nodes
		on[node] = append(on[node], pod)
		namespace, name, _ := strings.Cut(pod, "/")
		p.pods = append(p.pods, resident{store.Key{Namespace: namespace, Name: name}, sets[i%len(sets)], fields.Set{
			store.FieldName: name, store.FieldNamespace: namespace, store.FieldNodeName: fleet.answers[node].node,
		}})
	}
	for n, pods := range on {
		fleet.serve(n, pods...)
		name := fleet.answers[n].node
		p.nodes = append(p.nodes, resident{store.Key{Name: name}, labels.Set{"parity": fmt.Sprint(n % 2)}, fields.Set{store.FieldName: name}})
	}
	for i, r := range p.pods {
		fleet.list(i%nodes, r.name(), r.labels)
	}
	slices.SortFunc(p.pods, func(a, b resident) int { return a.key.Compare(b.key) })
	p.handler, _ = newHandler(f, fleet.Store, clocktesting.NewFakeClock(start), StallLimit)
	return p
}

// collections are what can be listed.
var collections = []struct {
	path      string
	pods      bool
	namespace string
}{
	{"v1/pods", true, ""},
	{"v1/nodes", false, ""},
	{"v1beta1/namespaces/a/pods", true, "a"},
	{"v1/namespaces/b/pods", true, "b"},
	{"v1/namespaces/none/pods", true, "none"},
	{"v1beta1/nodes", false, ""},
}

// residents returns what a collection is of, in all namespaces.
func (p *population) residents(collection int) []resident {
	if collections[collection].pods {
		return p.pods
	}
	return p.nodes
}

// selected returns what selectors select of a collection by the library's own matching.
func (p *population) selected(collection int, byField fields.Selector, byLabel labels.Selector) (selected []resident) {
	namespace := collections[collection].namespace
	for _, r := range p.residents(collection) {
		if (namespace == "" || r.key.Namespace == namespace) && byField.Matches(r.fields) && byLabel.Matches(r.labels) {
			selected = append(selected, r)
		}
	}
	return selected
}

// list returns one page. It is refused if the answer is a well-formed 400: anything
// else but a list fails the test.
func (p *population) list(t *testing.T, collection int, query url.Values) (l metav1.PartialObjectMetadataList, refused bool) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, prefix+collections[collection].path+"?"+query.Encode(), nil)
	req.Header.Set("Accept", asJSON)
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, req)
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v: %s", req.URL, err, w.Body)
		}
		return l, false
	}
	var status metav1.Status
	err := json.Unmarshal(w.Body.Bytes(), &status)
	if err != nil || w.Code != http.StatusBadRequest || status.Kind != "Status" || status.Status != metav1.StatusFailure ||
		int(status.Code) != w.Code || status.Reason != metav1.StatusReasonBadRequest || status.Message == "" {
		t.Fatalf("%s: %d %v, want a list or a Status that says what is wrong: %s", req.URL, w.Code, err, w.Body)
	}
	return l, true
}

// rest returns a list from a page on. All pages have the version of the first.
func (p *population) rest(t *testing.T, collection int, query url.Values, limit int, l metav1.PartialObjectMetadataList) (names []string) {
	t.Helper()
	query.Set("limit", strconv.Itoa(limit))
	for version := l.ResourceVersion; ; {
		if limit > 0 && len(l.Items) > limit {
			t.Fatalf("%v: %d items", query, len(l.Items))
		}
		if names = append(names, namesOf(l)...); l.Continue == "" {
			return names
		}
		query.Set("continue", l.Continue)
		var refused bool
		if l, refused = p.list(t, collection, query); refused || l.ResourceVersion != version {
			t.Fatalf("%v: refused is %v, and the version %s after %s", query, refused, l.ResourceVersion, version)
		}
	}
}

func namesOfResidents(residents []resident) (names []string) {
	for _, r := range residents {
		names = append(names, r.name())
	}
	return names
}

// checkSelection lists by selectors, whole and in pages of limit: both are what the
// library's own matching selects, or the selectors are refused where they have to be.
func (p *population) checkSelection(t *testing.T, collection int, field, label string, limit int) {
	t.Helper()
	query := url.Values{}
	if field != "" {
		query.Set("fieldSelector", field)
	}
	if label != "" {
		query.Set("labelSelector", label)
	}
	known := []string{store.FieldName, store.FieldNamespace}
	if collections[collection].pods {
		known = append(known, store.FieldNodeName)
	}
	byField, fieldErr := fields.ParseSelector(field)
	byLabel, labelErr := labels.Parse(label)
	err := cmp.Or(fieldErr, labelErr)
	if err == nil {
		requirements, _ := byLabel.Requirements()
		values := 0
		for _, r := range requirements {
			values += r.Values().Len()
		}
		for _, r := range byField.Requirements() {
			if !slices.Contains(known, r.Field) {
				err = fmt.Errorf("unknown field %q", r.Field)
			}
		}
		if n := len(requirements) + len(byField.Requirements()); n > maxRequirements || values > maxValues {
			err = fmt.Errorf("%d requirements, %d values", n, values)
		}
	}
	l, refused := p.list(t, collection, query)
	if refused != (err != nil) {
		t.Fatalf("%v: refused is %v, and what is wrong is %v", query, refused, err)
	}
	if refused {
		return
	}
	want := namesOfResidents(p.selected(collection, byField, byLabel))
	if got := namesOf(l); l.Continue != "" || !slices.Equal(got, want) {
		t.Fatalf("%v, continue %q:\n got %q\nwant %q", query, l.Continue, got, want)
	}
	query.Set("limit", strconv.Itoa(limit))
	l, _ = p.list(t, collection, query)
	if got := p.rest(t, collection, query, limit, l); !slices.Equal(got, want) {
		t.Fatalf("%v:\n got %q\nwant %q", query, got, want)
	}
}

var (
	fieldSelectors = []string{
		"", "metadata.name=web", "metadata.name==web,metadata.namespace=b", "metadata.namespace=a", "metadata.namespace=a,metadata.namespace=b",
		"metadata.namespace!=a", "metadata.name!=web", "metadata.name=", "metadata.namespace=", "spec.nodeName=n1", "spec.nodeName=n1,metadata.namespace=a-b",
		"spec.nodeName!=n1", "spec.nodeName=", "spec.nodeName=n1,spec.nodeName=n2", "spec.nodeName=n1,spec.nodeName!=n1", "metadata.name=n1",
		"status.phase=Running", "metadata.name", "=", ",", ",,metadata.name=web,", `metadata.name=a\,b`, `metadata.name=\`, `metadata.name=\x`, "metadata.name=a=b",
		"metadata.name===web", "metadata.name=a/b", "metadata.name=..", "metadata.name=\xff", " metadata.name=web", "metadata.name=WEB", "metadata.name=*",
	}
	labelSelectors = []string{
		"", "app", "!app", "app=web", "app==web", "app!=web", "app=", "app in (web,db)", "app in ()", "app in (,)", "app notin (web)", "app,tier=front",
		"weight>1", "weight<1", "weight>x", "example.com/team", "example.com/team=a_b.c", "app=web,app=db", "app=web,app!=web", "parity=1", "parity in (0,1)",
		"app=web,", ",", "=", "(", "app in", "app in (web", "app=web app=db", "!", "!!app", "app=\x00", "APP", "app=Web", "/a=b", "a/b/c", "app>9223372036854775808",
		"app notin ()", " app = web ", "app=(web)",
	}
)

func FuzzFieldSelector(f *testing.F) {
	p := newPopulation(f)
	for i, s := range fieldSelectors {
		f.Add(uint8(i), s, uint8(i/2), uint8(i))
		f.Add(uint8(0), s, uint8(0), uint8(3))
	}
	f.Add(uint8(1), strings.Repeat("metadata.name!=a,", maxRequirements)+"metadata.name!=b", uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, collection uint8, field string, label, limit uint8) {
		p.checkSelection(t, int(collection)%len(collections), field, labelSelectors[int(label)%len(labelSelectors)], int(limit))
	})
}

func FuzzLabelSelector(f *testing.F) {
	p := newPopulation(f)
	for i, s := range labelSelectors {
		f.Add(uint8(i), s, uint8(i/2), uint8(i))
		f.Add(uint8(0), s, uint8(0), uint8(3))
	}
	f.Add(uint8(1), strings.Repeat("!a,", maxRequirements)+"!b", uint8(0), uint8(0))
	f.Add(uint8(0), "app in (web,"+numbers(maxValues)+")", uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, collection uint8, label string, field, limit uint8) {
		p.checkSelection(t, int(collection)%len(collections), fieldSelectors[int(field)%len(fieldSelectors)], label, int(limit))
	})
}
