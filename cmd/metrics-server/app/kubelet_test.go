// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func TestKubeletConfig(t *testing.T) {
	apiServer := func() *rest.Config {
		return &rest.Config{
			Host:        "https://apiserver:6443",
			BearerToken: "secret",
			UserAgent:   "agent",
			TLSClientConfig: rest.TLSClientConfig{
				ServerName: "apiserver",
				CAFile:     "/ca.crt",
				CAData:     []byte("CA"),
				CertData:   []byte("cert"),
				KeyData:    []byte("key"),
			},
		}
	}
	for _, tc := range []struct {
		name      string
		args      []string
		apiServer func(*rest.Config)
		want      rest.TLSClientConfig
		token     string
		tokensOf  string
		insecure  bool
	}{
		{
			name:  "from the client of the API server",
			want:  rest.TLSClientConfig{CAFile: "/ca.crt", CAData: []byte("CA"), CertData: []byte("cert"), KeyData: []byte("key")},
			token: "secret",
		},
		{
			name:  "CA of its own",
			args:  []string{"--kubelet-certificate-authority=/kubelets.crt"},
			want:  rest.TLSClientConfig{CAFile: "/kubelets.crt", CertData: []byte("cert"), KeyData: []byte("key")},
			token: "secret",
		},
		{
			name: "client certificate of its own",
			args: []string{"--kubelet-client-certificate=/c.crt", "--kubelet-client-key=/c.key"},
			want: rest.TLSClientConfig{CAFile: "/ca.crt", CAData: []byte("CA"), CertFile: "/c.crt", KeyFile: "/c.key"},
		},
		{
			name:     "tokens of a ServiceAccount",
			args:     []string{"--kubelet-service-account=kube-system/kubelets"},
			want:     rest.TLSClientConfig{CAFile: "/ca.crt", CAData: []byte("CA")},
			tokensOf: "kube-system/kubelets",
		},
		{
			name:     "tokens of a ServiceAccount, not verified",
			args:     []string{"--kubelet-service-account=kube-system/kubelets", "--kubelet-insecure-tls"},
			want:     rest.TLSClientConfig{Insecure: true},
			tokensOf: "kube-system/kubelets",
		},
		{
			name: "a client certificate beside a ServiceAccount",
			args: []string{"--kubelet-service-account=kube-system/kubelets", "--kubelet-client-certificate=/c.crt", "--kubelet-client-key=/c.key"},
			want: rest.TLSClientConfig{CAFile: "/ca.crt", CAData: []byte("CA"), CertFile: "/c.crt", KeyFile: "/c.key"},
		},
		{
			name:     "plain HTTP beside a ServiceAccount",
			args:     []string{"--kubelet-service-account=kube-system/kubelets", "--deprecated-kubelet-completely-insecure"},
			insecure: true,
		},
		{
			name:  "not verified",
			args:  []string{"--kubelet-insecure-tls"},
			want:  rest.TLSClientConfig{Insecure: true, CertData: []byte("cert"), KeyData: []byte("key")},
			token: "secret",
		},
		{
			name: "an API server that is not verified",
			apiServer: func(c *rest.Config) {
				c.TLSClientConfig = rest.TLSClientConfig{Insecure: true}
			},
			token: "secret",
		},
		{
			name:     "plain HTTP",
			args:     []string{"--deprecated-kubelet-completely-insecure"},
			insecure: true,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client := apiServer()
			if tc.apiServer != nil {
				tc.apiServer(client)
			}
			before := rest.CopyConfig(client)
			options := parse(t, tc.args...).kubelet
			got := options.config(client, time.Minute)
			if tokensOf := options.serviceAccountName(); tokensOf.Name != "" && tokensOf.String() != tc.tokensOf || tokensOf.Name == "" && tc.tokensOf != "" {
				t.Errorf("kubelets are shown tokens of %q, want %q", tokensOf, tc.tokensOf)
			}
			if !reflect.DeepEqual(got.Client.TLSClientConfig, tc.want) {
				t.Errorf("TLS is %v, want %v", got.Client.TLSClientConfig, tc.want)
			}
			if got.Client.BearerToken != tc.token || got.Insecure != tc.insecure || got.Client.UserAgent != "agent" {
				t.Errorf("got %+v", got)
			}
			if !reflect.DeepEqual(client, before) {
				t.Error("the client of the API server was changed")
			}
		})
	}
}

func TestKubeletConfigOfFlags(t *testing.T) {
	got := parse(t).kubelet.config(&rest.Config{}, time.Minute)
	if got.Port != 10250 || got.UseNodeStatusPort || got.Timeout != 10*time.Second || got.Resolution != time.Minute {
		t.Errorf("got %+v", got)
	}
	want := []corev1.NodeAddressType{"Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"}
	if !reflect.DeepEqual(got.AddressTypes, want) {
		t.Errorf("address types are %q, want %q", got.AddressTypes, want)
	}

	got = parse(t, "--kubelet-port=4194", "--kubelet-use-node-status-port", "--kubelet-request-timeout=3s",
		"--kubelet-preferred-address-types=InternalIP", "--kubelet-preferred-address-types=Hostname,InternalIP").kubelet.config(&rest.Config{}, time.Minute)
	if got.Port != 4194 || !got.UseNodeStatusPort || got.Timeout != 3*time.Second {
		t.Errorf("got %+v", got)
	}
	want = []corev1.NodeAddressType{"InternalIP", "Hostname"}
	if !reflect.DeepEqual(got.AddressTypes, want) {
		t.Errorf("address types are %q, want %q", got.AddressTypes, want)
	}
}

// parse returns the options of args, which must parse.
func parse(t *testing.T, args ...string) *options {
	t.Helper()
	o := testOptions()
	if err := newCommand(nil, o, nil).ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return o
}

// The flag is there so that kubelets do not get the server's own token.
func TestOwnServiceAccountForKubelets(t *testing.T) {
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"system:serviceaccount:kube-system:metrics-server"}`))
	for token, want := range map[string]types.NamespacedName{
		"header." + claims + ".signature": {Namespace: "kube-system", Name: "metrics-server"},
		"opaque":                          {},
		"":                                {},
		"a.b.c":                           {},
	} {
		if got := serviceAccountOf(&rest.Config{BearerToken: token}); got != want {
			t.Errorf("%q is a token of %q, want %q", token, got, want)
		}
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := serviceAccountOf(&rest.Config{BearerTokenFile: file}); got != want {
			t.Errorf("the file with %q has a token of %q, want %q", token, got, want)
		}
	}
	kubeconfig := writeKubeconfig(t, "header."+claims+".signature")
	for account, problem := range map[string]bool{"kube-system/metrics-server": true, "kube-system/metrics-server-kubelet": false} {
		o := parse(t, "--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig, "--kubelet-service-account="+account)
		err := errors.Join(o.validate()...)
		if got := err != nil && strings.Contains(err.Error(), "must be another ServiceAccount than the server's own"); got != problem {
			t.Errorf("%s: %v", account, err)
		}
	}
}

func writeKubeconfig(t *testing.T, token string) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: "https://localhost:6443"}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}
