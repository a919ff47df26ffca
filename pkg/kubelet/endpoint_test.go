// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func addresses(pairs ...string) []corev1.NodeAddress {
	var list []corev1.NodeAddress
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, corev1.NodeAddress{Type: corev1.NodeAddressType(pairs[i]), Address: pairs[i+1]})
	}
	return list
}

func TestEndpointURL(t *testing.T) {
	ip := addresses("InternalIP", "10.0.0.1")
	for _, tc := range []struct {
		name   string
		node   Node
		change func(*Config)
		want   string
	}{
		{name: "default", node: Node{Addresses: ip}, want: "https://10.0.0.1:10250/metrics/resource"},
		{name: "IPv6", node: Node{Addresses: addresses("InternalIP", "fd00::1")}, want: "https://[fd00::1]:10250/metrics/resource"},
		{name: "first of its type", node: Node{Addresses: addresses("InternalIP", "10.0.0.1", "InternalIP", "fd00::1")}, want: "https://10.0.0.1:10250/metrics/resource"},
		{name: "priority", node: Node{Addresses: addresses("ExternalIP", "1.2.3.4", "InternalIP", "10.0.0.1", "Hostname", "n1")}, want: "https://n1:10250/metrics/resource"},
		{name: "second priority", node: Node{Addresses: addresses("ExternalIP", "1.2.3.4", "InternalIP", "10.0.0.1")}, want: "https://10.0.0.1:10250/metrics/resource"},
		{name: "empty address", node: Node{Addresses: addresses("Hostname", "", "InternalIP", "10.0.0.1")}, want: "https://10.0.0.1:10250/metrics/resource"},
		{name: "port of the node is not asked for", node: Node{Addresses: ip, Port: 20250}, want: "https://10.0.0.1:10250/metrics/resource"},
		{name: "port of the node", node: Node{Addresses: ip, Port: 20250}, change: func(c *Config) { c.UseNodeStatusPort = true }, want: "https://10.0.0.1:20250/metrics/resource"},
		{name: "port of the node is missing", node: Node{Addresses: ip}, change: func(c *Config) { c.UseNodeStatusPort = true }, want: "https://10.0.0.1:10250/metrics/resource"},
		{name: "insecure", node: Node{Addresses: ip}, change: func(c *Config) { c.Insecure = true }, want: "http://10.0.0.1:10250/metrics/resource"},
		{name: "path", node: Node{Addresses: ip, MetricsPath: "/custom/path"}, want: "https://10.0.0.1:10250/custom/path"},
		{name: "path is no query", node: Node{Addresses: ip, MetricsPath: "/a?b=c#d"}, want: "https://10.0.0.1:10250/a%3Fb=c%23d"},
		{name: "dots in a name", node: Node{Addresses: ip, MetricsPath: "/a..b/c"}, want: "https://10.0.0.1:10250/a..b/c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := testConfig(10250)
			c.AddressTypes = []corev1.NodeAddressType{corev1.NodeHostName, corev1.NodeInternalIP, corev1.NodeExternalIP}
			if tc.change != nil {
				tc.change(&c)
			}
			client, err := NewClient(c)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			e, err := client.Endpoint(tc.node)
			if err != nil {
				t.Fatal(err)
			}
			if e.metrics.url != tc.want {
				t.Errorf("got %s, want %s", e.metrics.url, tc.want)
			}
			base := tc.want[:strings.Index(tc.want, ":10250")+len(":10250")]
			if tc.node.Port == 0 && e.summary.url != base+"/stats/summary?only_cpu_and_memory=true" {
				t.Errorf("summary is %s", e.summary.url)
			}
		})
	}
}

func TestEndpointErrors(t *testing.T) {
	ip := addresses("InternalIP", "10.0.0.1")
	for _, tc := range []struct {
		name string
		node Node
		want string
		why  Reason
	}{
		{
			name: "no address",
			want: `node "n1": the node has no address, and --kubelet-preferred-address-types allows only InternalIP`,
			why:  ReasonNoAddress,
		},
		{
			name: "no usable address",
			node: Node{Addresses: addresses("Hostname", "n1", "ExternalIP", "1.2.3.4")},
			want: `node "n1": the node has the addresses Hostname=n1, ExternalIP=1.2.3.4, and --kubelet-preferred-address-types allows only InternalIP`,
			why:  ReasonNoAddress,
		},
		{
			name: "relative path",
			node: Node{Addresses: ip, MetricsPath: "metrics"},
			want: `node "n1": annotation metrics.k8s.io/resource-metrics-path: "metrics" does not begin with a slash; give an absolute path such as /metrics/resource`,
			why:  ReasonInvalidPath,
		},
		{
			name: "URL",
			node: Node{Addresses: ip, MetricsPath: "https://evil/metrics"},
			want: `node "n1": annotation metrics.k8s.io/resource-metrics-path: "https://evil/metrics" does not begin with a slash; give an absolute path such as /metrics/resource`,
			why:  ReasonInvalidPath,
		},
		{
			name: "host",
			node: Node{Addresses: ip, MetricsPath: "//evil/metrics"},
			want: `node "n1": annotation metrics.k8s.io/resource-metrics-path: "//evil/metrics" begins with two slashes, as a host would; give an absolute path such as /metrics/resource`,
			why:  ReasonInvalidPath,
		},
		{
			name: "parent",
			node: Node{Addresses: ip, MetricsPath: "/metrics/../exec"},
			want: `node "n1": annotation metrics.k8s.io/resource-metrics-path: "/metrics/../exec" has the element ".."; give an absolute path such as /metrics/resource`,
			why:  ReasonInvalidPath,
		},
		{
			name: "control character",
			node: Node{Addresses: ip, MetricsPath: "/a\r\nb"},
			want: `node "n1": annotation metrics.k8s.io/resource-metrics-path: "/a b" has a control character; give an absolute path such as /metrics/resource`,
			why:  ReasonInvalidPath,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, err := NewClient(testConfig(10250))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			tc.node.Name = "n1"
			_, err = client.Endpoint(tc.node)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Reason != tc.why || err.Error() != tc.want {
				t.Errorf("got %s: %s\nwant %s: %s", e.Reason, err, tc.why, tc.want)
			}
		})
	}
}
