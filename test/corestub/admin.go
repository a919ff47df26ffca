// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package corestub

import (
	"fmt"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
)

// AdminConfig is an administrator's configuration for a metrics server on a port of
// localhost, which takes client certificates of ca and has one of it.
func AdminConfig(ca *cluster.CertificateAuthority, port int) (*rest.Config, error) {
	cert, key, err := ca.IssueClient("kubernetes-admin", []string{Administrators})
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            fmt.Sprintf("https://localhost:%d", port),
		TLSClientConfig: rest.TLSClientConfig{CAData: ca.CertPEM(), CertData: cert, KeyData: key},
	}, nil
}
