// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const metricsPath = "/apis/metrics.k8s.io/v1beta1"

// usage is what counts of a NodeMetrics or PodMetrics.
type usage struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Timestamp time.Time       `json:"timestamp"`
	Window    metav1.Duration `json:"window"`
	// Usage is of a node, Containers are of a pod.
	Usage      map[string]string `json:"usage"`
	Containers []struct {
		Name  string            `json:"name"`
		Usage map[string]string `json:"usage"`
	} `json:"containers"`
}

type usageList struct {
	Metadata metav1.ListMeta `json:"metadata"`
	Items    []usage         `json:"items"`
}

// checkMetricsAPI asks as kubectl top does.
func (c *checker) checkMetricsAPI(ctx context.Context, s *Step) {
	path := metricsPath + "/nodes"
	answer, err := c.get(ctx, path, http.Header{"Accept": {"application/json"}})
	if err != nil {
		s.find(codeMetricsAPI, v1beta1Name, fmt.Sprintf("GET %s: %s", path, plain(err.Error())), "kubectl get --raw "+path)
		return
	}
	var list usageList
	switch {
	case answer.status == http.StatusForbidden:
		s.unknown("what is served: you are not allowed to see it")
		s.find(codeMetricsForbidden, v1beta1Name, messageOf(answer.body),
			comment("the role view has that right; USER is you:"), "kubectl create clusterrolebinding metrics-reader --clusterrole=system:aggregated-metrics-reader --user=USER")
	case answer.status != http.StatusOK:
		mend := []string{comment("see what is found above")}
		s.find(codeMetricsAPI, v1beta1Name, fmt.Sprintf("GET %s: %d %s: %s", path, answer.status, http.StatusText(answer.status), messageOf(answer.body)),
			append(mend, "kubectl get --raw "+path)...)
	case json.Unmarshal(answer.body, &list) != nil:
		s.find(codeMetricsAPI, v1beta1Name, fmt.Sprintf("GET %s does not give a list of metrics: %s", path, plain(string(answer.body))), "kubectl get --raw "+path)
	default:
		c.metricsWork = true
		c.usage = make(map[string]usage, len(list.Items))
		for _, item := range list.Items {
			c.usage[item.Metadata.Name] = item
		}
		s.fact("%d nodes are served", len(list.Items))
	}
}

// explain asks the metrics API for one node or pod, and returns its usage, or why it has none.
func (c *checker) explain(ctx context.Context, path string) (u *usage, message string, err error) {
	answer, err := c.get(ctx, metricsPath+path, http.Header{"Accept": {"application/json"}})
	switch {
	case err != nil:
		return nil, "", err
	case answer.status == http.StatusNotFound:
		return nil, messageOf(answer.body), nil
	case answer.status != http.StatusOK:
		return nil, "", fmt.Errorf("%d %s: %s", answer.status, http.StatusText(answer.status), messageOf(answer.body))
	}
	u = new(usage)
	return u, "", json.Unmarshal(answer.body, u)
}

func podPath(pod types.NamespacedName) string {
	return "/namespaces/" + url.PathEscape(pod.Namespace) + "/pods/" + url.PathEscape(pod.Name)
}

// podsServed are those that the metrics API has, page by page.
func (c *checker) podsServed(ctx context.Context) (map[types.NamespacedName]bool, error) {
	served := map[types.NamespacedName]bool{}
	err := c.lists(ctx, metricsPath+"/pods?", "application/json", func(body []byte) (next string, err error) {
		var list usageList
		err = json.Unmarshal(body, &list)
		for _, item := range list.Items {
			served[types.NamespacedName{Namespace: item.Metadata.Namespace, Name: item.Metadata.Name}] = true
		}
		return list.Metadata.Continue, err
	})
	return served, err
}

// podsRunning are the names of those that the API server lists as running.
func (c *checker) podsRunning(ctx context.Context, each func(types.NamespacedName)) error {
	const accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
	n := 0
	return c.lists(ctx, "/api/v1/pods?fieldSelector=status.phase%3DRunning&", accept, func(body []byte) (next string, err error) {
		var list metav1.PartialObjectMetadataList
		err = json.Unmarshal(body, &list)
		for i := range list.Items {
			each(types.NamespacedName{Namespace: list.Items[i].Namespace, Name: list.Items[i].Name})
			n++
			c.progress.say(n, 0)
		}
		return list.Continue, err
	})
}

// lists reads pages. read returns where the next begins, "" if there is none.
func (c *checker) lists(ctx context.Context, path, accept string, read func(body []byte) (next string, err error)) error {
	next := ""
	for {
		answer, err := c.get(ctx, fmt.Sprintf("%slimit=%d&continue=%s", path, pageSize, url.QueryEscape(next)), http.Header{"Accept": {accept}})
		if err != nil {
			return err
		}
		if answer.status != http.StatusOK {
			return fmt.Errorf("%d %s: %s", answer.status, http.StatusText(answer.status), messageOf(answer.body))
		}
		if next, err = read(answer.body); err != nil || next == "" {
			return err
		}
	}
}
