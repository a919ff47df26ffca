// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// requestTimeout bounds one request. Lists have pages.
	requestTimeout = 30 * time.Second
	pageSize       = 500
	// maxBody is what pkg/kubelet takes of a kubelet.
	maxBody = 32 << 20
	// maxQuoted is how much of somebody's text is repeated.
	maxQuoted = 600
)

// cluster is the clients of the API server.
type cluster struct {
	config  *rest.Config
	client  kubernetes.Interface
	dynamic dynamic.Interface
	http    *http.Client
}

func newCluster(config *rest.Config) (*cluster, error) {
	config = rest.CopyConfig(config)
	config.Timeout = requestTimeout
	// What is forbidden or deprecated is part of what is reported.
	config.WarningHandler = rest.NoWarnings{}
	c := &cluster{config: config}
	var err error
	if c.http, err = clientFor(config); err != nil {
		return nil, err
	}
	if c.client, err = kubernetes.NewForConfigAndClient(config, c.http); err != nil {
		return nil, err
	}
	c.dynamic, err = dynamic.NewForConfigAndClient(rest.CopyConfig(config), c.http)
	return c, err
}

// clientFor is a client that is not led elsewhere.
func clientFor(config *rest.Config) (*http.Client, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	client.CheckRedirect = noRedirect
	return client, nil
}

// noRedirect has a client take a redirection for the answer. The API server passes on those
// of kubelets and pods, and client-go shows the user's token to whichever host one names.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (c *cluster) close() { c.http.CloseIdleConnections() }

// response is an answer that was read.
type response struct {
	status      int
	contentType string
	body        []byte
}

// get asks the API server for a path, which may be one that it passes on.
func (c *cluster) get(ctx context.Context, path string, header http.Header) (response, error) {
	base, _, err := rest.DefaultServerUrlFor(c.config)
	if err != nil {
		return response{}, err
	}
	return get(ctx, c.http, strings.TrimSuffix(base.String(), "/")+path, header)
}

func get(ctx context.Context, client *http.Client, url string, header http.Header) (response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return response{}, err
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		return response{}, reasonOfURL(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return response{}, err
	case len(body) > maxBody:
		return response{}, fmt.Errorf("the answer has more than %d bytes", maxBody)
	}
	return response{resp.StatusCode, resp.Header.Get("Content-Type"), body}, nil
}

// reasonOfURL leaves out the method and the URL, which the caller tells.
func reasonOfURL(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// pages lists something page by page.
func pages[L interface {
	runtime.Object
	metav1.ListInterface
}](ctx context.Context, o metav1.ListOptions, list func(context.Context, metav1.ListOptions) (L, error), each func(L)) error {
	o.Limit = pageSize
	for {
		l, err := list(ctx, o)
		if err != nil {
			return err
		}
		each(l)
		if o.Continue = l.GetContinue(); o.Continue == "" {
			return nil
		}
	}
}

// unseen says why something could not be looked at.
func unseen(s *Step, what string, err error) {
	if apierrors.IsForbidden(err) {
		s.unknown("%s: you are not allowed to see them (%s)", what, plain(err.Error()))
		return
	}
	s.unknown("%s: %s", what, plain(err.Error()))
}

// oneLine makes text of others fit for a terminal: printable, and on one line.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// plain makes text of others fit to be repeated: on one line, and not too long.
func plain(text string) string {
	text = oneLine(text)
	if len(text) > maxQuoted {
		text = strings.ToValidUTF8(text[:maxQuoted], "") + "…"
	}
	return text
}

func dashes(words string) string { return strings.ReplaceAll(words, "_", "-") }
