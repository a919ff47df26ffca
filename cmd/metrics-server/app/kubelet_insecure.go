// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
)

var kubeletInsecureTLS = metrics.NewGauge(&metrics.GaugeOpts{
	Name: "metrics_server_kubelet_insecure_tls",
	Help: "1 if kubelets are not verified, because of --kubelet-insecure-tls or --deprecated-kubelet-completely-insecure, and 0 if they are",
})

func init() {
	legacyregistry.MustRegister(kubeletInsecureTLS)
}

// reportVerification makes it known whether kubelets are verified: what was meant for a
// test cluster tends to stay.
func (o *kubeletOptions) reportVerification() {
	kubeletInsecureTLS.Set(0)
	var flag, meaning string
	switch {
	case o.completelyInsecure:
		flag, meaning = "--deprecated-kubelet-completely-insecure", "what kubelets send can be read and changed on its way, and so can who sends it"
	case o.insecureTLS:
		flag, meaning = "--kubelet-insecure-tls", "anyone who answers at a node's address can take the credentials for kubelets, and make up usage that workloads are scaled by"
	default:
		return
	}
	kubeletInsecureTLS.Set(1)
	klog.Warningf("INSECURE: %s is set, so that kubelets are not verified: %s. "+
		"Have kubelets request their certificates from the cluster's signer (serverTLSBootstrap: true) and approve their CSRs, "+
		"or give the CA of their certificates as --kubelet-certificate-authority, and remove the flag", flag, meaning)
}
