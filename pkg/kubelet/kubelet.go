// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubelet fetches the stats of one node from its kubelet: one HTTP
// request, authenticated and verified both ways, bounded in time and size.
//
// A kubelet is not trusted: what it sends is bounded and never ends up in a log
// unsanitized, and credentials only go to the address that the node states, and to
// who has a certificate of that node.
package kubelet

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

// Config says how kubelets are reached.
type Config struct {
	// Client holds the credentials shown to kubelets (client certificate,
	// token, basic auth, exec plugin), the CA that signs the kubelets' serving
	// certificates (empty: those of the system), and optionally Proxy, Dial and
	// UserAgent. Files that it names may rotate: see Client. Its Host, ServerName,
	// Timeout and Transport are not used, and neither is a proxy from the
	// environment.
	Client *rest.Config
	// Tokens gives a token in place of the credentials of Client; nil if those are shown.
	Tokens TokenSource
	// Insecure talks plain HTTP without credentials
	// (--deprecated-kubelet-completely-insecure).
	Insecure bool
	// Port is used where UseNodeStatusPort is false or the node states none.
	Port              int
	UseNodeStatusPort bool
	// AddressTypes is the order in which a node's addresses are tried.
	AddressTypes []corev1.NodeAddressType
	// Timeout bounds one Fetch, from dialling to the last byte of the body.
	Timeout time.Duration
	// Resolution is the interval between two scrapes of one node: idle
	// connections are kept for longer than that.
	Resolution time.Duration
}

// MetricsPathAnnotation of a node overrides where its kubelet serves resource
// metrics. KWOK sets it on the nodes that it simulates.
const MetricsPathAnnotation = "metrics.k8s.io/resource-metrics-path"

// Node is what has to be known of a node to scrape it.
type Node struct {
	Name string
	// UID is that of the object in the API, for Events about it.
	UID       types.UID
	Addresses []corev1.NodeAddress
	// Hostname is the value of the label kubernetes.io/hostname, "" if there is none.
	Hostname string
	// Port of status.daemonEndpoints.kubeletEndpoint, 0 if not stated.
	Port int32
	// MetricsPath is the value of MetricsPathAnnotation, "" if there is none.
	MetricsPath string
}

// Equal tells whether two nodes are the same, scraped and verified in the same way.
func (n Node) Equal(o Node) bool {
	return n.Name == o.Name && n.UID == o.UID && n.Hostname == o.Hostname && n.Port == o.Port && n.MetricsPath == o.MetricsPath &&
		slices.Equal(n.Addresses, o.Addresses)
}

// Answer is the body of a successful fetch.
type Answer struct {
	Format exposition.Format
	// Body is valid until Release is called.
	Body []byte
	// RequestTime is when a connection was ready and the request was sent.
	RequestTime time.Time

	buf   *[]byte // of Body
	place *place  // of a large one
}
