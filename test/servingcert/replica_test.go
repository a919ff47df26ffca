// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/tcpproxy"
)

const serverName = "metrics-server.kube-system.svc"

// replica is where a server listens.
type replica struct{ address string }

// startReplicas starts two servers at once, and returns when both are ready.
func startReplicas(t *testing.T) []replica {
	t.Helper()
	if err := local.StartServer(); err != nil {
		t.Fatal(err)
	}
	other, url, err := local.StartAnother()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(other.Stop(), other.Wait()); err != nil {
			t.Error(err)
		}
	})
	replicas := []replica{{host(local.ServerURL())}, {host(url)}}
	for _, r := range replicas {
		eventually.Succeeds(t, patience, r.ready)
	}
	return replicas
}

// stopServer stops the one that is there for the tests.
func stopServer(t *testing.T) {
	t.Helper()
	if err := errors.Join(local.Server.Stop(), local.Server.Wait()); err != nil {
		t.Fatal(err)
	}
}

// host has an address, as the certificate is for no localhost.
func host(url string) string {
	return strings.Replace(strings.TrimPrefix(url, "https://"), "localhost", "127.0.0.1", 1)
}

// ready asks as a kubelet would, which verifies nothing.
func (r replica) ready() error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	resp, err := client.Get("https://" + r.address + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(resp.Body)
		return errors.Join(fmt.Errorf("%s: %s", resp.Status, text), err)
	}
	return nil
}

// served is the PEM of the certificate that is served, if authorities accept it.
func (r replica) served(authorities []byte) ([]byte, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities)
	c, err := tls.Dial("tcp", r.address, &tls.Config{RootCAs: roots, ServerName: serverName})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ConnectionState().PeerCertificates[0].Raw}), nil
}

// metrics is what an administrator reads of the replica.
func (r replica) metrics(t *testing.T, authorities []byte) string {
	t.Helper()
	config := local.AdminConfig()
	config.Host = "https://" + r.address
	config.CAData, config.ServerName = authorities, serverName
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Get(config.Host + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// newBalancer hands connections to the replicas in turn, and returns the port that it
// listens on.
func newBalancer(t *testing.T, replicas []replica) int {
	t.Helper()
	var count atomic.Int64
	t.Cleanup(func() { t.Logf("%d connections were made", count.Load()) })
	return tcpproxy.Start(t, func(ctx context.Context, client net.Conn) {
		tcpproxy.Join(ctx, client, replicas[int(count.Add(1))%len(replicas)].address)
	}).Port
}
