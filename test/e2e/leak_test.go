// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/rawclient"
)

const (
	// leavers is how many readers of each kind come and go. It has to be more than
	// spare, so that one thing left by each of a kind is found.
	leavers = 50
	// spare is how much more a server may hold than before: a connection to each
	// kubelet comes and goes, and has two goroutines while it is used.
	spare = 2 * nodeCount
)

// held is what a server holds.
type held struct{ goroutines, descriptors float64 }

func (s second) held(t *testing.T) held {
	t.Helper()
	return held{metricOf(t, s.config, "go_goroutines"), metricOf(t, s.config, "process_open_fds")}
}

// leaver is a reader with a connection of its own. It begins to read, and returns what
// makes it leave.
type leaver func(t *testing.T, url string, config *tls.Config) (leave func())

// reader reads so many bytes, or all.
func reader(path, accept string, bytes int64) leaver {
	return func(t *testing.T, url string, config *tls.Config) func() {
		client := rawclient.New(config)
		resp, err := rawclient.Open(t.Context(), client, url+path, http.Header{"Accept": {accept}}) //nolint:bodyclose // leaving does it
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, bytes); err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", path, err)
		}
		return func() {
			resp.Body.Close()
			client.CloseIdleConnections()
		}
	}
}

// reset sends a text, may wait for an answer, and leaves without a word: its
// connection is reset.
func reset(text string, answered bool) leaver {
	return func(t *testing.T, url string, config *tls.Config) func() {
		conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Error(err)
		}
		if answered {
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Error(err)
			}
		}
		return func() {
			tcp := conn.(*tls.Conn).NetConn().(*net.TCPConn)
			// Without lingering, closing resets it.
			if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
				t.Error(err)
			}
		}
	}
}

// However readers end, the server keeps nothing of them.
func TestReadersLeaveNothingBehind(t *testing.T) {
	const (
		asJSON  = "application/json"
		asTable = "application/json;as=Table;v=v1;g=meta.k8s.io"
		asProto = "application/vnd.kubernetes.protobuf"
		all     = 1 << 30
		v1      = "/apis/metrics.k8s.io/v1/"
		watch   = "GET " + v1 + "pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
	)
	watchers := []leaver{
		reader(v1+"pods?watch=1", asJSON, 1),
		reader(v1+"nodes?watch=1&allowWatchBookmarks=1", asProto, 1),
		reader(v1+"pods?watch=1&labelSelector=app%3Dnone", asTable, 0),
		reset(watch, true),
	}
	kinds := append([]leaver{
		reader(v1+"pods", asJSON, all),
		reader("/apis/metrics.k8s.io/v1beta1/nodes", asTable, all),
		reader(v1+"pods?limit=7", asProto, 1),
		reset("", false),
		reset(watch[:20], false),
	}, watchers...)

	s := startSecond(t)
	s.waitReady(t)
	config, err := rest.TLSConfigFor(s.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, begin := range kinds { // what is made at the first use of something, and kept, is none of a reader's
		begin(t, s.config.Host, config)()
	}
	before := s.held(t)
	var leaves []func()
	for range leavers {
		for _, begin := range kinds {
			leaves = append(leaves, begin(t, s.config.Host, config))
		}
	}
	during := s.held(t)
	if open := float64(leavers * len(kinds)); during.descriptors < before.descriptors+open || during.goroutines < before.goroutines+open {
		t.Errorf("%v readers are there, and the server holds %+v, and %+v before", open, during, before)
	}
	for _, leave := range leaves {
		leave()
	}
	eventually.Succeeds(t, patience, func() error {
		after := s.held(t)
		if after.goroutines > before.goroutines+spare || after.descriptors > before.descriptors+spare {
			return fmt.Errorf("the server holds %+v, and %+v before", after, before)
		}
		t.Logf("before: %+v, with %d readers: %+v, after: %+v", before, len(leaves), during, after)
		return nil
	})
}
