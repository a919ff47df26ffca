// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
)

// forward has a port of this machine lead to one of a pod until stop is called, as kubectl
// port-forward does.
func (c *checker) forward(ctx context.Context, pod types.NamespacedName, port int) (address string, stop func(), err error) {
	dialer, err := c.forwardDialer(pod)
	if err != nil {
		return "", nil, err
	}
	// What goes wrong shows in the connection that it concerns.
	ctx, cancel := context.WithCancel(klog.NewContext(ctx, klog.New(nil)))
	ready, ended := make(chan struct{}), make(chan error, 1)
	var complaints strings.Builder
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"}, []string{fmt.Sprint("0:", port)}, ready, io.Discard, &complaints)
	if err != nil {
		cancel()
		return "", nil, err
	}
	var running sync.WaitGroup
	running.Go(func() { ended <- forwarder.ForwardPorts() })
	opening, opened := context.WithTimeout(ctx, requestTimeout)
	defer opened()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		return "", nil, fmt.Errorf("port-forward to pod %s: %w", pod, err)
	case <-opening.Done(): // which the dialer does not heed
		cancel()
		return "", nil, fmt.Errorf("port-forward to pod %s: %w", pod, opening.Err())
	}
	stop = func() {
		cancel()
		running.Wait()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		stop()
		return "", nil, err
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local))), stop, nil
}

// forwardDialer speaks SPDY over a WebSocket, or over HTTP to API servers before 1.30 and
// through proxies that know no WebSocket.
func (c *checker) forwardDialer(pod types.NamespacedName) (httpstream.Dialer, error) {
	config := rest.CopyConfig(c.config)
	config.Timeout = 0 // it would end the connection
	u := c.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	webSocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(webSocket, spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport, CheckRedirect: noRedirect}, http.MethodPost, u),
		func(err error) bool { return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) }), nil
}
