// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"encoding/base64"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAPIService(t *testing.T) {
	a := testAuthority(t, start, day)
	bundle := certPEM(a.cert)
	object := map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": "v1.metrics.k8s.io", "resourceVersion": "7"},
		"spec": map[string]any{
			"group": "metrics.k8s.io", "groupPriorityMinimum": int64(100),
			"service":  map[string]any{"name": "s", "namespace": "n", "port": int64(443)},
			"caBundle": base64.StdEncoding.EncodeToString(bundle),
		},
	}
	s, err := newAPIService(&unstructured.Unstructured{Object: object})
	if err != nil {
		t.Fatal(err)
	}
	if s.name != "v1.metrics.k8s.io" || s.resourceVersion != "7" || s.dnsName != "s.n.svc" || s.insecure ||
		s.needs(bundle) || !s.needs([]byte("x")) || !s.trusts(a.cert) || s.trusts(testAuthority(t, start, day).cert) {
		t.Errorf("got %+v", s)
	}

	spec := object["spec"].(map[string]any)
	delete(spec, "caBundle")
	if s, err = newAPIService(&unstructured.Unstructured{Object: object}); err != nil || !s.needs(bundle) || s.trusts(a.cert) {
		t.Errorf("without a bundle: %+v, %v", s, err)
	}
	// The API does not take a bundle then, and everything is accepted.
	spec["insecureSkipTLSVerify"] = true
	if s, err = newAPIService(&unstructured.Unstructured{Object: object}); err != nil || s.needs(bundle) || !s.trusts(a.cert) {
		t.Errorf("insecure: %+v, %v", s, err)
	}
	spec["caBundle"] = "%"
	if _, err = newAPIService(&unstructured.Unstructured{Object: object}); err == nil || !strings.HasPrefix(err.Error(), "APIService v1.metrics.k8s.io: ") {
		t.Errorf("with what is no base64: %v", err)
	}
	delete(spec, "caBundle")
	// A certificate for such a name would verify for nobody.
	spec["service"] = map[string]any{"name": "s_s", "namespace": "n"}
	if s, err = newAPIService(&unstructured.Unstructured{Object: object}); s != nil || err != nil {
		t.Errorf("of a Service that cannot exist: %+v, %v", s, err)
	}
	delete(spec, "service")
	if s, err = newAPIService(&unstructured.Unstructured{Object: object}); s != nil || err != nil {
		t.Errorf("of the API server itself: %+v, %v", s, err)
	}
}
