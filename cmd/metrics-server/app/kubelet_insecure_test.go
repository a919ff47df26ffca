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
			var log bytes.Buffer
			state := klog.CaptureState()
			defer state.Restore()
			klog.ClearLogger() // another test may have set one
			klog.LogToStderr(false)
			klog.SetOutput(&log)
			var args []string
			if tc.flag != "" {
				args = append(args, tc.flag)
			}
			parse(t, args...).kubelet.reportVerification()
			klog.Flush()
			if tc.want == 0 && log.Len() > 0 {
				t.Errorf("the log has %q", log.String())
			}
			if tc.want == 1 && (!strings.HasPrefix(log.String(), "W") ||
				!strings.Contains(log.String(), "INSECURE: "+tc.flag+" is set") || !strings.Contains(log.String(), "--kubelet-certificate-authority")) {
				t.Errorf("the log has %q", log.String())
			}
			if got := gauge(t, "metrics_server_kubelet_insecure_tls"); got != tc.want {
				t.Errorf("the metric is %v, want %v", got, tc.want)
			}
		})
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
