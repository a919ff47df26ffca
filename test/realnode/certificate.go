// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"errors"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// approveCertificate approves, as an administrator does, what the kubelet requests to
// serve with. It has an error until that is signed.
func (n *Node) approveCertificate(ctx context.Context) error {
	requests := n.Client().CertificatesV1().CertificateSigningRequests()
	all, err := requests.List(ctx, metav1.ListOptions{FieldSelector: "spec.signerName=" + certificatesv1.KubeletServingSignerName})
	if err != nil {
		return err
	}
	for _, r := range all.Items {
		if r.Spec.Username != "system:node:"+Name {
			return fmt.Errorf("%s requests a certificate for serving", r.Spec.Username)
		}
		if len(r.Status.Certificate) > 0 {
			return nil
		}
		if len(r.Status.Conditions) > 0 {
			continue
		}
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{
			Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test", Message: "the node is ours",
		}}
		if _, err := requests.UpdateApproval(ctx, r.Name, &r, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return errors.New("the kubelet has no certificate to serve with")
}
