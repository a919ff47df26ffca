// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"sync/atomic"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

// resource is something that a kubelet serves.
type resource struct {
	// accept is the header Accept.
	accept string
	// format tells the format of an answer from its Content-Type.
	format func(media string, params map[string]string) (exposition.Format, bool)
	// known is the last Content-Type that was accepted: nearly all kubelets of a
	// cluster answer with the same.
	known atomic.Pointer[knownType]
}

type knownType struct {
	contentType string
	format      exposition.Format
}

// metricsResource is asked for in the delimited protobuf format, which is the
// cheaper one to decode, and as text from a kubelet that does not speak it. Anything
// else comes last, and is refused when it comes: KWOK, which speaks both, answers 406
// to those who name what they want and do not allow for everything.
var metricsResource = &resource{
	accept: "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited," +
		"text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
	format: metricsFormat,
}

func metricsFormat(media string, params map[string]string) (exposition.Format, bool) {
	switch {
	case media == "text/plain":
		return exposition.Text, true
	case media == "application/vnd.google.protobuf" && params["encoding"] == "delimited" &&
		params["proto"] == "io.prometheus.client.MetricFamily":
		return exposition.Delimited, true
	}
	return 0, false
}

// summaryResource is /stats/summary, which is JSON only.
var summaryResource = &resource{
	accept: "application/json",
	format: func(media string, _ map[string]string) (exposition.Format, bool) {
		return exposition.Summary, media == "application/json"
	},
}
