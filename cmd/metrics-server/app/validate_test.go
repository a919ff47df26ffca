// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"path/filepath"
	"strings"
	"testing"
)

// Each bad value gives one line, and nothing is started.
func TestBadFlags(t *testing.T) {
	certFile, keyFile := keyPair(t)
	otherCert, _ := keyPair(t)
	garbage := file(t, "garbage", "garbage")
	missing := filepath.Join(t.TempDir(), "missing")
	noContext := file(t, "kubeconfig", `{"kind":"Config","apiVersion":"v1"}`)
	for _, tc := range []struct {
		args string
		want string
	}{
		{"--metric-resolution=9s --kubelet-request-timeout=1s", "--metric-resolution=9s: must be at least 10s"},
		{"--metric-resolution=x", "--metric-resolution=x: must be a number with a unit, such as 15s or 1m30s"},
		{"--metric-resolution=15", "--metric-resolution=15: must be a number with a unit, such as 15s or 1m30s"},
		{"--metric-max-age=119s", "--metric-max-age=1m59s: must be at least 2 times --metric-resolution=1m0s, or 0 for 4 times that"},
		{"--metric-max-age=-1s", "--metric-max-age=-1s: must be at least 2 times --metric-resolution=1m0s, or 0 for 4 times that"},
		{"--scrape-workers=-1", "--scrape-workers=-1: must be from 0 to 10000"},
		{"--scrape-workers=10001", "--scrape-workers=10001: must be from 0 to 10000"},
		{"--scrape-workers=many", "--scrape-workers=many: must be a whole number"},
		{"--unknown", "unknown flag: --unknown, see --help"},
		{"argument", `unexpected argument "argument": metrics-server takes flags only, see --help`},

		{"--kubelet-port=0", "--kubelet-port=0: must be from 1 to 65535"},
		{"--kubelet-port=65536", "--kubelet-port=65536: must be from 1 to 65535"},
		{"--kubelet-request-timeout=0", "--kubelet-request-timeout=0s: must be more than 0 and at most 54s, 90 % of --metric-resolution=1m0s"},
		{"--kubelet-request-timeout=-1s", "--kubelet-request-timeout=-1s: must be more than 0 and at most 54s, 90 % of --metric-resolution=1m0s"},
		{"--kubelet-request-timeout=55s", "--kubelet-request-timeout=55s: must be more than 0 and at most 54s, 90 % of --metric-resolution=1m0s"},
		{"--metric-resolution=10s", "--kubelet-request-timeout=10s: must be more than 0 and at most 9s, 90 % of --metric-resolution=10s"},
		{"--kubelet-preferred-address-types=", "--kubelet-preferred-address-types=: must have at least one of Hostname, InternalDNS, InternalIP, ExternalDNS, ExternalIP"},
		{"--kubelet-preferred-address-types=InternalIP,internalip", `--kubelet-preferred-address-types=InternalIP,internalip: "internalip" is not one of Hostname, InternalDNS, InternalIP, ExternalDNS, ExternalIP`},
		{"-l a=b=c", "--node-selector=a=b=c: must be a label selector such as 'a=b,c in (d,e)': found '=', expected: ',' or 'end of string'"},

		{"--kubelet-insecure-tls --kubelet-certificate-authority=" + certFile, "--kubelet-insecure-tls and --kubelet-certificate-authority exclude each other: a CA is there to verify with"},
		{"--deprecated-kubelet-completely-insecure --kubelet-insecure-tls", "--deprecated-kubelet-completely-insecure and --kubelet-insecure-tls exclude each other: plain HTTP has no TLS"},
		{"--deprecated-kubelet-completely-insecure --kubelet-certificate-authority=" + certFile, "--deprecated-kubelet-completely-insecure and --kubelet-certificate-authority exclude each other: plain HTTP has no TLS"},
		{
			"--deprecated-kubelet-completely-insecure --kubelet-client-certificate=" + certFile + " --kubelet-client-key=" + keyFile,
			"--deprecated-kubelet-completely-insecure and --kubelet-client-certificate exclude each other: plain HTTP has no TLS\n" +
				"--deprecated-kubelet-completely-insecure and --kubelet-client-key exclude each other: plain HTTP has no TLS",
		},
		{"--kubelet-client-certificate=" + certFile, "--kubelet-client-certificate=" + certFile + ": needs --kubelet-client-key, too"},
		{"--kubelet-client-key=" + keyFile, "--kubelet-client-key=" + keyFile + ": needs --kubelet-client-certificate, too"},
		{
			"--kubelet-client-certificate=" + otherCert + " --kubelet-client-key=" + keyFile,
			"--kubelet-client-certificate=" + otherCert + " and --kubelet-client-key=" + keyFile + ": must be a PEM certificate and its private key: tls: private key does not match public key",
		},
		{
			"--kubelet-client-certificate=" + missing + " --kubelet-client-key=" + keyFile,
			"--kubelet-client-certificate=" + missing + " and --kubelet-client-key=" + keyFile + ": must be a PEM certificate and its private key: open " + missing + ": no such file or directory",
		},
		{"--kubelet-certificate-authority=" + missing, "--kubelet-certificate-authority=" + missing + ": must be a file with PEM certificates: open " + missing + ": no such file or directory"},
		{"--kubelet-certificate-authority=" + garbage, "--kubelet-certificate-authority=" + garbage + ": must be a file with PEM certificates: error reading " + garbage + ": data does not contain any valid RSA or ECDSA certificates"},

		{"--secure-port=65536", "--secure-port 65536 must be between 1 and 65535, inclusive. It cannot be turned off with 0"},
		{"--secure-port=0", "--secure-port 0 must be between 1 and 65535, inclusive. It cannot be turned off with 0"},
		{"--bind-address=x", "--bind-address=x: must be an IP address"},
		{"--tls-cert-file=" + certFile, "--tls-cert-file=" + certFile + ": needs --tls-private-key-file, too"},
		{"--tls-private-key-file=" + keyFile, "--tls-private-key-file=" + keyFile + ": needs --tls-cert-file, too"},
		{
			"--tls-sni-cert-key=" + otherCert + "," + keyFile,
			"--tls-sni-cert-key=" + otherCert + " and --tls-sni-cert-key=" + keyFile + ": must be a PEM certificate and its private key: tls: private key does not match public key",
		},
		{"--tls-secret=metrics-server-tls", "--tls-secret=metrics-server-tls: must be the namespace and the name of a Secret, such as kube-system/metrics-server-tls"},
		{"--kubelet-service-account=kubelets", "--kubelet-service-account=kubelets: must be the namespace and the name of a ServiceAccount, such as kube-system/metrics-server-kubelet"},
		{"--kubelet-service-account=/b", "--kubelet-service-account=/b: must be the namespace and the name of a ServiceAccount, such as kube-system/metrics-server-kubelet"},
		{"--tls-ca-configmap=ca --tls-secret=a/b", "--tls-ca-configmap=ca: must be the namespace and the name of a ConfigMap, such as kube-system/metrics-server-ca"},
		{"--tls-ca-configmap=a/b", "--tls-ca-configmap=a/b: needs --tls-secret or --tls-cert-file: nobody can verify the certificate that is made in --cert-dir"},
		{"--tls-secret=a/b/c", "--tls-secret=a/b/c: must be the namespace and the name of a Secret, such as kube-system/metrics-server-tls"},
		{"--tls-secret=a.b/c", "--tls-secret=a.b/c: must be the namespace and the name of a Secret, such as kube-system/metrics-server-tls"},
		{
			"--tls-secret=a/b --tls-cert-file=" + certFile + " --tls-private-key-file=" + keyFile,
			"--tls-secret and --tls-cert-file exclude each other: there is one serving certificate",
		},
		{"--tls-secret=a/b --tls-secret-validity=119s", "--tls-secret-validity=1m59s: must be from 2m0s to 87600h0m0s"},
		{"--tls-secret-validity=87601h", "--tls-secret-validity=87601h0m0s: must be from 2m0s to 87600h0m0s"},
		{"--tls-min-version=TLS12", "--tls-min-version=TLS12: must be one of VersionTLS10, VersionTLS11, VersionTLS12, VersionTLS13"},
		{"--tls-cipher-suites=X", `--tls-cipher-suites=X: Cipher suite X not supported or doesn't exist; allowed are the names that --help lists`},
		{"--client-ca-file=" + garbage, "--client-ca-file=" + garbage + ": must be a file with PEM certificates: error reading " + garbage + ": data does not contain any valid RSA or ECDSA certificates"},
		{"--requestheader-client-ca-file=" + missing, "--requestheader-client-ca-file=" + missing + ": must be a file with PEM certificates: open " + missing + ": no such file or directory"},
		{"--goaway-chance=1", "--goaway-chance can not be less than 0 or greater than 0.02"},
		{"--feature-gates=NoSuchGate=true", "--feature-gates, --emulated-version or --min-compatibility-version: unrecognized feature gate: NoSuchGate"},
		{"--emulated-version=2.0", "emulation version 2.0 is not between [1.34, 1.37.0]"},
		{"--audit-policy-file=" + missing, "--audit-policy-file=" + missing + `: must be an audit policy: failed to read file path "` + missing + `": open ` + missing + ": no such file or directory"},
		{"--audit-log-path=- --audit-log-format=xml", `invalid audit log format xml, allowed formats are "legacy,json"`},

		{"--kubeconfig=" + missing, "--kubeconfig=" + missing + ": must be a kubeconfig file: stat " + missing + ": no such file or directory"},
		{"--kubeconfig=" + noContext, "--kubeconfig=" + noContext + ": must be a usable kubeconfig file: invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable"},
		{"--kubeconfig=", "--kubeconfig is not given and this is not a pod: give the path of a kubeconfig file, or run in a pod with a service account"},
		{"--authentication-kubeconfig=", "--authentication-kubeconfig is not given and this is not a pod: give the path of a kubeconfig file, or run in a pod with a service account"},
		{"--authorization-kubeconfig=", "--authorization-kubeconfig is not given and this is not a pod: give the path of a kubeconfig file, or run in a pod with a service account"},

		{"--logging-format=xml", `--logging-format: Invalid value: "xml": Unsupported log format; allowed are json and text`},
		{"--log-flush-frequency=0s", `--log-flush-frequency: Invalid value: "0s": Must be greater than zero`},
		{"--log-json-split-stream", "--log-json-split-stream: Forbidden: Feature LoggingAlphaOptions is disabled"},
		{"--logging-format=json --vmodule=a=1", "--vmodule: Forbidden: Only supported for text log format"},
		{"-v x", `invalid argument "x" for "-v, --v" flag: strconv.ParseUint: parsing "x": invalid syntax`},

		{
			"--scrape-workers=-1 --kubelet-port=0 --secure-port=0",
			"--secure-port 0 must be between 1 and 65535, inclusive. It cannot be turned off with 0\n" +
				"--scrape-workers=-1: must be from 0 to 10000\n" +
				"--kubelet-port=0: must be from 1 to 65535",
		},
	} {
		t.Run(tc.args, func(t *testing.T) {
			r := command(t, nil, append(working(t), strings.Fields(strings.ReplaceAll(tc.args, "-l ", "-l="))...)...)
			want := "Error: " + strings.ReplaceAll(tc.want, "\n", "\nError: ") + "\n"
			if r.stderr != want {
				t.Errorf("got  %swant %s", r.stderr, want)
			}
			if r.code != 1 || r.stdout != "" || len(r.configs) != 0 {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// The files that are given are read and used.
func TestGoodFiles(t *testing.T) {
	certFile, keyFile := keyPair(t)
	r := command(t, nil, append(working(t),
		"--tls-cert-file="+certFile, "--tls-private-key-file="+keyFile,
		"--client-ca-file="+certFile, "--requestheader-client-ca-file="+certFile,
		"--kubelet-certificate-authority="+certFile,
		"--kubelet-client-certificate="+certFile, "--kubelet-client-key="+keyFile)...)
	if r.code != 0 || r.stderr != "" || len(r.configs) != 1 {
		t.Fatalf("got %+v", r)
	}
	if got := r.configs[0].Kubelet.Client; got.CAFile != certFile || got.CertFile != certFile || got.KeyFile != keyFile {
		t.Errorf("the client of kubelets is %+v", got)
	}
}

// In a pod whose service account cannot be read the error says so.
func TestServiceAccountUnreadable(t *testing.T) {
	args := working(t)
	t.Setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "1")
	r := command(t, nil, append(args, "--kubeconfig=")...)
	want := "Error: --kubeconfig is not given and the service account of this pod cannot be used: open "
	if r.code != 1 || !strings.HasPrefix(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("got %+v", r)
	}
}
