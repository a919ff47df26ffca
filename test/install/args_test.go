// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
			got := slices.DeleteFunc(argsOf(t, h, "--set", set), func(arg string) bool {
				name, _, _ := strings.Cut(arg, "=")
				return slices.Contains([]string{"--secure-port", "--tls-secret", "--tls-ca-configmap", "--kubelet-service-account"}, name)
			})
			if strings.Join(got, " ") != want {
				t.Errorf("%s, %s: %q, want %q", h.name, set, got, want)
			}
		}
	}
}

// argsOf renders the chart with values, and returns the arguments of the server.
func argsOf(t *testing.T, h helm, values ...string) []string {
	t.Helper()
	return serverContainer(t, must[string](t)(h.template(t.Context(), append(values, "--show-only=templates/deployment.yaml")...))).Args
}

// serverContainer is that of a manifest's Deployment.
func serverContainer(t *testing.T, manifest string) corev1.Container {
	t.Helper()
	return typed[appsv1.Deployment](t, objects(t, manifest), "Deployment")[0].Spec.Template.Spec.Containers[0]
}

// The flag for /metrics replaces its default. Without the probes' paths, kubelets would restart
// the pod whenever the API server is gone: test/outage has the server run with this flag.
func TestMetricsKeepsProbePaths(t *testing.T) {
	const want = "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics"
	if args := argsOf(t, newest(), "--set", "metrics.enabled=true"); !slices.Contains(args, want) {
		t.Errorf("%q, want %s", args, want)
	}
}

// Kubelets are sent tokens of a ServiceAccount of their own, where the chart makes the rights for it
// or is told its name.
func TestKubeletServiceAccount(t *testing.T) {
	for set, want := range map[string]struct {
		flag            string
		account, rights bool // that the chart makes
	}{
		"rbac.create=true":  {"--kubelet-service-account=kube-system/metrics-server-kubelet", true, true},
		"rbac.create=false": {"", false, false},
		"rbac.create=false,kubeletServiceAccount.name=k":                         {"--kubelet-service-account=kube-system/k", false, false},
		"kubeletServiceAccount.name=k":                                           {"--kubelet-service-account=kube-system/k", true, true},
		"kubeletServiceAccount.create=false":                                     {"", false, false},
		"kubeletServiceAccount.create=false,kubeletServiceAccount.name=k":        {"--kubelet-service-account=kube-system/k", false, true},
		"args={--kubelet-service-account=a/b}":                                   {"--kubelet-service-account=a/b", false, false},
		"args={--kubelet-client-certificate=/c,--kubelet-client-key=/k}":         {"", false, false},
		"kubeletServiceAccount.create=null":                                      {"--kubelet-service-account=kube-system/metrics-server-kubelet", true, true},
		"namespaceOverride=monitoring,fullnameOverride=meter":                    {"--kubelet-service-account=monitoring/meter-kubelet", true, true},
		"serviceAccount.create=false,serviceAccount.name=given,rbac.create=true": {"--kubelet-service-account=kube-system/metrics-server-kubelet", true, true},
	} {
		for _, h := range helms {
			flags := slices.DeleteFunc(argsOf(t, h, "--set", set), func(arg string) bool { return !strings.HasPrefix(arg, "--kubelet-service-account=") })
			if got := strings.Join(flags, " "); got != want.flag {
				t.Errorf("%s, %s: %q, want %q", h.name, set, got, want.flag)
			}
			all := objects(t, must[string](t)(h.template(t.Context(), "--set", set)))
			account, rights := false, false
			for _, o := range all {
				if o.GetKind() == "ServiceAccount" && "--kubelet-service-account="+o.GetNamespace()+"/"+o.GetName() == want.flag ||
					o.GetKind() == "ServiceAccount" && strings.HasSuffix(o.GetName(), "-kubelet") {
					account = true
				}
			}
			for _, r := range typed[rbacv1.ClusterRole](t, all, "ClusterRole") {
				for _, rule := range r.Rules {
					if slices.Contains(rule.Resources, "nodes/metrics") {
						rights = rights || strings.HasSuffix(r.Name, "-kubelet")
					}
				}
			}
			if account != want.account || rights != want.rights {
				t.Errorf("%s, %s: the chart makes the account: %t, want %t; its rights: %t, want %t", h.name, set, account, want.account, rights, want.rights)
			}
		}
	}
}

// A Prometheus reads the CA from a ConfigMap, and needs no right to a Secret, which has private keys.
func TestServiceMonitorReadsNoSecret(t *testing.T) {
	for _, set := range []string{"tls.type=metrics-server", "tls.type=helm", "tls.type=cert-manager", "tls.type=existingSecret,tls.existingSecret.name=x"} {
		for _, h := range helms {
			out := must[string](t)(h.template(t.Context(), "--set", set+",metrics.enabled=true,serviceMonitor.enabled=true"))
			all := objects(t, out)
			var config map[string]any
			published := slices.Contains(argsOf(t, h, "--set", set), "--tls-ca-configmap=kube-system/metrics-server-ca")
			for _, o := range all {
				if o.GetKind() != "ServiceMonitor" {
					continue
				}
				endpoints, _, err := unstructured.NestedSlice(o.Object, "spec", "endpoints")
				if err != nil {
					t.Fatal(err)
				}
				config = endpoints[0].(map[string]any)["tlsConfig"].(map[string]any)
			}
			want := map[string]any{
				"serverName": "metrics-server.kube-system.svc",
				"ca":         map[string]any{"configMap": map[string]any{"name": "metrics-server-ca", "key": "ca.crt"}},
			}
			if !reflect.DeepEqual(config, want) || !published {
				t.Errorf("%s, %s: tlsConfig is %v, and the ConfigMap is published: %t", h.name, set, config, published)
			}
		}
	}
}

// The probes and the Service reach the port on which the server listens.
func TestSecurePort(t *testing.T) {
	for set, want := range map[string]string{
		"args=null":                              "10250",
		"containerPort=4443":                     "4443",
		"args={--secure-port=4444}":              "4444",
		"args={--secure-port,4445,--v=1}":        "4445",
		"defaultArgs={--secure_port=4446}":       "4446",
		"containerPort=1,args={--secure-port=2}": "2",
	} {
		for _, h := range helms {
			c := serverContainer(t, must[string](t)(h.template(t.Context(), "--set", set, "--show-only=templates/deployment.yaml")))
			if got := fmt.Sprint(c.Ports[0].ContainerPort); got != want || c.Args[0] != "--secure-port="+want {
				t.Errorf("%s, %s: the port is %s and the argument %s, want %s", h.name, set, got, c.Args[0], want)
			}
		}
	}
}
