// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"os"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/version"
	"k8s.io/utils/clock"

	"github.com/kubemeter/metrics-server/pkg/status"
)

// statusSource is where the status page looks.
func (s *server) statusSource(c *Config, clk clock.PassiveClock) *status.Source {
	source := &status.Source{
		Now: clk.Now, Scrapes: s.pool.States, Store: s.store.State,
		Checks: []status.NamedCheck{
			{Name: "metric-storage-ready", Run: s.metricsReady},
			{Name: "metric-informer-sync", Run: s.inventorySynced},
			{Name: "metric-collection-timely", Run: s.pool.Timely},
		},
		Server: c.describe(),
	}
	if s.certificate != nil {
		source.Checks = append(source.Checks, status.NamedCheck{Name: "serving-certificate", Run: s.certificate.Ready})
	}
	source.Server.Started = clk.Now().UTC()
	return source
}

// describe says what a server of this configuration is.
func (c *Config) describe() status.Server {
	build := version.Get()
	d := status.Server{
		Version: build.GitVersion, GoVersion: build.GoVersion, Platform: build.Platform,
		Resolution: c.Resolution.Seconds(), MaxAge: c.MaxAge.Seconds(), RequestTimeout: c.Kubelet.Timeout.Seconds(),
		Workers: c.ScrapeWorkers, KubeletPort: c.Kubelet.Port, KubeletTLS: "verified",
		Flags: givenFlags(c.Flags),
	}
	d.Name, _ = os.Hostname() // there is none then
	if c.NodeSelector != nil {
		d.NodeSelector = c.NodeSelector.String()
	}
	for _, t := range c.Kubelet.AddressTypes {
		d.AddressTypes = append(d.AddressTypes, string(t))
	}
	switch {
	case c.Kubelet.Insecure:
		d.KubeletTLS = "none"
	case c.Kubelet.Client.Insecure:
		d.KubeletTLS = "not verified"
	}
	return d
}

// givenFlags are the flags that do not have their default because someone has set them.
func givenFlags(flags *cliflag.NamedFlagSets) map[string]string {
	given := map[string]string{}
	if flags == nil {
		return given
	}
	for _, set := range flags.FlagSets {
		set.VisitAll(func(f *pflag.Flag) {
			if f.Changed {
				given[f.Name] = f.Value.String()
			}
		})
	}
	return given
}
