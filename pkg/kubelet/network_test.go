// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"syscall"
	"testing"
)

// discardLog keeps handshake errors that a test provokes out of its output.
var discardLog = log.New(io.Discard, "", 0)

func TestNetworkReasons(t *testing.T) {
	dialError := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	for _, tc := range []struct {
		name string
		err  error
		want Reason
	}{
		{"refused", dialError(os.NewSyscallError("connect", syscall.ECONNREFUSED)), ReasonConnectionRefused},
		{"no route to host", dialError(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), ReasonUnreachable},
		{"network unreachable", dialError(os.NewSyscallError("connect", syscall.ENETUNREACH)), ReasonUnreachable},
		{"host down", dialError(os.NewSyscallError("connect", syscall.EHOSTDOWN)), ReasonUnreachable},
		{"no such host", dialError(&net.DNSError{Err: "no such host", Name: "n1", IsNotFound: true}), ReasonDNS},
		{"resolver timeout", dialError(&net.DNSError{Err: "i/o timeout", Name: "n1", IsTimeout: true}), ReasonDNS},
		{"connect timeout", dialError(os.NewSyscallError("connect", syscall.ETIMEDOUT)), ReasonTimeout},
		{"reset", dialError(os.NewSyscallError("read", syscall.ECONNRESET)), ReasonConnection},
		{"other", errors.New("something else"), ReasonConnection},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := testConfig(10250)
			c.Client.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, tc.err }
			f := newFetcher(t, c)
			f.fails(t, tc.want, "GET https://127.0.0.1:10250/metrics/resource: ", tc.err.Error())
			if _, err := f.fetch(); !errors.Is(err, tc.err) {
				t.Errorf("%v does not unwrap to what the dialer returned", err)
			}
		})
	}
}

func TestConnectionRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	newFetcher(t, testConfig(listener.Addr().(*net.TCPAddr).Port)).fails(t, ReasonConnectionRefused)
}

func TestConnectionClosedByServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	newFetcher(t, testConfig(listener.Addr().(*net.TCPAddr).Port)).fails(t, ReasonConnection)
}
