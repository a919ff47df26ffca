// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/kubemeter/metrics-server/test/eventually"
)

// A connection that comes at the moment of the end is not told that it is one, and API
// servers come so and keep their connections. The server ends in spite of it, and leaves
// the APIServices to whoever comes after it.
func TestEnd(t *testing.T) {
	stopServer(t)
	t.Cleanup(func() {
		if err := local.StartServer(); err != nil {
			t.Fatal(err)
		}
		eventually.Succeeds(t, patience, replica{host(local.ServerURL())}.ready)
	})
	process, url, err := local.StartAnother()
	if err != nil {
		t.Fatal(err)
	}
	server := replica{host(url)}
	eventually.Succeeds(t, patience, server.ready)
	eventually.Succeeds(t, patience, func() error { return checkKept(t, server) })

	early, err := net.Dial("tcp", server.address)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	told := beginHTTP2(t, early)
	late, err := net.Dial("tcp", server.address)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	// Connections are accepted in their order.
	if _, err := server.served(secret(t)["ca.crt"]); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Stop() }()
	// Those that have begun are told to go, and closed then. One that is silent for five
	// seconds is closed, too.
	if _, err := io.Copy(io.Discard, told); err != nil {
		t.Fatal(err)
	}
	beginHTTP2(t, late)

	foreign := newAuthority(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)).CertPEM()
	patchAPIService(t, apiServices[0], fmt.Sprintf(`[{"op": "replace", "path": "/spec/caBundle", "value": %q}]`, base64.StdEncoding.EncodeToString(foreign)))
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !bytes.Equal(bundleOf(t, apiServices[0]), foreign) {
		t.Error("a server that ends has changed an APIService")
	}
}

// beginHTTP2 makes a connection one of HTTP/2 that has no requests.
func beginHTTP2(t *testing.T, raw net.Conn) *tls.Conn {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(secret(t)["ca.crt"])
	conn := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: serverName, NextProtos: []string{"h2"}})
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // of which there are none
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+settings); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return conn
}
