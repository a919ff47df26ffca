// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/component-base/metrics"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/servingcert"
)

// certificateWait is how long the first connections wait for the serving certificate
// that the API server has. Health checks are answered with another one then.
const certificateWait = 5 * time.Second

// manageCertificate has the API server serve with a certificate that it keeps itself,
// if that is wanted.
func (s *server) manageCertificate(c Config, client kubernetes.Interface, clk clock.WithTicker, register func(metrics.Registerable) error) error {
	if c.ServingCertificate == nil {
		return nil
	}
	dynamicClient, err := dynamic.NewForConfig(c.Client)
	if err != nil {
		return err
	}
	s.certificate, err = servingcert.New(*c.ServingCertificate, client, dynamicClient, clk)
	if err != nil {
		return err
	}
	c.APIServer.SecureServing.Cert = s.certificate
	return s.certificate.Register(register)
}

// waitCertificate waits for a while until the certificate in the cluster is served.
func (s *server) waitCertificate(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, certificateWait)
	defer cancel()
	s.certificate.WaitStep(ctx)
}

var expirationDesc = metrics.NewDesc("metrics_server_serving_certificate_expiration_timestamp_seconds",
	"Time when the serving certificate expires, in seconds since 1970", nil, nil, metrics.ALPHA, "")

// certificateCollector tells about the certificate that is served when it is asked,
// wherever it comes from.
type certificateCollector struct {
	metrics.BaseStableCollector
	certificate dynamiccertificates.CertKeyContentProvider
}

// DescribeWithStability implements metrics.StableCollector.
func (c *certificateCollector) DescribeWithStability(ch chan<- *metrics.Desc) { ch <- expirationDesc }

// CollectWithStability implements metrics.StableCollector.
func (c *certificateCollector) CollectWithStability(ch chan<- metrics.Metric) {
	text, _ := c.certificate.CurrentCertKeyContent()
	// The first is the server's own. What cannot be parsed is not served.
	if certs, err := certutil.ParseCertsPEM(text); err == nil {
		ch <- metrics.NewLazyConstMetric(expirationDesc, metrics.GaugeValue, float64(certs[0].NotAfter.Unix()))
	}
}
