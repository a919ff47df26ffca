// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

// flag is what a help text shows of a flag.
type flag struct {
	name, shorthand, kind, value string
}

// peerFlags is every flag of metrics-server of kubernetes-sigs, v0.9.0, as its
// help text shows it: its users must find each one here.
var peerFlags = []flag{
	{"kubeconfig", "", "string", ""},
	{"metric-resolution", "", "duration", "1m0s"},
	{"version", "", "", ""},
	{"advertise-address", "", "ip", ""},
	{"cors-allowed-origins", "", "strings", ""},
	{"emulated-version", "", "strings", ""},
	{"emulation-forward-compatible", "", "", ""},
	{"external-hostname", "", "string", ""},
	{"feature-gates", "", "colonSeparatedMultimapStringString", ""},
	{"goaway-chance", "", "float", ""},
	{"livez-grace-period", "", "duration", ""},
	{"max-mutating-requests-inflight", "", "int", "200"},
	{"max-requests-inflight", "", "int", "400"},
	{"min-compatibility-version", "", "strings", ""},
	{"min-request-timeout", "", "int", "1800"},
	{"request-timeout", "", "duration", "1m0s"},
	{"runtime-config-emulation-forward-compatible", "", "", ""},
	{"shutdown-delay-duration", "", "duration", ""},
	{"shutdown-send-retry-after", "", "", ""},
	{"storage-initialization-timeout", "", "duration", "1m0s"},
	{"strict-transport-security-directives", "", "strings", ""},
	{"deprecated-kubelet-completely-insecure", "", "", ""},
	{"kubelet-certificate-authority", "", "string", ""},
	{"kubelet-client-certificate", "", "string", ""},
	{"kubelet-client-key", "", "string", ""},
	{"kubelet-insecure-tls", "", "", ""},
	{"kubelet-port", "", "int", "10250"},
	{"kubelet-preferred-address-types", "", "strings", "[Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP]"},
	{"kubelet-request-timeout", "", "duration", "10s"},
	{"kubelet-use-node-status-port", "", "", ""},
	{"node-selector", "l", "string", ""},
	{"bind-address", "", "ip", "0.0.0.0"},
	{"cert-dir", "", "string", `"apiserver.local.config/certificates"`},
	{"disable-http2-serving", "", "", ""},
	{"http2-max-streams-per-connection", "", "int", ""},
	{"permit-address-sharing", "", "", ""},
	{"permit-port-sharing", "", "", ""},
	{"secure-port", "", "int", "443"},
	{"tls-cert-file", "", "string", ""},
	{"tls-cipher-suites", "", "strings", ""},
	{"tls-curve-preferences", "", "int32Slice", "[]"},
	{"tls-min-version", "", "string", ""},
	{"tls-private-key-file", "", "string", ""},
	{"tls-sni-cert-key", "", "namedCertKey", "[]"},
	{"authentication-kubeconfig", "", "string", ""},
	{"authentication-skip-lookup", "", "", ""},
	{"authentication-token-webhook-cache-ttl", "", "duration", "10s"},
	{"authentication-tolerate-lookup-failure", "", "", ""},
	{"client-ca-file", "", "string", ""},
	{"requestheader-allowed-names", "", "strings", ""},
	{"requestheader-client-ca-file", "", "string", ""},
	{"requestheader-extra-headers-prefix", "", "strings", "[x-remote-extra-]"},
	{"requestheader-group-headers", "", "strings", "[x-remote-group]"},
	{"requestheader-uid-headers", "", "strings", ""},
	{"requestheader-username-headers", "", "strings", "[x-remote-user]"},
	{"authorization-always-allow-paths", "", "strings", "[/healthz,/readyz,/livez]"},
	{"authorization-kubeconfig", "", "string", ""},
	{"authorization-webhook-cache-authorized-ttl", "", "duration", "10s"},
	{"authorization-webhook-cache-unauthorized-ttl", "", "duration", "10s"},
	{"audit-log-batch-buffer-size", "", "int", "10000"},
	{"audit-log-batch-max-size", "", "int", "1"},
	{"audit-log-batch-max-wait", "", "duration", ""},
	{"audit-log-batch-throttle-burst", "", "int", ""},
	{"audit-log-batch-throttle-enable", "", "", ""},
	{"audit-log-batch-throttle-qps", "", "float32", ""},
	{"audit-log-compress", "", "", ""},
	{"audit-log-format", "", "string", `"json"`},
	{"audit-log-maxage", "", "int", "366"},
	{"audit-log-maxbackup", "", "int", "100"},
	{"audit-log-maxsize", "", "int", "100"},
	{"audit-log-mode", "", "string", `"blocking"`},
	{"audit-log-path", "", "string", ""},
	{"audit-log-truncate-enabled", "", "", ""},
	{"audit-log-truncate-max-batch-size", "", "int", "10485760"},
	{"audit-log-truncate-max-event-size", "", "int", "102400"},
	{"audit-log-version", "", "string", `"audit.k8s.io/v1"`},
	{"audit-policy-file", "", "string", ""},
	{"audit-webhook-batch-buffer-size", "", "int", "10000"},
	{"audit-webhook-batch-max-size", "", "int", "400"},
	{"audit-webhook-batch-max-wait", "", "duration", "30s"},
	{"audit-webhook-batch-throttle-burst", "", "int", "15"},
	{"audit-webhook-batch-throttle-enable", "", "", "true"},
	{"audit-webhook-batch-throttle-qps", "", "float32", "10"},
	{"audit-webhook-config-file", "", "string", ""},
	{"audit-webhook-initial-backoff", "", "duration", "10s"},
	{"audit-webhook-mode", "", "string", `"batch"`},
	{"audit-webhook-truncate-enabled", "", "", ""},
	{"audit-webhook-truncate-max-batch-size", "", "int", "10485760"},
	{"audit-webhook-truncate-max-event-size", "", "int", "102400"},
	{"audit-webhook-version", "", "string", `"audit.k8s.io/v1"`},
	{"contention-profiling", "", "", ""},
	{"debug-socket-path", "", "string", ""},
	{"enable-priority-and-fairness", "", "", "true"},
	{"profiling", "", "", "true"},
	{"log-flush-frequency", "", "duration", "5s"},
	{"log-json-info-buffer-size", "", "quantity", ""},
	{"log-json-split-stream", "", "", ""},
	{"log-text-info-buffer-size", "", "quantity", ""},
	{"log-text-split-stream", "", "", ""},
	{"logging-format", "", "string", `"text"`},
	{"v", "v", "Level", ""},
	{"vmodule", "", "pattern=N,...", ""},
}

// ownFlags is the flags that only this server has, and one with another default:
// the other server has no watches.
var ownFlags = []flag{
	{"enable-watch", "", "", "true"},
	{"help", "h", "", ""},
	{"kubelet-per-node-metrics", "", "", ""},
	{"metric-max-age", "", "duration", ""},
	{"scrape-workers", "", "int", ""},
	{"shutdown-watch-termination-grace-period", "", "duration", "5s"},
	{"kubelet-service-account", "", "string", ""},
	{"tls-ca-configmap", "", "string", ""},
	{"tls-secret", "", "string", ""},
	{"tls-secret-validity", "", "duration", "2160h0m0s"},
}

func TestFlags(t *testing.T) {
	flags := newCommand(nil, testOptions(), nil).Flags()
	known := slices.Concat(peerFlags, ownFlags)
	for _, want := range known {
		f := flags.Lookup(want.name)
		if f == nil {
			t.Errorf("--%s is missing", want.name)
			continue
		}
		if got := describe(f); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if f.Hidden || f.Deprecated != "" {
			t.Errorf("--%s is not in the help text", want.name)
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Deprecated == "" && !slices.ContainsFunc(known, func(k flag) bool { return k.name == f.Name }) {
			t.Errorf("--%s is not in the tables of this test", f.Name)
		}
	})
}

var shownDefault = regexp.MustCompile(`\(default (.*)\)\n$`)

// describe takes the kind and the default from the line of the help text.
func describe(f *pflag.Flag) flag {
	kind, _ := pflag.UnquoteUsage(f)
	alone := pflag.NewFlagSet("", pflag.ContinueOnError)
	alone.AddFlag(f)
	value := ""
	if m := shownDefault.FindStringSubmatch(alone.FlagUsages()); m != nil {
		value = m[1]
	}
	return flag{f.Name, f.Shorthand, kind, value}
}

// Every flag is in one section of the help text, and in one only.
func TestSections(t *testing.T) {
	o := testOptions()
	sections := o.flags()
	count := map[string]int{}
	for _, section := range sections.FlagSets {
		section.VisitAll(func(f *pflag.Flag) { count[f.Name]++ })
	}
	for _, f := range slices.Concat(peerFlags, ownFlags) {
		if count[f.name] != 1 {
			t.Errorf("--%s is in %d sections", f.name, count[f.name])
		}
	}
	want := "[metrics server generic kubelet client apiserver secure serving apiserver authentication " +
		"apiserver authorization apiserver audit log features logging]"
	if got := fmt.Sprint(sections.Order); got != want {
		t.Errorf("sections are %s, want %s", got, want)
	}
}
