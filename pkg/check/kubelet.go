// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/tokenrequest"
)

// answer is what a kubelet says.
type answer struct {
	format  string
	samples *exposition.Samples
	at      time.Time
	// body is what the names in samples are views of.
	body []byte
}

// asker asks a kubelet for its usage. The error is a refusal.
type asker interface {
	ask(ctx context.Context, n kubelet.Node) (*answer, error)
	// way says how it is asked.
	way() string
}

// refusal is why there is no answer: a reason of pkg/kubelet or pkg/exposition.
type refusal struct {
	reason string
	text   string
}

func (r *refusal) Error() string { return r.text }

// newAsker is for kubelets as they are reached from here: as the metrics server does within
// one of its pods, and else through the API server.
func (c *checker) newAsker(ctx context.Context) (a asker, end func(), err error) {
	if !c.inside() {
		return &proxied{c}, func() {}, nil
	}
	config := c.flags.Kubelet
	if account := c.flags.KubeletServiceAccount; account.Name != "" {
		tokens := tokenrequest.New(c.client, account, clock.RealClock{})
		// Without a token, the answer of each kubelet is why.
		_, _ = tokens.Request(ctx)
		config.Tokens = tokens
	}
	client, err := kubelet.NewClient(config)
	if err != nil {
		return nil, nil, fmt.Errorf("the server's flags: %w", err)
	}
	return &direct{client}, client.Close, nil
}

// inside tells whether this runs in a pod of the metrics server.
func (c *checker) inside() bool {
	for i := range c.installation.pods {
		if p := &c.installation.pods[i]; c.PodName.Name == p.Name && c.PodName.Namespace == p.Namespace {
			return true
		}
	}
	return false
}

// direct asks as the metrics server does.
type direct struct{ client *kubelet.Client }

func (d *direct) way() string { return "asked from this pod" }

func (d *direct) ask(ctx context.Context, n kubelet.Node) (*answer, error) {
	endpoint, err := d.client.Endpoint(n)
	if err != nil {
		return nil, refused(err)
	}
	defer endpoint.Close()
	got, err := d.client.Fetch(ctx, endpoint)
	if err != nil {
		return nil, refused(err)
	}
	defer got.Release()
	names := map[exposition.Format]string{
		exposition.Text: "text", exposition.Delimited: "protobuf", exposition.Summary: "JSON of /stats/summary",
	}
	return decode(names[got.Format], got.Format, append([]byte(nil), got.Body...), got.RequestTime)
}

func decode(name string, format exposition.Format, body []byte, at time.Time) (*answer, error) {
	samples, err := new(exposition.Decoder).Decode(format, body, at)
	if err != nil {
		return nil, refused(err)
	}
	return &answer{format: name, samples: samples, at: at, body: body}, nil
}

// refused takes the reason from errors that have one.
func refused(err error) error {
	var fetch *kubelet.Error
	var content *exposition.Error
	switch {
	case errors.As(err, &fetch):
		return &refusal{string(fetch.Reason), fetch.Error()}
	case errors.As(err, &content):
		return &refusal{string(content.Reason), "the answer cannot be read: " + content.Error()}
	}
	return &refusal{reasonIn(err.Error()), plain(err.Error())}
}

// proxied asks through the API server, as the user, and as text, which any kubelet
// speaks. What the API server accepts of a kubelet's certificate is up to its own flags.
type proxied struct{ c *checker }

func (p *proxied) way() string { return "asked through the API server" }

func (p *proxied) ask(ctx context.Context, n kubelet.Node) (*answer, error) {
	path := n.MetricsPath
	if path == "" {
		path = "/metrics/resource"
	}
	at := p.c.Clock.Now()
	// An annotation's text is a path and nothing else: it must not end up as a query or as "..".
	escaped := (&url.URL{Path: path}).EscapedPath()
	got, err := p.get(ctx, n.Name, escaped, "text/plain;version=0.0.4")
	if err != nil {
		return nil, err
	}
	format, name := exposition.Text, "text"
	if got.status == http.StatusNotFound {
		if got, err = p.get(ctx, n.Name, "/stats/summary?only_cpu_and_memory=true", "application/json"); err != nil {
			return nil, err
		}
		format, name = exposition.Summary, "JSON of /stats/summary"
	}
	if got.status != http.StatusOK {
		return nil, refusedStatus(got)
	}
	if media, _, err := mime.ParseMediaType(got.contentType); err != nil || media != map[exposition.Format]string{
		exposition.Text: "text/plain", exposition.Summary: "application/json",
	}[format] {
		return nil, &refusal{string(kubelet.ReasonContentType), fmt.Sprintf("it answers in %q: %s", plain(got.contentType), plain(string(got.body)))}
	}
	return decode(name, format, got.body, at)
}

func (p *proxied) get(ctx context.Context, node, path, accept string) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, p.c.flags.Kubelet.Timeout)
	defer cancel()
	got, err := p.c.get(ctx, "/api/v1/nodes/"+url.PathEscape(node)+"/proxy"+path, http.Header{"Accept": {accept}})
	if err != nil {
		return got, refused(err)
	}
	return got, nil
}

// errNoProxy is a refusal by the API server, which says nothing of the kubelet.
var errNoProxy = errors.New("the API server does not pass it on")

func refusedStatus(got response) error {
	text := fmt.Sprintf("%d %s: %s", got.status, http.StatusText(got.status), messageOf(got.body))
	switch got.status {
	case http.StatusForbidden, http.StatusBadRequest:
		// A kubelet that refuses is a 401 or 403 of text; the API server's is a Status.
		if isStatus(got.body) {
			return fmt.Errorf("%w: %s", errNoProxy, text)
		}
		return &refusal{string(kubelet.ReasonForbidden), text}
	case http.StatusUnauthorized:
		return &refusal{string(kubelet.ReasonUnauthorized), text}
	case http.StatusNotFound:
		return &refusal{string(kubelet.ReasonNotFound), text}
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusInternalServerError:
		if isStatus(got.body) || got.status != http.StatusInternalServerError {
			return &refusal{reasonIn(text), text}
		}
	}
	return &refusal{string(kubelet.ReasonHTTPStatus), text}
}

// endpoints says where kubelets are, without credentials: the flags may name files that are
// in the pod only.
func (c *checker) endpoints() (*kubelet.Client, error) {
	config := c.flags.Kubelet
	config.Client, config.Insecure = &rest.Config{}, false
	return kubelet.NewClient(config)
}
