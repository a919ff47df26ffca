// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// StartEtcd starts etcd, with what it had stored if it ran before, on the same
// port, and returns when it is healthy.
func (c *Cluster) StartEtcd(ctx context.Context) error {
	probe, err := newProbe(c.etcdURL()+"/health", c.pki.path("etcd-ca.crt"), c.pki.path("etcd-client.crt"), c.pki.path("etcd-client.key"))
	if err != nil {
		return err
	}
	p, err := c.startComponent(ctx, "etcd", c.etcdArgs(), probe)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.etcd = p
	c.mu.Unlock()
	return nil
}

// StopEtcd kills etcd without warning. What it has acknowledged is kept.
func (c *Cluster) StopEtcd() error {
	c.mu.Lock()
	p := c.etcd
	c.mu.Unlock()
	return p.Kill()
}

func (c *Cluster) etcdArgs() []string {
	peer := "https://" + loopback(c.ports.etcdPeer)
	return []string{
		"--name=kubemeter",
		"--data-dir=" + filepath.Join(c.dir, "etcd"),
		"--listen-client-urls=" + c.etcdURL(),
		"--advertise-client-urls=" + c.etcdURL(),
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=kubemeter=" + peer,
		"--trusted-ca-file=" + c.pki.path("etcd-ca.crt"),
		"--cert-file=" + c.pki.path("etcd.crt"),
		"--key-file=" + c.pki.path("etcd.key"),
		"--client-cert-auth",
		"--peer-trusted-ca-file=" + c.pki.path("etcd-ca.crt"),
		"--peer-cert-file=" + c.pki.path("etcd.crt"),
		"--peer-key-file=" + c.pki.path("etcd.key"),
		"--peer-client-cert-auth",
		"--log-level=warn",
		// The data need not survive the machine, and this saves the disk's time.
		"--unsafe-no-fsync",
		// 8 GiB hold a cluster of 150,000 pods; the default is 2 GiB.
		"--quota-backend-bytes=8589934592",
	}
}

func (c *Cluster) etcdURL() string {
	return "https://" + loopback(c.ports.etcdClient)
}

// newProbe returns a function that reports an error unless GET url answers 200.
// The client certificate may be empty.
func newProbe(url, caFile, certFile, keyFile string) (func(context.Context) error, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(ca)
	if certFile != "" {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{cert}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
		if response.StatusCode == http.StatusOK {
			return nil
		}
		return errors.Join(fmt.Errorf("%s from %s: %s", response.Status, url, body), err)
	}, nil
}
