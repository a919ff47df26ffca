// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// A flag of args takes the place of the default, in each form that pflag knows.
func TestArgsReplaceDefaults(t *testing.T) {
	const types, port, resolution = "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname", "--kubelet-use-node-status-port", "--metric-resolution=15s"
	for set, want := range map[string]string{
		"args=null": types + " " + port + " " + resolution,
		"args={--kubelet-preferred-address-types=InternalIP}":        port + " " + resolution + " --kubelet-preferred-address-types=InternalIP",
		"args={--kubelet-preferred-address-types,InternalIP}":        port + " " + resolution + " --kubelet-preferred-address-types InternalIP",
		"args={--kubelet_preferred_address_types=InternalIP}":        port + " " + resolution + " --kubelet_preferred_address_types=InternalIP",
		"args={--metric-resolution=30s,--kubelet-insecure-tls}":      types + " " + port + " --metric-resolution=30s --kubelet-insecure-tls",
		"args={--kubelet-use-node-status-port=false}":                types + " " + resolution + " --kubelet-use-node-status-port=false",
		"args={--metric-resolution-is-another-flag=1}":               types + " " + port + " " + resolution + " --metric-resolution-is-another-flag=1",
		"defaultArgs={--node-selector,a=b,--v=1},args={-l=c=d}":      "--v=1 -l=c=d",
		"defaultArgs={-l,a=b},args={--node-selector=c=d}":            "--node-selector=c=d",
		"defaultArgs={-v=1,--logging-format=json},args={--v=2}":      "--logging-format=json --v=2",
		"defaultArgs={--metric-resolution,20s,--v=1},args={--v,2}":   "--metric-resolution 20s --v 2",
		"defaultArgs={--requestheader-allowed-names=a},args={--v=2}": "--requestheader-allowed-names=a --v=2",
	} {
		for _, h := range helms {
			out := must[string](t)(h.template(t.Context(), "--set", set, "--show-only=templates/deployment.yaml"))
			var d appsv1.Deployment
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects(t, out)[0].Object, &d); err != nil {
				t.Fatal(err)
			}
			got := slices.DeleteFunc(d.Spec.Template.Spec.Containers[0].Args, func(arg string) bool {
				return strings.HasPrefix(arg, "--secure-port=") || strings.HasPrefix(arg, "--tls-secret=")
			})
			if strings.Join(got, " ") != want {
				t.Errorf("%s, %s: %q, want %q", h.name, set, got, want)
			}
		}
	}
}
