// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Reason is why a fetch failed, as a value for metrics and logs.
type Reason string

const (
	// ReasonNoAddress is a node without an address of a preferred type.
	ReasonNoAddress Reason = "no_address"
	// ReasonInvalidPath is a path annotation that is not an absolute path.
	ReasonInvalidPath Reason = "invalid_path"
	// ReasonCredentials is credentials that could not be made ready, such as an
	// exec plugin that failed. No request was sent.
	ReasonCredentials Reason = "credentials"
	// ReasonTimeout is a request that did not end within the timeout.
	ReasonTimeout Reason = "timeout"
	// ReasonCanceled is a request that the caller gave up.
	ReasonCanceled Reason = "canceled"
	// ReasonDNS is an address that cannot be resolved.
	ReasonDNS Reason = "dns"
	// ReasonConnectionRefused is a port on which nothing listens.
	ReasonConnectionRefused Reason = "connection_refused"
	// ReasonUnreachable is a host or network without a route.
	ReasonUnreachable Reason = "unreachable"
	// ReasonConnection is any other failure of the connection.
	ReasonConnection Reason = "connection"
	// ReasonTLSUnknownAuthority is a serving certificate of an unknown signer.
	ReasonTLSUnknownAuthority Reason = "tls_unknown_authority"
	// ReasonTLSName is a serving certificate of another than the node.
	ReasonTLSName Reason = "tls_name"
	// ReasonTLSExpired is a serving certificate that is expired or not valid yet.
	ReasonTLSExpired Reason = "tls_expired"
	// ReasonTLSUsage is a serving certificate that is not for servers.
	ReasonTLSUsage Reason = "tls_usage"
	// ReasonTLS is any other failure of TLS.
	ReasonTLS Reason = "tls"
	// ReasonUnauthorized is a 401.
	ReasonUnauthorized Reason = "unauthorized"
	// ReasonForbidden is a 403.
	ReasonForbidden Reason = "forbidden"
	// ReasonNotFound is a 404, of the metrics path and of /stats/summary.
	ReasonNotFound Reason = "not_found"
	// ReasonHTTPStatus is any other status than 200.
	ReasonHTTPStatus Reason = "http_status"
	// ReasonContentType is an answer in a format or encoding not asked for.
	ReasonContentType Reason = "content_type"
	// ReasonTooLarge is a header or body over the bounds.
	ReasonTooLarge Reason = "too_large"
	// ReasonBody is a body that was cut short.
	ReasonBody Reason = "body"
)

// Error is a fetch that failed, or a node that cannot be fetched from.
type Error struct {
	Reason Reason
	Node   string
	// URL that was asked, "" if none could be made.
	URL string
	// Err is what happened.
	Err error
}

// Error is one line: the node, what happened, and for the failures that come
// from a cluster's configuration what to do about them.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "node %q: ", e.Node)
	if e.URL != "" {
		fmt.Fprintf(&b, "GET %s: ", e.URL)
	}
	b.WriteString(e.Err.Error())
	if remedy := e.remedy(); remedy != "" {
		b.WriteString("; " + remedy)
	}
	return oneLine(b.String())
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) remedy() string {
	switch e.Reason {
	case ReasonUnauthorized:
		return "the kubelet does not know us: enable webhook token authentication on it " +
			"(authentication.webhook.enabled) and see that it reaches the API server, which it asks, or give " +
			"--kubelet-client-certificate and --kubelet-client-key"
	case ReasonForbidden:
		return "our user needs the verb get on " + kubeletResource(e.URL) + " in the API group \"\""
	case ReasonTLSUnknownAuthority:
		return "have the kubelet request its certificate from the cluster's signer (serverTLSBootstrap: true) and approve " +
			"its CSRs, or give the CA of its certificate as --kubelet-certificate-authority, or in a test cluster " +
			"trust anyone with --kubelet-insecure-tls"
	case ReasonTLSName:
		return "see that no other node states its addresses, and have the kubelet's certificate name the node, as one does " +
			"that it requests itself (serverTLSBootstrap: true, with approved CSRs)"
	case ReasonTLSUsage:
		return "give the kubelet a certificate with the extended key usage serverAuth"
	case ReasonTLSExpired:
		return "renew the kubelet's serving certificate, and check the clocks of both machines"
	}
	return ""
}

// kubeletResource is the resource that a kubelet's own authorizer asks about
// for a path
// (https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/).
func kubeletResource(rawURL string) string {
	u, err := url.Parse(rawURL)
	switch {
	case err == nil && strings.HasPrefix(u.Path, "/metrics"):
		return "nodes/metrics"
	case err == nil && strings.HasPrefix(u.Path, "/stats"):
		return "nodes/stats"
	}
	return "nodes/proxy"
}

func statusReason(code int) Reason {
	switch code {
	case http.StatusUnauthorized:
		return ReasonUnauthorized
	case http.StatusForbidden:
		return ReasonForbidden
	case http.StatusNotFound:
		return ReasonNotFound
	}
	return ReasonHTTPStatus
}

const (
	// maxQuoted is how many bytes of what a kubelet sent are quoted in an error.
	maxQuoted = 200
	// maxListed is how many items of a list are.
	maxListed = 8
)

// truncate makes text from a kubelet fit for an error: printable, on one line,
// at most maxQuoted bytes.
func truncate(text string) string {
	return cut(strings.Join(strings.Fields(oneLine(text)), " "))
}

// escape is truncate for text of which every character counts.
func escape(text string) string {
	quoted := strconv.Quote(text)
	return cut(quoted[1 : len(quoted)-1])
}

func cut(text string) string {
	if len(text) <= maxQuoted {
		return text
	}
	end := maxQuoted
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// list escapes the first items, and counts the others.
func list(items []string) string {
	listed := make([]string, 0, maxListed)
	for _, item := range items[:min(len(items), maxListed)] {
		listed = append(listed, escape(item))
	}
	text := strings.Join(listed, ", ")
	if more := len(items) - maxListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
