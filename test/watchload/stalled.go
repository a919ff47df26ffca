// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package watchload

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/kubemeter/metrics-server/test/rawclient"
)

// stalled is a watch of which nothing is read: what comes of it fills the client's
// window for a stream of HTTP/2, or the system's buffers for a connection of
// HTTP/1.1.
type stalled struct {
	client *http.Client
	resp   *http.Response
	cancel context.CancelFunc
}

func stall(ctx context.Context, client *http.Client, url string) (*stalled, error) {
	ctx, cancel := context.WithCancel(ctx)
	resp, err := rawclient.Open(ctx, client, url, http.Header{"Accept": {"application/json"}}) //nolint:bodyclose // close does it
	if err != nil {
		cancel()
		return nil, err
	}
	return &stalled{client, resp, cancel}, nil
}

// close may be called again.
func (s *stalled) close() {
	s.cancel()
	s.resp.Body.Close()
	s.client.CloseIdleConnections()
}

// drainTime is enough for what buffers hold.
const drainTime = 10 * time.Second

// drain reads at last what has come, until the watch's end or until that has taken
// too long. The error says how the watch has ended.
func (s *stalled) drain() (int64, error) {
	defer s.close()
	tooLong := time.AfterFunc(drainTime, s.close)
	n, err := io.Copy(io.Discard, s.resp.Body)
	switch {
	case !tooLong.Stop():
		err = errors.New("it goes on")
	case err == nil:
		err = io.EOF
	}
	return n, err
}

// newHTTP1Client returns a client that has a connection for each request.
func newHTTP1Client(config *tls.Config) *http.Client {
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableCompression: true}}
}
