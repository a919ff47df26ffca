// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/util/keyutil"
)

// serviceIPRange and apiServerServiceIP are those of the Service "kubernetes".
const (
	serviceIPRange     = "10.0.0.0/24"
	apiServerServiceIP = "10.0.0.1"
)

// frontProxyName is the one name that the API server, as a proxy before
// aggregated API servers, authenticates itself by.
const frontProxyName = "front-proxy-client"

// pki is a cluster's certificates and keys.
type pki struct {
	dir string
	// cluster signs every server and every user of the cluster.
	cluster *CertificateAuthority
	// frontProxy signs the aggregator's client certificate only: whoever holds
	// one may speak for any user.
	frontProxy *CertificateAuthority
	// etcd is apart from cluster, or any user could read and write the store.
	etcd *CertificateAuthority
}

// newPKI makes the authorities and writes the files that the components read
// to dir.
func newPKI(dir string) (*pki, error) {
	p := &pki{dir: dir}
	for name, authority := range map[string]**CertificateAuthority{
		"ca":             &p.cluster,
		"front-proxy-ca": &p.frontProxy,
		"etcd-ca":        &p.etcd,
	} {
		a, err := NewCertificateAuthority("kubemeter-" + name)
		if err != nil {
			return nil, err
		}
		if err := p.write(name+".crt", a.CertPEM()); err != nil {
			return nil, err
		}
		*authority = a
	}
	return p, p.writeLeaves()
}

func (p *pki) writeLeaves() error {
	loopbackIP := net.IPv4(127, 0, 0, 1)
	if err := p.writePair("etcd")(p.etcd.IssueServing([]string{"localhost"}, []net.IP{loopbackIP})); err != nil {
		return err
	}
	if err := p.writePair("etcd-client")(p.etcd.IssueClient("kube-apiserver", nil)); err != nil {
		return err
	}
	if err := p.writePair("kube-apiserver")(p.cluster.IssueServing([]string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}, []net.IP{loopbackIP, net.ParseIP(apiServerServiceIP)})); err != nil {
		return err
	}
	if err := p.writePair("kube-controller-manager")(p.cluster.IssueServing([]string{"localhost"}, []net.IP{loopbackIP})); err != nil {
		return err
	}
	if err := p.writePair("front-proxy-client")(p.frontProxy.IssueClient(frontProxyName, nil)); err != nil {
		return err
	}
	// kube-controller-manager signs certificate signing requests with it.
	caKey, err := p.cluster.KeyPEM()
	if err != nil {
		return err
	}
	if err := p.write("ca.key", caKey); err != nil {
		return err
	}
	serviceAccountKey, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return fmt.Errorf("generate the key that signs service account tokens: %w", err)
	}
	return p.write("service-account.key", serviceAccountKey)
}

// writePair takes what the Issue methods return.
func (p *pki) writePair(name string) func(cert, key []byte, err error) error {
	return func(cert, key []byte, err error) error {
		if err != nil {
			return err
		}
		if err := p.write(name+".crt", cert); err != nil {
			return err
		}
		return p.write(name+".key", key)
	}
}

func (p *pki) write(name string, data []byte) error {
	if err := os.WriteFile(p.path(name), data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (p *pki) path(name string) string {
	return filepath.Join(p.dir, name)
}
