// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package corestub

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/test/cluster"
)

const token = "the token"

var podResource = corev1.SchemeGroupVersion.WithResource("pods")

type fixture struct {
	stub     *Stub
	clock    *testingclock.FakeClock
	log      *bytes.Buffer
	client   *kubernetes.Clientset
	protobuf *kubernetes.Clientset
	pods     metadata.ResourceInterface
}

func start(t *testing.T) *fixture {
	t.Helper()
	ca, err := cluster.NewCertificateAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{clock: testingclock.NewFakeClock(time.Unix(1e9, 0)), log: &bytes.Buffer{}}
	if f.stub, err = Start(Options{CA: ca, Token: token, Clock: f.clock, Log: f.log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.stub.Close)
	f.client = kubernetes.NewForConfigOrDie(f.stub.Config())
	config := f.stub.Config()
	config.ContentType = apiruntime.ContentTypeProtobuf
	f.protobuf = kubernetes.NewForConfigOrDie(config)
	f.pods = metadata.NewForConfigOrDie(f.stub.Config()).Resource(podResource)
	return f
}

func contents(nodes, pods int) Contents {
	return Contents{
		Nodes: nodes, Node: func(i int) *corev1.Node {
			return &corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i), Labels: map[string]string{"i": fmt.Sprint(i)}},
				Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}},
			}
		},
		Pods: pods, Pod: func(i int) *corev1.Pod {
			return &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: "namespace", Name: fmt.Sprintf("pod-%d", i), UID: "uid", Labels: map[string]string{"app": "a"},
				},
				Spec: corev1.PodSpec{NodeName: "node-0"},
			}
		},
	}
}

// Both encodings, with pages and without, have the same nodes in the same order.
func TestListNodes(t *testing.T) {
	f := start(t)
	const nodes = 7
	f.stub.SetContents(contents(nodes, 0))
	for name, client := range map[string]*kubernetes.Clientset{"JSON": f.client, "protobuf": f.protobuf} {
		for _, limit := range []int64{0, 3, nodes} {
			t.Run(fmt.Sprint(name, limit), func(t *testing.T) {
				var got []string
				p := pager.New(func(ctx context.Context, o metav1.ListOptions) (apiruntime.Object, error) {
					return client.CoreV1().Nodes().List(ctx, o)
				})
				p.PageSize = limit
				err := p.EachListItem(t.Context(), metav1.ListOptions{}, func(o apiruntime.Object) error {
					n := o.(*corev1.Node)
					got = append(got, n.Name)
					if len(n.Status.Addresses) != 1 || n.Labels["i"] == "" || n.ResourceVersion != "2" {
						return fmt.Errorf("%+v", n)
					}
					return nil
				})
				if err != nil || len(got) != nodes || got[0] != "node-0" || got[nodes-1] != "node-6" {
					t.Errorf("%q %v", got, err)
				}
			})
		}
	}
}

func TestListPods(t *testing.T) {
	f := start(t)
	list := func() (*metav1.PartialObjectMetadataList, error) {
		return f.pods.List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
	}
	if got, err := list(); err != nil || len(got.Items) != 0 {
		t.Errorf("before there are any: %+v %v", got, err)
	}
	f.stub.SetContents(contents(0, 5))
	got, err := list()
	if err != nil || len(got.Items) != 5 || got.ResourceVersion != "2" {
		t.Fatalf("%+v %v", got, err)
	}
	if p := got.Items[4]; p.Namespace != "namespace" || p.Name != "pod-4" || p.UID != "uid" || p.Labels["app"] != "a" {
		t.Errorf("%+v", p)
	}
	for name, client := range map[string]*kubernetes.Clientset{"JSON": f.client, "protobuf": f.protobuf} {
		whole, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(whole.Items) != 5 || whole.Items[4].Name != "pod-4" || whole.Items[4].Spec.NodeName != "node-0" {
			t.Errorf("%s: %+v %v", name, whole, err)
		}
	}
	config := f.stub.Config()
	client, err := metadata.NewForConfigAndClient(config, mustClient(t, config, acceptJSON))
	if err != nil {
		t.Fatal(err)
	}
	inJSON, err := client.Resource(podResource).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(inJSON.Items) != 5 || inJSON.Items[4].Name != "pod-4" {
		t.Errorf("%+v %v", inJSON, err)
	}
}

// acceptJSON has a metadata client ask for JSON.
func acceptJSON(r *http.Request) {
	r.Header.Set("Accept", strings.ReplaceAll(r.Header.Get("Accept"), "vnd.kubernetes.protobuf", "json"))
}

type roundTripper struct {
	http.RoundTripper
	change func(*http.Request)
}

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	r.change(req)
	return r.RoundTripper.RoundTrip(req)
}

func mustClient(t *testing.T, config *rest.Config, change func(*http.Request)) *http.Client {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	client.Transport = roundTripper{client.Transport, change}
	return client
}

// A watch begins with all where it is asked to, marks the end of it if asked to,
// and is silent then but for its bookmarks.
func TestWatch(t *testing.T) {
	sendInitial := true
	options := map[string]struct {
		metav1.ListOptions
		added  int
		marked bool
	}{
		"streamed list": {metav1.ListOptions{SendInitialEvents: &sendInitial, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}, 3, true},
		"from any":      {metav1.ListOptions{ResourceVersion: "0", AllowWatchBookmarks: true}, 3, false},
		"from a list":   {metav1.ListOptions{ResourceVersion: "2", AllowWatchBookmarks: true}, 0, false},
	}
	type opener func(context.Context, metav1.ListOptions) (watch.Interface, error)
	for name, o := range options {
		for kind, opener := range map[string]func(*fixture) opener{
			"nodes, JSON":     func(f *fixture) opener { return f.client.CoreV1().Nodes().Watch },
			"nodes, protobuf": func(f *fixture) opener { return f.protobuf.CoreV1().Nodes().Watch },
			"pods":            func(f *fixture) opener { return f.pods.Watch },
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				f := start(t)
				f.stub.SetContents(contents(3, 3))
				w, err := opener(f)(t.Context(), o.ListOptions)
				if err != nil {
					t.Fatal(err)
				}
				defer w.Stop()
				checkWatch(t, f, w, o.added, o.marked)
			})
		}
	}
}

func checkWatch(t *testing.T, f *fixture, w watch.Interface, added int, marked bool) {
	t.Helper()
	for i := range added {
		event := <-w.ResultChan()
		m, ok := event.Object.(metav1.Object)
		if event.Type != watch.Added || !ok || !strings.HasSuffix(m.GetName(), fmt.Sprint("-", i)) {
			t.Fatalf("event %d is %+v", i, event)
		}
	}
	bookmark := func(what string, wantMark bool) {
		t.Helper()
		event := <-w.ResultChan()
		m, ok := event.Object.(metav1.Object)
		if event.Type != watch.Bookmark || !ok || m.GetResourceVersion() != "2" {
			t.Fatalf("the %s is %+v", what, event)
		}
		if mark := m.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"; mark != wantMark {
			t.Fatalf("the %s has a mark: %t", what, mark)
		}
	}
	if marked {
		bookmark("end of the initial events", true)
	}
	for !f.clock.HasWaiters() {
		runtime.Gosched() // until the stub waits for its next bookmark
	}
	f.clock.Step(bookmarkPeriod)
	bookmark("next event", false)
}

// A watch ends after the time that it was asked for.
func TestWatchTimeout(t *testing.T) {
	f := start(t)
	seconds := int64(5)
	w, err := f.client.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1", TimeoutSeconds: &seconds})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	f.clock.Step(5 * time.Second)
	if event, open := <-w.ResultChan(); open {
		t.Errorf("it goes on: %+v", event)
	}
}

// Reflectors, as servers have them, find everything.
func TestReflectors(t *testing.T) {
	f := start(t)
	const nodes, pods = 20, 3000
	f.stub.SetContents(contents(nodes, pods))
	podList := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (apiruntime.Object, error) {
			o.FieldSelector = "status.phase=Running"
			return f.pods.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = "status.phase=Running"
			return f.pods.Watch(ctx, o)
		},
	}
	nodeList := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (apiruntime.Object, error) {
			return f.protobuf.CoreV1().Nodes().List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return f.protobuf.CoreV1().Nodes().Watch(ctx, o)
		},
	}
	podStore := reflect(t, podList, f.pods, &metav1.PartialObjectMetadata{}, pods)
	nodeStore := reflect(t, nodeList, f.protobuf, &corev1.Node{}, nodes)
	for store, key := range map[cache.Store]string{podStore: "namespace/pod-2999", nodeStore: "node-19"} {
		if _, exists, err := store.GetByKey(key); err != nil || !exists {
			t.Errorf("%s is not there: %v", key, err)
		}
	}
}

// reflect waits until a reflector has found so many objects.
func reflect(t *testing.T, lw cache.ListerWatcher, client any, kind apiruntime.Object, want int) cache.Store {
	t.Helper()
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	r := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw.(*cache.ListWatch), client), kind, store, cache.ReflectorOptions{})
	go r.RunWithContext(t.Context())
	for len(store.ListKeys()) < want {
		time.Sleep(time.Millisecond)
	}
	return store
}

func TestReviews(t *testing.T) {
	f := start(t)
	for name, client := range map[string]*kubernetes.Clientset{"JSON": f.client, "protobuf": f.protobuf} {
		for asked, want := range map[string]bool{token: true, "another": false} {
			review, err := client.AuthenticationV1().TokenReviews().Create(t.Context(),
				&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: asked}}, metav1.CreateOptions{})
			if err != nil || review.Status.Authenticated != want || want != (review.Status.User.Username != "") {
				t.Errorf("%s: %q is %+v %v", name, asked, review, err)
			}
		}
		for group, want := range map[string]bool{Administrators: true, "others": false} {
			review, err := client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(),
				&authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "u", Groups: []string{"x", group}}}, metav1.CreateOptions{})
			if err != nil || review.Status.Allowed != want {
				t.Errorf("%s: %q is %+v %v", name, group, review, err)
			}
		}
	}
}

func TestTrust(t *testing.T) {
	f := start(t)
	maps := f.client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	one, err := maps.Get(t.Context(), trustName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := maps.List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + trustName})
	if err != nil || len(all.Items) != 1 {
		t.Fatalf("%+v %v", all, err)
	}
	for _, m := range []*corev1.ConfigMap{one, &all.Items[0]} {
		if m.Data["client-ca-file"] != string(f.stub.options.CA.CertPEM()) || m.Data["requestheader-username-headers"] != `["X-Remote-User"]` {
			t.Errorf("%+v", m)
		}
	}
}

func TestRefusals(t *testing.T) {
	f := start(t)
	f.stub.SetContents(contents(1, 1))
	for name, c := range map[string]struct {
		path, accept, token string
		status              int
	}{
		"another token":     {"/api/v1/nodes", "", "another", http.StatusUnauthorized},
		"another path":      {"/api/v1/services", "", token, http.StatusNotFound},
		"label selector":    {"/api/v1/nodes?labelSelector=a", "", token, http.StatusBadRequest},
		"field selector":    {"/api/v1/nodes?fieldSelector=a%3Db", "", token, http.StatusBadRequest},
		"bad limit":         {"/api/v1/nodes?limit=x", "", token, http.StatusBadRequest},
		"bad page":          {"/api/v1/nodes?continue=9", "", token, http.StatusBadRequest},
		"bad watch timeout": {"/api/v1/nodes?watch=true&timeoutSeconds=x", "", token, http.StatusBadRequest},
		"version":           {"/version", "", token, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			config := f.stub.Config()
			config.BearerToken = c.token
			client := mustClient(t, config, func(*http.Request) {})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", c.accept)
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if text, _ := io.ReadAll(resp.Body); resp.StatusCode != c.status {
				t.Errorf("%s: %s", resp.Status, text)
			}
		})
	}
	if !strings.Contains(f.log.String(), "GET /api/v1/services") {
		t.Errorf("what is not known was not logged: %q", f.log)
	}
	_, err := f.client.CoreV1().Services("").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("%v", err)
	}
	for _, o := range []Options{{}, {Token: token}, {CA: f.stub.options.CA}} {
		if _, err := Start(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// Memory does not grow with the number of pods.
func TestListHoldsNothing(t *testing.T) {
	f := start(t)
	const pods = 20_000
	c := contents(0, pods)
	var held []uint64
	made := 0
	one := c.Pod
	c.Pod = func(i int) *corev1.Pod {
		if made++; made%(pods/2) == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			held = append(held, m.HeapAlloc)
		}
		return one(i)
	}
	f.stub.SetContents(c)
	config := f.stub.Config()
	client := mustClient(t, config, func(r *http.Request) {
		r.Header.Set("Accept", protobufType+";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+"/api/v1/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	const eachHeld = 500 // bytes; an object is larger
	if err != nil || n < 50*pods || slices.Max(held)-slices.Min(held) > pods/4*eachHeld {
		t.Errorf("%d bytes, heap %d: %v", n, held, err)
	}
}
