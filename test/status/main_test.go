// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package status tests the status page in a real browser, and who may see it: a real
// kube-apiserver decides, and simulated kubelets are well or ill.
package status

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/pkg/status"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

const (
	resolution = 10 * time.Second
	nodeCount  = 10
	podCount   = 60
	// patience is how long a test waits for what takes some intervals at most.
	patience = 90 * time.Second
)

// stranger may see nothing.
const stranger = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: stranger, namespace: kube-system}
`

var (
	screenshots = flag.String("screenshots", "", "folder for screenshots of the page")
	large       = flag.Bool("large", false, "measure the page, and take its screenshots, with 5,000 nodes, too")

	local         *localcluster.Local
	reader, other string // tokens
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(localcluster.RunTests(localcluster.Options{
		Nodes: nodeCount, Pods: podCount,
		ServerFlags: []string{"--metric-resolution=" + resolution.String(), "--kubelet-request-timeout=4s", "--metric-max-age=1m"},
	}, func(l *localcluster.Local) int {
		local = l
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}))
}

func prepare() (err error) {
	ctx := context.Background()
	if err := local.Apply(ctx, localcluster.StatusReader+"---"+stranger); err != nil {
		return err
	}
	if reader, err = local.ServiceAccountToken(ctx, "kube-system", "status-reader"); err != nil {
		return err
	}
	other, err = local.ServiceAccountToken(ctx, "kube-system", "stranger")
	return err
}

// anyone trusts the server whoever it is, and shows no certificate.
var anyone = &http.Client{Transport: &http.Transport{
	TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
}}

// answer is what a server has answered.
type answer struct {
	code   int
	header http.Header
	body   string
}

// get asks a server for a path, after the request is changed.
func get(t *testing.T, client *http.Client, url string, change func(*http.Request)) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, url, nil) // for cleanups, too
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// read returns the status of a server as JSON has it. Without a token, anyone may.
func read(t *testing.T, server, token string) *status.Status {
	t.Helper()
	got := get(t, anyone, server+status.Path, func(r *http.Request) {
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		r.Header.Set("Accept", "application/json")
	})
	s := &status.Status{}
	if err := json.Unmarshal([]byte(got.body), s); err != nil || got.code != http.StatusOK {
		t.Fatalf("%d, %v: %s", got.code, err, got.body)
	}
	return s
}
