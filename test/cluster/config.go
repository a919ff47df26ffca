// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenSeconds is how long a service account's token is valid: longer than any
// run.
const tokenSeconds = 24 * 60 * 60

// AdminConfig returns a copy of a cluster administrator's configuration,
// without a rate limit.
func (c *Cluster) AdminConfig() *rest.Config {
	return rest.CopyConfig(c.admin)
}

// AdminKubeconfig returns the path of a kubeconfig of a cluster administrator.
// Only the owner can read the file.
func (c *Cluster) AdminKubeconfig() string {
	return filepath.Join(c.dir, "admin.kubeconfig")
}

// AnonymousConfig returns a configuration that knows the API server and has no
// credentials. Setting BearerToken makes it that of a service account.
func (c *Cluster) AnonymousConfig() *rest.Config {
	return &rest.Config{
		Host:            c.apiServerURL(),
		TLSClientConfig: rest.TLSClientConfig{CAData: c.pki.cluster.CertPEM()},
		QPS:             -1, // no limit
	}
}

// ClientFor returns the configuration of a user with a client certificate and
// without a rate limit. The user has the rights that are bound to it and to its
// groups, of which system:authenticated is one in any case.
func (c *Cluster) ClientFor(user string, groups ...string) (*rest.Config, error) {
	cert, key, err := c.pki.cluster.IssueClient(user, groups)
	if err != nil {
		return nil, err
	}
	config := c.AnonymousConfig()
	config.CertData, config.KeyData = cert, key
	return config, nil
}

// ServiceAccountToken returns a token of an existing service account, valid for
// a day.
func (c *Cluster) ServiceAccountToken(ctx context.Context, namespace, name string) (string, error) {
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	answer, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("request a token for service account %s/%s: %w", namespace, name, err)
	}
	return answer.Status.Token, nil
}

// WriteKubeconfig writes a configuration, such as one of ClientFor, to a file
// that only the owner can read.
func WriteKubeconfig(path string, config *rest.Config) error {
	const name = "kubemeter"
	kubeconfig := clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{name: {
			Server:                   config.Host,
			CertificateAuthorityData: config.CAData,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {
			ClientCertificateData: config.CertData,
			ClientKeyData:         config.KeyData,
			Token:                 config.BearerToken,
			TokenFile:             config.BearerTokenFile,
		}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}
	if err := clientcmd.WriteToFile(kubeconfig, path); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	return nil
}
