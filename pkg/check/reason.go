// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// telling is a phrase and what it tells.
type telling[T any] struct {
	phrase string
	tells  T
}

// reasonsOfText are phrases of errors of kubelet requests, of ours as well as of other
// metrics servers' and of the API server's. The first counts.
var reasonsOfText = []telling[kubelet.Reason]{
	{"allows only", kubelet.ReasonNoAddress},
	{"annotation " + kubelet.MetricsPathAnnotation, kubelet.ReasonInvalidPath},
	// These come first: their text has the error of the API server in it.
	{"token of ServiceAccount", kubelet.ReasonCredentials},
	{"getting credentials", kubelet.ReasonCredentials},
	{"certificate signed by unknown authority", kubelet.ReasonTLSUnknownAuthority},
	{"certificate is not trusted", kubelet.ReasonTLSUnknownAuthority},
	{"has expired or is not yet valid", kubelet.ReasonTLSExpired},
	{"incompatible key usage", kubelet.ReasonTLSUsage},
	{"certificate is that of another node", kubelet.ReasonTLSName},
	{"certificate is not that of this node", kubelet.ReasonTLSName},
	{"certificate is valid for", kubelet.ReasonTLSName},
	{"doesn't contain any IP SANs", kubelet.ReasonTLSName},
	{"not valid for any names", kubelet.ReasonTLSName},
	{"401 Unauthorized", kubelet.ReasonUnauthorized},
	{"status: \"401", kubelet.ReasonUnauthorized},
	{"403 Forbidden", kubelet.ReasonForbidden},
	{"status: \"403", kubelet.ReasonForbidden},
	{"404 Not Found", kubelet.ReasonNotFound},
	{"no such host", kubelet.ReasonDNS},
	{"server misbehaving", kubelet.ReasonDNS},
	{"connection refused", kubelet.ReasonConnectionRefused},
	{"no route to host", kubelet.ReasonUnreachable},
	{"network is unreachable", kubelet.ReasonUnreachable},
	{"i/o timeout", kubelet.ReasonTimeout},
	{"deadline exceeded", kubelet.ReasonTimeout},
	{"Client.Timeout", kubelet.ReasonTimeout},
	{"no complete answer in time", kubelet.ReasonTimeout},
	{"connection reset", kubelet.ReasonConnection},
	{"broken pipe", kubelet.ReasonConnection},
	{"Content-Type", kubelet.ReasonContentType},
	{"the body has", kubelet.ReasonTooLarge},
	{"answer cannot be read", kubelet.Reason(exposition.ReasonSyntax)},
	{"unexpected EOF", kubelet.ReasonBody},
	{": EOF", kubelet.ReasonConnection},
	{"x509:", kubelet.ReasonTLS},
	{"tls:", kubelet.ReasonTLS},
	{"500 Internal Server Error", kubelet.ReasonHTTPStatus},
}

// withheldTexts are phrases with which the metrics API says why it has nothing of a node or pod.
var withheldTexts = []telling[store.Reason]{
	{"no such pod is running", store.NotListed},
	{"lacks its CPU or memory", store.Incomplete},
	{"usage needs two", store.NoWindow},
	{"its last sample is of", store.Stale},
	{"none of its containers", store.NoneRunning},
	{"has not reported it yet", store.NotScraped},
	{"which is not scraped", store.NotScraped},
	{"not scraped yet", store.NotScraped},
}

// first is what the first of the phrases in a text tells.
func first[T any](text string, all []telling[T]) (tells T, ok bool) {
	for _, t := range all {
		if strings.Contains(text, t.phrase) {
			return t.tells, true
		}
	}
	return tells, false
}

// reasonIn is the reason of an error of which there is only the text.
func reasonIn(text string) string {
	reason, ok := first(text, reasonsOfText)
	if !ok {
		return "unreadable"
	}
	return string(reason)
}

// failureIn is what follows on "the last scrape failed" in a message of the metrics API.
func failureIn(message string) (failure string, ok bool) {
	_, failure, ok = strings.Cut(message, "the last scrape failed: ")
	return failure, ok
}

// sampleIn is the time of the last sample in a message of the metrics API, zero if it tells none.
func sampleIn(message string) time.Time {
	_, rest, _ := strings.Cut(message, "its last sample is of ")
	text, _, _ := strings.Cut(rest, ",")
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

func isStatus(body []byte) bool {
	var status metav1.Status
	return json.Unmarshal(body, &status) == nil && status.Kind == "Status"
}

// messageOf is what a Status says, or else the body.
func messageOf(body []byte) string {
	var status metav1.Status
	if json.Unmarshal(body, &status) == nil && status.Kind == "Status" {
		return plain(status.Message)
	}
	return plain(string(body))
}
