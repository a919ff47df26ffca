// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/component-base/metrics"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubemeter/metrics-server/pkg/servingcert"
)

// sample is the value of a metric without labels, as /metrics has it.
func sample(t *testing.T, registry metrics.KubeRegistry, name string) float64 {
	t.Helper()
	recorder := httptest.NewRecorder()
	metricsHandler(registry).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	all := families[name].GetMetric()
	if len(all) != 1 {
		t.Fatalf("%s has %d samples", name, len(all))
	}
	return all[0].GetGauge().GetValue() + all[0].GetCounter().GetValue()
}

// The certificate is told about wherever it comes from.
func TestCertificateCollector(t *testing.T) {
	cert, key, err := certutil.GenerateSelfSignedCertKey("localhost", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := certutil.ParseCertsPEM(cert)
	if err != nil {
		t.Fatal(err)
	}
	content, err := dynamiccertificates.NewStaticCertKeyContent("test", cert, key)
	if err != nil {
		t.Fatal(err)
	}
	registry := metrics.NewKubeRegistry()
	if err := registry.CustomRegister(&certificateCollector{certificate: content}); err != nil {
		t.Fatal(err)
	}
	want := float64(parsed[0].NotAfter.Unix())
	if got := sample(t, registry, "metrics_server_serving_certificate_expiration_timestamp_seconds"); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A managed certificate takes the place of any other, and the server is not ready
// before it is in the cluster.
func TestManageCertificate(t *testing.T) {
	c := Config{
		APIServer:          &genericapiserver.Config{SecureServing: &genericapiserver.SecureServingInfo{}},
		Client:             &rest.Config{Host: "https://127.0.0.1:1"},
		ServingCertificate: &servingcert.Config{Validity: time.Hour},
	}
	c.ServingCertificate.Secret.Namespace = "kube-system"
	client, err := kubernetes.NewForConfig(c.Client)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	registry := metrics.NewKubeRegistry()
	var s server
	if err := s.manageCertificate(c, client, clocktesting.NewFakeClock(now), registry.Register); err != nil {
		t.Fatal(err)
	}
	if c.APIServer.SecureServing.Cert != s.certificate || s.certificate.Ready() == nil {
		t.Errorf("the certificate is %v, %v", c.APIServer.SecureServing.Cert, s.certificate.Ready())
	}
	if err := registry.CustomRegister(&certificateCollector{certificate: s.certificate}); err != nil {
		t.Fatal(err)
	}
	if got := sample(t, registry, "metrics_server_serving_certificate_expiration_timestamp_seconds"); got != float64(now.Add(time.Hour).Unix()) {
		t.Errorf("it expires at %v", got)
	}
	if got := sample(t, registry, "metrics_server_serving_certificate_sync_errors_total"); got != 0 {
		t.Errorf("there are %v errors", got)
	}
}
