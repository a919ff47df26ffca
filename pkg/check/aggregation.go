// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
)

const (
	// authenticationConfig is where the API server says, in namespace kube-system, how
	// the servers behind it recognize it.
	authenticationConfig = "extension-apiserver-authentication"
	requestHeaderCA      = "requestheader-client-ca-file"
	// expiresSoon is when somebody should have renewed a certificate.
	expiresSoon = 14 * 24 * time.Hour
)

// mendAggregation is for whoever runs the API server. kubeadm would write the manifest of
// kube-apiserver anew, and lose what the cluster has of its own in it.
var mendAggregation = []string{
	comment("in a managed cluster, ask the provider for the aggregation layer; with kubeadm, make the front proxy's CA and client certificate on one control plane node, " +
		"if no other has them, and else copy front-proxy-ca.crt and front-proxy-ca.key from there first:"),
	"sudo kubeadm init phase certs front-proxy-ca && sudo kubeadm init phase certs front-proxy-client",
	comment("on each control plane node, give kube-apiserver the flags that it lacks of --requestheader-client-ca-file, --requestheader-username-headers=X-Remote-User, " +
		"--requestheader-group-headers=X-Remote-Group, --requestheader-extra-headers-prefix=X-Remote-Extra-, --proxy-client-cert-file and --proxy-client-key-file, " +
		"with kubeadm in /etc/kubernetes/manifests/kube-apiserver.yaml"),
}

// renewFrontProxy leaves one CA for all control planes: with one each, servers behind the aggregation
// layer would trust the API server that was renewed last, and refuse what the others pass on.
var renewFrontProxy = []string{
	comment("in a managed cluster, have the provider renew the front proxy's CA; with kubeadm, on one control plane node, keep the old files and make new ones:"),
	"sudo mkdir -m 700 /root/front-proxy-old && sudo mv /etc/kubernetes/pki/front-proxy-* /root/front-proxy-old/",
	"sudo kubeadm init phase certs front-proxy-ca && sudo kubeadm init phase certs front-proxy-client",
	comment("copy /etc/kubernetes/pki/front-proxy-ca.crt and front-proxy-ca.key to each other control plane node, and there:"),
	"sudo rm /etc/kubernetes/pki/front-proxy-client.* && sudo kubeadm init phase certs front-proxy-client",
	comment("then restart kube-apiserver on one control plane node after the other: move its manifest out of /etc/kubernetes/manifests and, when it has ended, back"),
}

// checkAggregation looks at what the API server says of its front proxy.
func (c *checker) checkAggregation(ctx context.Context, s *Step) {
	if answer, err := c.get(ctx, "/apis/"+apiServiceGroup+"/v1", nil); err == nil && answer.status == 404 {
		s.find(codeAggregationOff, "cluster", "the API server does not serve "+apiServiceGroup+"/v1", mendAggregation...)
		return
	}
	config, err := c.client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, authenticationConfig, metav1.GetOptions{})
	object := "configmap/" + authenticationConfig
	switch {
	case apierrors.IsNotFound(err):
		s.find(codeFrontProxyMissing, object, "there is no ConfigMap "+authenticationConfig+" in namespace kube-system", mendAggregation...)
		return
	case err != nil:
		unseen(s, "the configuration of the front proxy", err)
		return
	}
	pem := config.Data[requestHeaderCA]
	if pem == "" {
		s.find(codeFrontProxyMissing, object, fmt.Sprintf("ConfigMap %s has no %s", authenticationConfig, requestHeaderCA), mendAggregation...)
		return
	}
	c.checkFrontProxyCA(s, object, pem)
	var names []string
	if err := json.Unmarshal([]byte(config.Data["requestheader-allowed-names"]), &names); err == nil {
		s.fact("the front proxy may have the names: %s", orAny(names))
	}
}

func orAny(names []string) string {
	if len(names) == 0 {
		return "any"
	}
	return plain(strings.Join(names, ", "))
}

// checkFrontProxyCA is content with one certificate that is good: others may be on
// their way out.
func (c *checker) checkFrontProxyCA(s *Step, object, pem string) {
	certs, err := certutil.ParseCertsPEM([]byte(pem))
	if err != nil {
		s.find(codeFrontProxyCA, object, fmt.Sprintf("%s: %v", requestHeaderCA, err), mendAggregation...)
		return
	}
	now, last := c.Clock.Now(), time.Time{}
	for _, cert := range certs {
		if cert.NotAfter.After(last) {
			last = cert.NotAfter
		}
	}
	switch {
	case now.After(last):
		s.find(codeFrontProxyExpired, object, "the CA of the front proxy has expired on "+date(last), renewFrontProxy...)
	case last.Sub(now) < expiresSoon:
		s.find(codeFrontProxyExpiring, object, "the CA of the front proxy expires on "+date(last), renewFrontProxy...)
	default:
		s.fact("the CA of the front proxy is valid until %s", date(last))
	}
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
