// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"
)

// WaitServed waits until all nodes and pods are served through the aggregation
// layer.
func (l *Local) WaitServed(ctx context.Context) error {
	client, err := metrics.NewForConfig(l.AdminConfig())
	if err != nil {
		return err
	}
	l.say("waiting until all nodes have been scraped twice")
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		nodes, nodesErr := client.MetricsV1beta1().NodeMetricses().List(ctx, metav1.ListOptions{})
		pods, podsErr := client.MetricsV1beta1().PodMetricses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		err := errors.Join(nodesErr, podsErr)
		if err == nil {
			if len(nodes.Items) == l.options.Nodes && len(pods.Items) == l.options.Pods {
				return nil
			}
			err = fmt.Errorf("%d of %d nodes and %d of %d pods are served",
				len(nodes.Items), l.options.Nodes, len(pods.Items), l.options.Pods)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-l.Server.Exited():
			return fmt.Errorf("the metrics server ended: %w", l.Server.Wait())
		case <-tick.C:
		}
	}
}
