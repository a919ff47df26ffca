// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// As many scrapes of each node fail as should.
func TestOutages(t *testing.T) {
	ca, err := kubeletsim.NewCA("kubelet CA")
	if err != nil {
		t.Fatal(err)
	}
	outages := &outages{}
	kubelets, err := kubeletsim.Start(kubeletsim.Options{CA: ca, Authenticate: func(string) bool { return true }, Observe: outages.observe})
	if err != nil {
		t.Fatal(err)
	}
	defer kubelets.Close()
	var nodes []*kubeletsim.Node
	for i := range 2 {
		n, err := kubelets.AddNode(nodeName(i))
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	defer client.CloseIdleConnections()
	scrape := func(n *kubeletsim.Node) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://%s:%d/metrics/resource", n.Address(), kubelets.Port()), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer x")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	want := [][]int{
		{failure, failure, http.StatusOK, http.StatusOK},
		{failure, http.StatusOK, http.StatusOK, http.StatusOK},
	}
	for i, length := range []int{2, 1} {
		if err := outages.begin(nodes[i], length); err != nil {
			t.Fatal(err)
		}
	}
	for scrapes := range 4 {
		for i, n := range nodes {
			if got := scrape(n); got != want[i][scrapes] {
				t.Errorf("node %d, scrape %d: %d, want %d", i, scrapes, got, want[i][scrapes])
			}
		}
	}
	all, err := outages.take()
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v %v", all, err)
	}
	for _, out := range all {
		if out.left != 0 || out.first.IsZero() || out.last.Before(out.first) {
			t.Errorf("%+v", out)
		}
	}
}
