// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// A kubelet's certificate need not be for the address that is dialled, if it is the
// node's, and has to be for servers.
func TestKubeletIdentity(t *testing.T) {
	scraped := kubeletsim.Request{Path: "/metrics/resource", Status: http.StatusOK}
	for i, fault := range []kubeletsim.Fault{kubeletsim.SubjectOnly(), kubeletsim.NameOnly()} {
		n := node(t, i)
		setFaults(t, n, fault) // and closes its connection
		defer setFaults(t, n)
		before := n.Requests()[scraped]
		eventually.Succeeds(t, patience, func() error {
			// One may have been under way.
			if n.Requests()[scraped] < before+2 {
				return fmt.Errorf("%s: it has not been scraped again", fault)
			}
			return nil
		})
	}
	refused := func() float64 {
		return serverMetric(t, "metrics_server_scrape_total", "result=failure", "reason=tls_usage")
	}
	before := refused()
	n := node(t, 2)
	setFaults(t, n, kubeletsim.ClientOnly())
	defer setFaults(t, n)
	eventually.Succeeds(t, patience, func() error {
		if refused() == before {
			return errors.New("a certificate for clients is not refused")
		}
		return nil
	})
	setFaults(t, n)
	waitServed(t)
	if insecure := serverMetric(t, "metrics_server_kubelet_insecure_tls"); insecure != 0 {
		t.Errorf("metrics_server_kubelet_insecure_tls is %v", insecure)
	}
}
