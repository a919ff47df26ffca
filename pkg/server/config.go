// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package server puts the parts together on a generic API server.
package server

import (
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/servingcert"
)

// Config is what a server is made of.
type Config struct {
	// APIServer has its serving, authentication, authorization, audit and
	// feature options applied.
	APIServer *genericapiserver.Config
	// Client reaches the kube-apiserver.
	Client *rest.Config
	// ServingCertificate says where the server keeps the serving certificate that it
	// makes itself. Nil leaves the one of APIServer.
	ServingCertificate *servingcert.Config
	// CAConfigMap is where the server publishes the CA certificates that verify its serving
	// certificate; without a name it does not. CertFile is the file of the certificate, "" with
	// ServingCertificate.
	CAConfigMap types.NamespacedName
	CertFile    string
	// Kubelet says how kubelets are reached. Its Tokens are set by the server.
	Kubelet kubelet.Config
	// KubeletServiceAccount is the ServiceAccount whose tokens are sent to kubelets. If its name is "",
	// they are sent the credentials of Kubelet.
	KubeletServiceAccount types.NamespacedName
	// Resolution is the interval between two scrapes of one node.
	Resolution time.Duration
	// MaxAge is how long after its sample time a point is served.
	MaxAge time.Duration
	// ScrapeWorkers is the number of kubelets scraped at the same time, not
	// counting those that hang or failed last time. 0 chooses it from the number
	// of nodes.
	ScrapeWorkers int
	// DisableWatch has the API serve gets and lists only.
	DisableWatch bool
	// NodeSelector limits which nodes are scraped and served.
	NodeSelector labels.Selector
	// PerNodeMetrics adds the label node to the server's own metrics about
	// kubelet requests.
	PerNodeMetrics bool
	// Flags are what all of this was made of, to be shown at /flagz and /status: none of
	// them may be a secret. Nil if there are none.
	Flags *cliflag.NamedFlagSets
}
