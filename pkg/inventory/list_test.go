// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/pkg/store"
)

var inProtobuf = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)

// encoded is a page as an API server sends it.
func encoded(t testing.TB, next string, pods ...corev1.Pod) []byte {
	t.Helper()
	var b bytes.Buffer
	err := inProtobuf.Encode(&corev1.PodList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"},
		ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: next}, Items: pods,
	}, &b)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte) (*podList, error) {
	l := &podList{}
	return l, l.read(bufio.NewReader(bytes.NewReader(b)))
}

func TestReadList(t *testing.T) {
	for _, pods := range [][]corev1.Pod{nil, {*whole()}, {{}, *whole(), {ObjectMeta: metav1.ObjectMeta{Name: strings.Repeat("x", 100_000)}}}} {
		b := encoded(t, "next", pods...)
		want := &podList{ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "next"}}
		for i := range pods {
			want.Items = append(want.Items, *used(&pods[i]))
		}
		got, err := read(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
		}
		if copied := got.DeepCopyObject(); len(pods) > 0 && !reflect.DeepEqual(copied, runtime.Object(got)) {
			t.Errorf("a copy is %+v", copied)
		}
	}
	// One that is cut short is not taken for a shorter one.
	b := encoded(t, "", *whole(), *whole())
	for n := range len(b) - 4 { // but for what comes after the list: two empty fields
		if _, err := read(b[:n]); err == nil {
			t.Fatalf("%d bytes of %d are taken", n, len(b))
		}
	}
}

// Fields that are not known yet are left out, whatever their type, and sizes that
// cannot be are refused.
func TestReadListOfOthers(t *testing.T) {
	unknown := protowire.AppendTag(nil, 9, protowire.VarintType)
	unknown = protowire.AppendVarint(unknown, 1<<40)
	unknown = protowire.AppendFixed32(protowire.AppendTag(unknown, 10, protowire.Fixed32Type), 1)
	unknown = protowire.AppendFixed64(protowire.AppendTag(unknown, 11, protowire.Fixed64Type), 1)
	unknown = protowire.AppendString(protowire.AppendTag(unknown, 12, protowire.BytesType), "x")
	item := protowire.AppendBytes(protowire.AppendTag(nil, listItemsField, protowire.BytesType), marshal(t, whole()))
	raw := slices.Concat(unknown, item, unknown)
	b := slices.Concat([]byte(protobufPrefix), unknown, protowire.AppendBytes(protowire.AppendTag(nil, unknownRawField, protowire.BytesType), raw), unknown)
	if l, err := read(b); err != nil || len(l.Items) != 1 || l.Items[0].node != whole().Spec.NodeName {
		t.Errorf("%+v %v", l, err)
	}
	for _, number := range []protowire.Number{3, unknownRawField} {
		b := protowire.AppendVarint(protowire.AppendTag([]byte(protobufPrefix), number, protowire.BytesType), 1<<63)
		if l, err := read(append(b, "abc"...)); err == nil {
			t.Errorf("field %d of 2^63 bytes is taken: %+v", number, l)
		}
	}
}

// As FuzzDecodePod.
func FuzzReadList(f *testing.F) {
	f.Add(encoded(f, ""))
	f.Add(encoded(f, "next", *whole(), corev1.Pod{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := read(b)
		decoded, _, wantErr := inProtobuf.Decode(b, nil, nil)
		want, ok := decoded.(*corev1.PodList)
		if wantErr != nil || !ok {
			return
		}
		if err == nil {
			wantList(t, got, want)
		}
		var again bytes.Buffer
		want.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}
		if err := inProtobuf.Encode(want, &again); err != nil {
			t.Fatal(err)
		}
		if got, err = read(again.Bytes()); err != nil {
			t.Fatalf("the library has encoded it: %v", err)
		}
		wantList(t, got, want)
	})
}

func wantList(t *testing.T, got *podList, want *corev1.PodList) {
	t.Helper()
	if len(got.Items) != len(want.Items) || got.ListMeta.String() != want.ListMeta.String() {
		t.Fatalf("\n got %+v\nwant %+v", got, want)
	}
	for i := range got.Items {
		if want := used(&want.Items[i]); want.Name != "" && !reflect.DeepEqual(&got.Items[i], want) {
			t.Fatalf("\n got %+v\nwant %+v", got.Items[i], want)
		}
	}
}

// withoutStreams answers as an API server that has lists, and no streams of them.
func withoutStreams(t *testing.T) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if accept := r.Header.Get("Accept"); accept != runtime.ContentTypeProtobuf {
			t.Errorf("Accept: %s", accept)
		}
		query := r.URL.Query()
		if r.URL.Path != "/api/v1/pods" || query.Get("fieldSelector") != "status.phase=Running" {
			t.Errorf("GET %s", r.URL)
		}
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		switch {
		case query.Has("sendInitialEvents"):
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = inProtobuf.Encode(&metav1.Status{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
				Status:   metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
			}, w)
		case query.Has("watch"):
			<-r.Context().Done()
		case query.Has("continue"):
			_, _ = w.Write(encoded(t, ""))
		default:
			_, _ = w.Write(encoded(t, "next", *whole()))
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// An API server that does not stream lists is listed from.
func TestPodClientLists(t *testing.T) {
	server := withoutStreams(t)
	config := &rest.Config{Host: server.URL}
	client, err := NewPodClient(config)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := &listed{end: cancel}
	inv := New(kubernetes.NewForConfigOrDie(config), client, labels.Everything(), r, r)
	inv.podReflector.RunWithContext(ctx)
	p := whole()
	r.want(t, fmt.Sprint("sync ", []store.PodMetadata{
		{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Node: p.Spec.NodeName, Labels: p.Labels},
	}))
}

// listed ends with the first list.
type listed struct {
	recorder
	end func()
}

func (l *listed) SyncPods(pods []store.PodMetadata) {
	l.recorder.SyncPods(pods)
	l.end()
}
