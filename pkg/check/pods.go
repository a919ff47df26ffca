// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// maxExplained is how many pods without metrics are asked about one by one.
const maxExplained = 200

// podCodes are by the reason of a pod that is withheld. One whose containers all have ended
// is as it should be.
var podCodes = map[store.Reason]Code{
	store.NotScraped: codePodNotScraped,
	store.Incomplete: codePodIncomplete,
	store.NoWindow:   codePodNoWindow,
	store.Stale:      codePodStale,
}

// checkPods compares the pods that run with those that are served.
func (c *checker) checkPods(ctx context.Context, s *Step) {
	switch {
	case c.view.known:
		c.podsByView(s)
	case c.metricsWork:
		c.podsByAPI(ctx, s)
	default:
		s.unknown("the metrics API does not answer")
	}
}

func (c *checker) podsByView(s *Step) {
	totals, listed := c.view.status.Totals, c.view.status.WithheldPods
	s.fact("%d pods are served", totals.PodsServed)
	for _, p := range listed.Pods {
		c.findPod(s, types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, p.Node, store.Reason(p.Reason), plain(p.Message))
	}
	if more := listed.Selected - len(listed.Pods); more > 0 {
		s.unknown("%d more pods that are not served", more)
	}
	if n := totals.PodsWithheld[string(store.NoneRunning)]; n > 0 {
		s.fact("%d pods have no container that runs", n)
	}
}

// findPod finds a pod that is withheld for a reason, unless that is as it should be.
func (c *checker) findPod(s *Step, pod types.NamespacedName, node string, reason store.Reason, message string) {
	code, ok := podCodes[reason]
	if !ok && (reason == store.NoneRunning || reason == store.NotListed) {
		return
	}
	if !ok {
		code = codePodNotServed
	}
	s.find(code, podObject(pod), message, c.mendPod(code, pod, node, message)...)
}

func podObject(pod types.NamespacedName) string { return "pod/" + pod.Name + " -n " + pod.Namespace }

func (c *checker) mendPod(code Code, pod types.NamespacedName, node, message string) []string {
	if failure, ok := failureIn(message); ok && node != "" {
		return append([]string{comment("its node cannot be scraped:")}, c.mendKubelet(node, reasonIn(failure))...)
	}
	explain := command("metrics-server check --namespace=%s --service=%s --pod=%s", c.Service.Namespace, c.Service.Name, pod.String())
	switch {
	case code == codePodNoWindow:
		return []string{comment("wait for the next scrape (--metric-resolution=%s)", c.flags.Resolution)}
	case code == codePodIncomplete && node != "":
		return c.mendIncomplete(node)
	case node != "" && (code == codePodStale || code == codePodNotScraped):
		return append([]string{explain}, c.mendOld(node)...)
	}
	return []string{explain}
}

// podsByAPI asks the metrics API about each pod that runs and is not served, up to a number.
func (c *checker) podsByAPI(ctx context.Context, s *Step) {
	served, err := c.podsServed(ctx)
	if err != nil {
		s.unknown("pods: %s", plain(err.Error()))
		return
	}
	s.fact("%d pods are served", len(served))
	var missing []types.NamespacedName
	running := 0
	if err := c.podsRunning(ctx, func(pod types.NamespacedName) {
		running++
		if !served[pod] {
			missing = append(missing, pod)
		}
	}); err != nil {
		s.unknown("pods that run: %s", plain(err.Error()))
		return
	}
	if more := len(missing) - maxExplained; more > 0 {
		s.unknown("why %d more of %d running pods are not served", more, running)
		missing = missing[:maxExplained]
	}
	var mu sync.Mutex
	c.each(ctx, len(missing), func(ctx context.Context, i int) {
		u, message, err := c.explain(ctx, podPath(missing[i]))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			message = "the metrics API has nothing of it, and could not be asked why: " + plain(err.Error())
		case u != nil: // it is served by now
			return
		}
		reason, ok := first(message, withheldTexts)
		if !ok {
			reason = ""
		}
		c.findPod(s, missing[i], "", reason, message)
	})
}
