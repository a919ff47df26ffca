// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package corestub

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/kubemeter/metrics-server/test/cluster"
)

// Administrators is the group that may do everything.
const Administrators = "system:masters"

// maxReview is far above the size of any review.
const maxReview = 1 << 20

// trustName is that of the ConfigMap that every cluster has.
const trustName = "extension-apiserver-authentication"

// newTrust says that clients with certificates of ca are who they claim to be. The
// aggregation layer has an authority that nobody else knows, as there is none.
func newTrust(ca *cluster.CertificateAuthority) (*corev1.ConfigMap, error) {
	frontProxy, err := cluster.NewCertificateAuthority("front-proxy-ca")
	if err != nil {
		return nil, err
	}
	trust := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: trustName, ResourceVersion: "1"},
		Data: map[string]string{
			"client-ca-file":               string(ca.CertPEM()),
			"requestheader-client-ca-file": string(frontProxy.CertPEM()),
		},
	}
	for name, values := range map[string][]string{
		"requestheader-allowed-names":        {"front-proxy-client"},
		"requestheader-username-headers":     {"X-Remote-User"},
		"requestheader-group-headers":        {"X-Remote-Group"},
		"requestheader-extra-headers-prefix": {"X-Remote-Extra-"},
	} {
		text, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		trust.Data[name] = string(text)
	}
	return trust, nil
}

func (s *Stub) reviewToken(w http.ResponseWriter, r *http.Request) {
	review := &authenticationv1.TokenReview{}
	if err := read(r, review); err != nil {
		fail(w, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	if s.isToken(review.Spec.Token) {
		review.Status = authenticationv1.TokenReviewStatus{
			Authenticated: true,
			User:          authenticationv1.UserInfo{Username: "system:serviceaccount:kube-system:metrics-server"},
		}
	}
	write(w, r, http.StatusCreated, review, authenticationv1.SchemeGroupVersion)
}

func (s *Stub) reviewAccess(w http.ResponseWriter, r *http.Request) {
	review := &authorizationv1.SubjectAccessReview{}
	if err := read(r, review); err != nil {
		fail(w, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	review.Status.Allowed = slices.Contains(review.Spec.Groups, Administrators)
	write(w, r, http.StatusCreated, review, authorizationv1.SchemeGroupVersion)
}

// read decodes what was posted, as JSON or protobuf.
func read(r *http.Request, into runtime.Object) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxReview))
	if err != nil {
		return err
	}
	got, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, into)
	if err != nil {
		return err
	}
	if got != into {
		return fmt.Errorf("got a %T instead of a %T", got, into)
	}
	return nil
}
