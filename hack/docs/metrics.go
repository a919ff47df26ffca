// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/component-base/metrics"

	"github.com/kubemeter/metrics-server/cmd/metrics-server/app"
	"github.com/kubemeter/metrics-server/pkg/server"
)

// family is what /metrics says of a name.
type family struct {
	name, kind, stability, help string
	labels                      []string
}

// metricsPage has every family that a server can show, with samples or without.
func metricsPage(ctx context.Context) (string, error) {
	own, libraries, err := registries(ctx)
	if err != nil {
		return "", err
	}
	ours, err := families(own)
	if err != nil {
		return "", err
	}
	others, err := families(libraries)
	if err != nil {
		return "", err
	}
	all := slices.Concat(ours, others)
	slices.SortFunc(all, func(a, b family) int { return cmp.Compare(a.name, b.name) })
	ours, others = partition(all, "metrics_server_")
	process, kubernetes := partition(others, "go_", "process_")
	var page strings.Builder
	page.WriteString("# Metrics\n\nEvery family of `/metrics`. A server shows a family with labels when there is something to count. " +
		"A histogram has the series `_bucket`, `_sum` and `_count`. [Monitoring](monitoring.md) tells which ones to watch.\n")
	for _, part := range []struct {
		title, text string
		families    []family
	}{
		{"The server's own", "Those of kubelet requests have the label `node`, too, with `--kubelet-per-node-metrics`.", ours},
		{"Kubernetes libraries", "What API servers and clients of Kubernetes have in common.", kubernetes},
		{"Go and the process", "", process},
	} {
		fmt.Fprintf(&page, "\n## %s\n\n", part.title)
		if part.text != "" {
			fmt.Fprintf(&page, "%s\n\n", part.text)
		}
		writeFamilies(&page, part.families)
	}
	return page.String(), nil
}

func writeFamilies(page *strings.Builder, families []family) {
	t := newTable("family", "type", "labels", "stability", "")
	for _, f := range families {
		labels := make([]string, len(f.labels))
		for i, label := range f.labels {
			labels[i] = code(label)
		}
		t.row(code(f.name), f.kind, strings.Join(labels, ", "), f.stability, escape(f.help))
	}
	page.WriteString(t.String())
}

func partition(all []family, prefixes ...string) (with, without []family) {
	for _, f := range all {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.name, p) }) {
			with = append(with, f)
		} else {
			without = append(without, f)
		}
	}
	return with, without
}

// registries are those of a server that is made of flags, as any is, and that does not run.
func registries(ctx context.Context) (own, libraries *prometheus.Registry, err error) {
	dir, err := os.MkdirTemp("", "docs-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := writeKubeconfig(kubeconfig); err != nil {
		return nil, nil, err
	}
	// Some families are there only when clients have certificates.
	clientCA := filepath.Join(dir, "ca.crt")
	if err := writeCA(clientCA); err != nil {
		return nil, nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, nil, err
	}
	args := []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--authentication-skip-lookup", "--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port),
		"--tls-secret=kube-system/metrics-server-tls", "--client-ca-file=" + clientCA,
	}
	var stderr bytes.Buffer
	var failure error
	status := app.Execute(ctx, args, &stderr, &stderr, func(_ context.Context, c server.Config) error {
		own, libraries, failure = c.Registries()
		return failure
	})
	if status != 0 {
		return nil, nil, fmt.Errorf("no server can be made: %w %s", failure, stderr.String())
	}
	return own, libraries, nil
}

// writeKubeconfig writes one for an API server that nobody asks.
func writeKubeconfig(file string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["none"] = &clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}
	config.Contexts["none"] = &clientcmdapi.Context{Cluster: "none"}
	config.CurrentContext = "none"
	return clientcmd.WriteToFile(*config, file)
}

func writeCA(file string) error {
	key, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return err
	}
	parsed, err := keyutil.ParsePrivateKeyPEM(key)
	if err != nil {
		return err
	}
	ca, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: "clients"}, parsed.(crypto.Signer))
	if err != nil {
		return err
	}
	pem, err := certutil.EncodeCertificates(ca)
	if err != nil {
		return err
	}
	return os.WriteFile(file, pem, 0o600)
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// families are those of a registry, in no order.
func families(r *prometheus.Registry) (found []family, err error) {
	kinds, err := sampledKinds(r)
	if err != nil {
		return nil, err
	}
	for _, d := range descriptions(r) {
		f, err := parse(d.String())
		if err != nil {
			return nil, err
		}
		if f.kind = kinds[f.name]; f.kind == "" {
			f.kind = cmp.Or(kindWithoutSamples(r, d), kindByName(f.name))
		}
		if f.kind == "" {
			return nil, fmt.Errorf("the type of %s cannot be told: add its collector to kindOf", f.name)
		}
		found = append(found, f)
	}
	return found, nil
}

func descriptions(c prometheus.Collector) (all []*prometheus.Desc) {
	ch := make(chan *prometheus.Desc)
	go func() {
		c.Describe(ch)
		close(ch)
	}()
	for d := range ch {
		all = append(all, d)
	}
	return all
}

// sampledKinds are the types of families that have samples now.
func sampledKinds(r *prometheus.Registry) (map[string]string, error) {
	gathered, err := r.Gather()
	if err != nil {
		return nil, err
	}
	kinds := map[string]string{}
	for _, f := range gathered {
		kinds[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	return kinds, nil
}

// kindWithoutSamples is the type of a family by its collector. A registry gives one that
// it has only to who wants to register it again.
func kindWithoutSamples(r *prometheus.Registry, d *prometheus.Desc) string {
	known := prometheus.AlreadyRegisteredError{}
	if !errors.As(r.Register(descriptionOnly{d}), &known) {
		return ""
	}
	return kindOf(known.ExistingCollector)
}

func kindOf(c prometheus.Collector) string {
	switch c.(type) {
	case *metrics.Counter, *metrics.CounterVec, prometheus.Counter, *prometheus.CounterVec:
		return "counter"
	case *metrics.Histogram, *metrics.HistogramVec, *metrics.TimingHistogramVec, *prometheus.HistogramVec:
		return "histogram"
	case *metrics.SummaryVec, *prometheus.SummaryVec: //nolint:staticcheck // The libraries have one.
		return "summary"
	case *metrics.Gauge, *metrics.GaugeVec, *prometheus.GaugeVec:
		return "gauge"
	}
	return ""
}

// kindByName is for collectors of several families: a registry does not give them.
func kindByName(name string) string {
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case strings.HasSuffix(name, "_info"):
		return "gauge"
	}
	return ""
}

// descriptionOnly is a collector without metrics.
type descriptionOnly struct{ desc *prometheus.Desc }

func (d descriptionOnly) Describe(ch chan<- *prometheus.Desc) { ch <- d.desc }
func (descriptionOnly) Collect(chan<- prometheus.Metric)      {}

var (
	description = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), .*variableLabels: \{(.*)\}\}$`)
	stability   = regexp.MustCompile(`^\[([A-Z]+)\] *`)
)

// parse takes apart how a description shows itself: it has no other way to tell.
func parse(text string) (family, error) {
	m := description.FindStringSubmatch(text)
	if m == nil {
		return family{}, fmt.Errorf("this description of a metric cannot be read: %s", text)
	}
	name, errName := strconv.Unquote(m[1])
	help, errHelp := strconv.Unquote(m[2])
	f := family{name: name, help: help}
	if mark := stability.FindStringSubmatch(help); mark != nil {
		f.stability, f.help = strings.ToLower(mark[1]), help[len(mark[0]):]
	}
	if m[3] != "" {
		f.labels = strings.Split(m[3], ",")
	}
	return f, errors.Join(errName, errHelp)
}
