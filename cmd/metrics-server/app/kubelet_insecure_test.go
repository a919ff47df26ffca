// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
)

func TestInsecureKubeletsAreReported(t *testing.T) {
	for _, tc := range []struct {
		flag string // "" if kubelets are verified
		want float64
	}{
		{"--kubelet-insecure-tls", 1},
		{"--deprecated-kubelet-completely-insecure", 1},
		{"", 0},
	} {
		t.Run(tc.flag, func(t *testing.T) {
			var args []string
			if tc.flag != "" {
				args = append(args, tc.flag)
			}
			log := logOf(parse(t, args...).kubelet.reportVerification)
			if tc.want == 0 && log != "" {
				t.Errorf("the log has %q", log)
			}
			if tc.want == 1 && (!strings.HasPrefix(log, "W") ||
				!strings.Contains(log, "INSECURE: "+tc.flag+" is set") || !strings.Contains(log, "--kubelet-certificate-authority")) {
				t.Errorf("the log has %q", log)
			}
			if got := gauge(t, "metrics_server_kubelet_insecure_tls"); got != tc.want {
				t.Errorf("the metric is %v, want %v", got, tc.want)
			}
		})
	}
}

// logOf returns what a function logs.
func logOf(f func()) string {
	var log bytes.Buffer
	state := klog.CaptureState()
	defer state.Restore()
	klog.ClearLogger() // another test may have set one
	klog.LogToStderr(false)
	klog.SetOutput(&log)
	f()
	klog.Flush()
	return log.String()
}

func TestCredentialsAreReported(t *testing.T) {
	const certificate = "--kubelet-client-certificate=/c.crt"
	for _, tc := range []struct {
		name string
		args []string
		want string // "" if nothing is logged
	}{
		{"the server's own", nil, "a compromised node can act as the metrics server"},
		{"those of a ServiceAccount", []string{"--kubelet-service-account=a/b"}, ""},
		{"a client certificate", []string{certificate}, ""},
		{"none", []string{"--deprecated-kubelet-completely-insecure"}, ""},
		{"a ServiceAccount and a client certificate", []string{"--kubelet-service-account=a/b", certificate}, "--kubelet-service-account is not used"},
		{"a ServiceAccount and none", []string{"--kubelet-service-account=a/b", "--deprecated-kubelet-completely-insecure"}, "--kubelet-service-account is not used"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log := logOf(parse(t, tc.args...).kubelet.reportCredentials)
			if tc.want == "" && log != "" || !strings.Contains(log, tc.want) {
				t.Errorf("the log has %q, want %q", log, tc.want)
			}
		})
	}
}

// A flag that is taken for compatibility, and does nothing, is named in the log if it was given.
func TestIgnoredFlagsAreReported(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want bool
	}{{nil, false}, {[]string{"--enable-priority-and-fairness=true"}, true}, {[]string{"--enable-priority-and-fairness=false"}, true}} {
		o := parse(t, tc.args...)
		log := logOf(func() { o.apiServer.reportIgnored(&o.given) })
		if got := strings.Contains(log, "--enable-priority-and-fairness has no effect"); got != tc.want || !tc.want && log != "" {
			t.Errorf("%v: the log has %q", tc.args, log)
		}
	}
}

func gauge(t *testing.T, name string) float64 {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
