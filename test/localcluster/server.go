// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"net"
	"os"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubemeter/metrics-server/test/cluster"
)

// KubeletCAFile is the name of the file with the authority of the kubelets'
// serving certificates, in the folder of ServerFlags.
const KubeletCAFile = "kubelet-ca.crt"

// CertificateSecret is the name of the Secret with a managed certificate, in
// namespace kube-system.
const CertificateSecret = "metrics-server-tls"

// KubeletServiceAccountFlag has the server send kubelets tokens of the ServiceAccount of the manifests.
// Other metrics servers do not know it.
const KubeletServiceAccountFlag = "--kubelet-service-account=" + metav1.NamespaceSystem + "/metrics-server-kubelet"

// managedCertificateFlags come after those of ServerFlags.
var managedCertificateFlags = []string{
	"--tls-cert-file=", "--tls-private-key-file=", "--tls-secret=" + metav1.NamespaceSystem + "/" + CertificateSecret,
}

// ServerFlags writes the files that a metrics server needs into a folder, and
// returns the flags that it cannot do without there: for the control plane of api,
// whose bearer token is the server's, and for kubelets whose authority is
// in KubeletCAFile. The server will listen on a port of
// localhost, with a certificate of ca.
func ServerFlags(dir string, ca *cluster.CertificateAuthority, api *rest.Config, port int) ([]string, error) {
	cert, key, err := ca.IssueServing([]string{"metrics-server.kube-system.svc", "localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	for name, content := range map[string][]byte{
		"server.crt": cert, "server.key": key, "server.token": []byte(api.BearerToken),
	} {
		if err := os.WriteFile(file(name), content, 0o600); err != nil {
			return nil, err
		}
	}
	config := rest.AnonymousClientConfig(api)
	config.BearerTokenFile = file("server.token")
	if err := cluster.WriteKubeconfig(file("server.kubeconfig"), config); err != nil {
		return nil, err
	}
	return []string{
		"--kubeconfig=" + file("server.kubeconfig"),
		"--authentication-kubeconfig=" + file("server.kubeconfig"),
		"--authorization-kubeconfig=" + file("server.kubeconfig"),
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + file("server.crt"),
		"--tls-private-key-file=" + file("server.key"),
		"--kubelet-certificate-authority=" + file(KubeletCAFile),
		"--kubelet-preferred-address-types=" + string(corev1.NodeInternalIP),
		"--kubelet-use-node-status-port",
	}, nil
}
