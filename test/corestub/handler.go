// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package corestub

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"
)

const trustPath = "/api/v1/namespaces/" + metav1.NamespaceSystem + "/configmaps"

func (s *Stub) newHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, version.Info{Major: "1", Minor: "37", GitVersion: "v1.37.0-corestub"})
	})
	mux.HandleFunc("GET /api/v1/nodes", s.serveNodes)
	mux.HandleFunc("GET /api/v1/pods", s.servePods)
	mux.HandleFunc("GET "+trustPath, s.serveTrustList)
	mux.HandleFunc("GET "+trustPath+"/"+trustName, func(w http.ResponseWriter, r *http.Request) {
		write(w, r, http.StatusOK, s.trust, corev1.SchemeGroupVersion)
	})
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", s.reviewToken)
	mux.HandleFunc("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", s.reviewAccess)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(s.options.Log, "the stub of the core API does not know %s %s\n", r.Method, r.URL.Path)
		fail(w, r, apierrors.NewNotFound(schema.GroupResource{}, r.URL.Path))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !s.isToken(token) {
			fail(w, r, apierrors.NewUnauthorized("the stub of the core API knows one token, and this is another"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *Stub) isToken(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.options.Token)) == 1
}

func (s *Stub) serveNodes(w http.ResponseWriter, r *http.Request) {
	contents, version := s.current()
	s.serve(w, r, collection{
		version: version, size: contents.Nodes,
		kind: corev1.SchemeGroupVersion.WithKind("Node"),
		object: func(i int) object {
			n := contents.Node(i)
			n.ResourceVersion = version
			return n
		},
		empty: func() object { return &corev1.Node{} },
		form:  func(o object) object { return o },
	})
}

// servePods serves whole pods, or their metadata if that is asked for.
func (s *Stub) servePods(w http.ResponseWriter, r *http.Request) {
	contents, version := s.current()
	c := collection{
		version: version, size: contents.Pods, fieldSelector: "status.phase=Running",
		kind:  corev1.SchemeGroupVersion.WithKind("Pod"),
		empty: func() object { return &corev1.Pod{} },
		form:  func(o object) object { return o },
	}
	if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
		c.kind = metav1.SchemeGroupVersion.WithKind("PartialObjectMetadata")
		c.empty = func() object { return &metav1.PartialObjectMetadata{} }
		c.form = func(o object) object { return &metav1.PartialObjectMetadata{ObjectMeta: o.(*corev1.Pod).ObjectMeta} }
	}
	c.object = func(i int) object {
		p := contents.Pod(i)
		p.ResourceVersion = version
		return c.form(p)
	}
	s.serve(w, r, c)
}

func (s *Stub) serveTrustList(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, collection{
		version: s.trust.ResourceVersion, still: true, size: 1, fieldSelector: "metadata.name=" + trustName,
		kind:   corev1.SchemeGroupVersion.WithKind("ConfigMap"),
		object: func(int) object { return s.trust.DeepCopy() },
		empty:  func() object { return &corev1.ConfigMap{} },
	})
}

func (s *Stub) serve(w http.ResponseWriter, r *http.Request, c collection) {
	query := r.URL.Query()
	if fields := query.Get("fieldSelector"); fields != "" && fields != c.fieldSelector || query.Get("labelSelector") != "" {
		fail(w, r, apierrors.NewBadRequest(fmt.Sprintf("the stub of the core API knows no selector of %s but fieldSelector=%s", r.URL.Path, c.fieldSelector)))
		return
	}
	if query.Get("watch") == "true" || query.Get("watch") == "1" {
		s.watch(w, r, c)
		return
	}
	c.list(w, r)
}

const (
	jsonType     = runtime.ContentTypeJSON
	protobufType = runtime.ContentTypeProtobuf
)

// wantsProtobuf also where JSON would do.
func wantsProtobuf(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), protobufType)
}

// serializer is for answers to the request.
func serializer(r *http.Request) (string, runtime.Serializer) {
	contentType := jsonType
	if wantsProtobuf(r) {
		contentType = protobufType
	}
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), contentType)
	return contentType, info.Serializer
}

// write sends a small object. A client that is gone needs no error.
func write(w http.ResponseWriter, r *http.Request, status int, o runtime.Object, gv schema.GroupVersion) {
	contentType, s := serializer(r)
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = scheme.Codecs.EncoderForVersion(s, gv).Encode(o, w)
}

func fail(w http.ResponseWriter, r *http.Request, err *apierrors.StatusError) {
	write(w, r, int(err.ErrStatus.Code), &err.ErrStatus, corev1.SchemeGroupVersion)
}
