// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applyv1 "k8s.io/client-go/applyconfigurations/core/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const (
	// pollInterval is how often a Publisher looks for new CA certificates.
	pollInterval = 10 * time.Second
	// resyncInterval is how often it writes what has not changed, in case someone else has changed it.
	resyncInterval = 5 * time.Minute
)

// Publisher writes the CA certificates that verify the serving certificate to a ConfigMap, for clients
// such as Prometheus. They need not read a Secret then, which has private keys, too.
type Publisher struct {
	name       types.NamespacedName
	configMaps corev1client.ConfigMapInterface
	bundle     func() ([]byte, error)
	clock      clock.WithTicker

	written []byte
	due     time.Time // for what has not changed
	retry   time.Time // after a failed write
	failure error     // that was reported, nil if there is none
}

// NewPublisher returns a Publisher of what bundle returns: PEM certificates, nil if there are none yet,
// or an error.
func NewPublisher(name types.NamespacedName, client corev1client.ConfigMapsGetter, bundle func() ([]byte, error), clk clock.WithTicker) *Publisher {
	return &Publisher{name: name, configMaps: client.ConfigMaps(name.Namespace), bundle: bundle, clock: clk}
}

// Run publishes until ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	ticker := p.clock.NewTicker(pollInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		p.report(p.publish(ctx))
		select {
		case <-ctx.Done():
		case <-ticker.C():
		}
	}
}

func (p *Publisher) publish(ctx context.Context) error {
	now := p.clock.Now()
	if now.Before(p.retry) {
		return p.failure
	}
	bundle, err := p.bundle()
	if err != nil || len(bundle) == 0 || bytes.Equal(bundle, p.written) && now.Before(p.due) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	object := applyv1.ConfigMap(p.name.Name, p.name.Namespace).WithData(map[string]string{caCertKey: string(bundle)})
	// RBAC can allow server-side apply for this one name only. Force takes the key back from others.
	if _, err := p.configMaps.Apply(ctx, object, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
		p.retry = now.Add(maxRetry)
		return err
	}
	if !bytes.Equal(bundle, p.written) {
		klog.InfoS("Published the CA certificates of the serving certificate", "configMap", p.name)
	}
	p.written, p.due = bundle, now.Add(resyncInterval)
	return nil
}

// report logs a failure when it begins or changes, and when it ends.
func (p *Publisher) report(err error) {
	before := p.failure
	if err == nil && before == nil || err != nil && before != nil && err.Error() == before.Error() || errors.Is(err, context.Canceled) {
		return
	}
	p.failure = err
	if err != nil {
		klog.ErrorS(err, "The CA certificates of the serving certificate cannot be published", "configMap", p.name)
		return
	}
	klog.InfoS("The CA certificates of the serving certificate can be published again", "configMap", p.name)
}

// Bundle returns the CA certificates of the Secret as PEM, nil before it was read.
func (m *Manager) Bundle() ([]byte, error) {
	if bundle := m.published.Load(); bundle != nil {
		return *bundle, nil
	}
	return nil, nil
}

// BundleOf returns a function for NewPublisher that returns the CA certificates of a file with a serving
// certificate: those of the file ca.crt in its folder, which cert-manager writes, or without one those in
// the file itself that are self-signed. It is an error if they do not verify the serving certificate.
func BundleOf(certFile string) func() ([]byte, error) {
	return func() ([]byte, error) {
		chain, err := certutil.CertsFromFile(certFile)
		if err != nil {
			return nil, err
		}
		caFile := filepath.Join(filepath.Dir(certFile), caCertKey)
		authorities := slices.DeleteFunc(slices.Clone(chain), func(cert *x509.Certificate) bool {
			return cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil
		})
		text, err := os.ReadFile(caFile)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if len(bytes.TrimSpace(text)) > 0 { // some issuers leave it empty
			if authorities, err = certutil.ParseCertsPEM(text); err != nil {
				return nil, fmt.Errorf("%s: %w", caFile, err)
			}
		}
		roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
		var bundle []byte
		for _, cert := range authorities {
			roots.AddCert(cert)
			bundle = append(bundle, certPEM(cert)...) // and nothing else that the file has, such as a key
		}
		for _, cert := range chain[1:] {
			intermediates.AddCert(cert)
		}
		if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates}); err != nil {
			return nil, fmt.Errorf("no CA certificate in %s or %s verifies the serving certificate: %w; put its CA certificate into %s", caFile, certFile, err, caFile)
		}
		return bundle, nil
	}
}
