// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
)

// Config says what is checked, and how it is reached.
type Config struct {
	// Client reaches the API server as the user.
	Client *rest.Config
	// Service is that of the metrics server.
	Service types.NamespacedName
	// ServerURL is where the metrics server itself is reached, such as
	// https://localhost:4443. Without it, a port of its pod is forwarded.
	ServerURL string
	// SendToken shows the user's token to the metrics server, too, to read its status. A
	// client certificate is shown in any case: it gives nothing away.
	SendToken bool
	// PodName is that of the pod that this runs in, if it is one of a cluster.
	PodName types.NamespacedName
	// Node and Pod, if not zero, are all that is looked at of nodes and pods.
	Node string
	Pod  types.NamespacedName
	// ParseFlags reads the command line of a metrics server.
	ParseFlags func(args []string, client *rest.Config) (Flags, error)
	// Progress gets a line now and then while there is much to do. It may be nil.
	Progress io.Writer
	Clock    clock.PassiveClock
}

// Flags are what counts of the command line of a metrics server.
type Flags struct {
	Resolution, MaxAge time.Duration
	NodeSelector       labels.Selector
	// CertificateSecret is that of --tls-secret, zero if it is not set.
	CertificateSecret types.NamespacedName
	// CAConfigMap is that of --tls-ca-configmap, zero if it is not set.
	CAConfigMap types.NamespacedName
	// KubeletServiceAccount is that of --kubelet-service-account, zero if it is not set or not used.
	KubeletServiceAccount types.NamespacedName
	// UsesServerCredentials tells whether the credentials for the API server are sent to kubelets, too.
	UsesServerCredentials bool
	// Kubelet says how kubelets are reached with the credentials of the client.
	Kubelet kubelet.Config
}

// checker is a check under way: what one step has found out is there for the next.
type checker struct {
	Config
	*cluster
	progress *progress
	report   Report

	installation installation
	account      types.NamespacedName
	flags        Flags
	// flagsKnown tells whether flags are those of the server, not only the defaults.
	flagsKnown bool
	view       serverView
	// usage is what the metrics API has of nodes, by name.
	usage map[string]usage
	// metricsWork tells whether the metrics API has answered.
	metricsWork bool
}

// Run checks, and returns what it has found. It fails only if it cannot begin, or if
// ctx ends.
func Run(ctx context.Context, c Config) (*Report, error) {
	cluster, err := newCluster(c.Client)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	defer cluster.close()
	r := &checker{Config: c, cluster: cluster, progress: newProgress(c.Progress, c.Clock), account: c.Service}
	if r.flags, err = c.ParseFlags(nil, c.Client); err != nil {
		return nil, err
	}
	r.run(ctx)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	r.report.finish()
	return &r.report, nil
}

// step is one link of the chain.
type step struct {
	name, title string
	run         func(*checker, context.Context, *Step)
}

// chain is what comes before nodes and pods. It is looked at in any case: without it,
// nothing about one node or pod is explained.
var chain = []step{
	{"aggregation", "Aggregation layer", (*checker).checkAggregation},
	{"apiservices", "APIServices", (*checker).checkAPIServices},
	{"service", "Service and endpoints", (*checker).checkService},
	{"server", "Metrics server", (*checker).checkServer},
	{"rights", "Rights of the metrics server", (*checker).checkRights},
	{"metrics", "Metrics API", (*checker).checkMetricsAPI},
}

func (c *checker) run(ctx context.Context) {
	c.step(ctx, step{"api-server", "API server", (*checker).checkAPIServer})
	steps := slices.Concat(chain, c.lastSteps())
	if c.report.blind {
		for _, s := range steps {
			c.step(ctx, step{s.name, s.title, func(_ *checker, _ context.Context, s *Step) {
				s.unknown("the API server does not answer")
			}})
		}
		return
	}
	c.gather(ctx)
	defer c.view.close()
	for _, s := range steps {
		c.step(ctx, s)
	}
}

// lastSteps are about nodes and pods: all, or one.
func (c *checker) lastSteps() []step {
	switch {
	case c.Pod.Name != "":
		return []step{{"pod", "Pod " + c.Pod.String(), (*checker).checkPod}}
	case c.Node != "":
		return []step{{"nodes", "Node " + c.Node, (*checker).checkNodes}}
	}
	return []step{
		{"nodes", "Nodes and kubelets", (*checker).checkNodes},
		{"pods", "Pods", (*checker).checkPods},
		{"autoscalers", "Autoscalers", (*checker).checkAutoscalers},
	}
}

func (c *checker) step(ctx context.Context, s step) {
	c.progress.begin(s.title)
	result := Step{Name: s.name, Title: s.title}
	s.run(c, ctx, &result)
	result.finish()
	c.report.Steps = append(c.report.Steps, result)
}
