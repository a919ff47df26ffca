// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package vpa runs the recommender of the vertical pod autoscaler in tests, and knows what
// it makes of a usage.
package vpa

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/gomodule"
)

// Interval is how often the recommender reads what is served: more often than by default,
// and than there are new samples, so that it misses none.
const Interval = 5 * time.Second

const module = "k8s.io/autoscaler/vertical-pod-autoscaler"

// Recommender is one that runs as a process, with the rights of its ServiceAccount.
type Recommender struct {
	*cluster.Process
	cluster *cluster.Cluster
	objects dynamic.Interface
	// files are the manifests that were applied.
	files []string
}

// Start builds the recommender the first time, which takes minutes, applies the definitions
// and rights that its module has for users, and starts it. Remove takes all away.
func Start(ctx context.Context, c *cluster.Cluster) (*Recommender, error) {
	_, file, _, _ := runtime.Caller(0)
	program := filepath.Join(filepath.Dir(file), "program")
	path, err := gomodule.Tool(ctx, program, module+"/pkg/recommender")
	if err != nil {
		return nil, err
	}
	sources, err := gomodule.Sources(ctx, program, module)
	if err != nil {
		return nil, err
	}
	r := &Recommender{cluster: c}
	if r.objects, err = dynamic.NewForConfig(c.AdminConfig()); err != nil {
		return nil, err
	}
	if err := r.start(ctx, path, filepath.Join(sources, "deploy")); err != nil {
		return nil, errors.Join(err, r.Remove(ctx))
	}
	return r, nil
}

func (r *Recommender) start(ctx context.Context, path, deploy string) error {
	definitions := filepath.Join(deploy, "vpa-v1-crd-gen.yaml")
	for _, file := range []string{definitions, filepath.Join(deploy, "vpa-rbac.yaml")} {
		manifest, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		r.files = append(r.files, file)
		if err := r.cluster.Apply(ctx, string(manifest)); err != nil {
			return err
		}
	}
	if _, err := r.cluster.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=1m", "--filename", definitions); err != nil {
		return err
	}
	config := r.cluster.AnonymousConfig()
	var err error
	if config.BearerToken, err = r.cluster.ServiceAccountToken(ctx, "kube-system", "vpa-recommender"); err != nil {
		return err
	}
	kubeconfig := filepath.Join(r.cluster.Dir(), "vpa-recommender.kubeconfig")
	if err := cluster.WriteKubeconfig(kubeconfig, config); err != nil {
		return err
	}
	port, err := cluster.FreePort()
	if err != nil {
		return err
	}
	r.Process, err = r.cluster.StartProcess("vpa-recommender", path, []string{
		"--kubeconfig=" + kubeconfig, "--recommender-interval=" + Interval.String(), "--v=3",
		fmt.Sprint("--address=127.0.0.1:", port),
		// By default, what is recommended for a pod is at least 25 millicores and 250 MiB.
		"--pod-recommendation-min-cpu-millicores=1", "--pod-recommendation-min-memory-mb=1",
	}, nil)
	return err
}

// Remove ends the recommender, and deletes what Start has applied, and with the definitions
// all objects of it.
func (r *Recommender) Remove(ctx context.Context) (err error) {
	if r.Process != nil {
		err = r.Stop()
	}
	for _, file := range r.files {
		_, problem := r.cluster.Kubectl(ctx, "delete", "--ignore-not-found", "--filename", file)
		err = errors.Join(err, problem)
	}
	return err
}

// Errors are those in its log.
func (r *Recommender) Errors() (lines []string, err error) {
	text, err := os.ReadFile(r.LogFile())
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "E") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines, err
}
