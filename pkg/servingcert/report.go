// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
)

// report logs a failure when it begins, and again and again when the certificate is
// about to expire for it.
func (m *Manager) report(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	served := m.current().cert
	if err == nil {
		if m.lastError != "" {
			klog.InfoS("The serving certificate is up to date again", "secret", m.config.Secret, "expires", date(served))
		}
		m.lastError = ""
		return
	}
	m.failures.Inc()
	expiring := served.NotAfter.Sub(m.clock.Now()) < lifetime(served)/6
	text := oneLine(err)
	switch {
	case apierrors.IsForbidden(err) && (expiring || text != m.lastError):
		klog.ErrorS(nil, "The serving certificate cannot be kept up to date: this server lacks a right; "+
			"apply the Role and the ClusterRole of its manifests", "secret", m.config.Secret, "expires", date(served), "err", text)
	case expiring:
		klog.ErrorS(nil, "The serving certificate cannot be kept up to date, and expires soon", "secret", m.config.Secret, "expires", date(served), "err", text)
	case text != m.lastError:
		klog.InfoS("The serving certificate cannot be kept up to date; trying again", "secret", m.config.Secret, "expires", date(served), "err", text)
	}
	m.lastError = text
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
