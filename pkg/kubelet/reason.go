// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"syscall"
)

// requestReason says why no response arrived.
func requestReason(err error) Reason {
	switch {
	case errors.As(err, new(credentialsError)):
		return ReasonCredentials
	case errors.Is(err, context.Canceled):
		return ReasonCanceled
	case isTimeout(err):
		return ReasonTimeout
	case !errors.As(err, new(transportError)):
		return ReasonCredentials
	case isHeaderTooLarge(err):
		return ReasonTooLarge
	}
	if reason := tlsReason(err); reason != "" {
		return reason
	}
	return networkReason(err)
}

// bodyReason says why a body could not be read to its end.
func bodyReason(err error) Reason {
	switch {
	case errors.Is(err, context.Canceled):
		return ReasonCanceled
	case isTimeout(err):
		return ReasonTimeout
	}
	return ReasonBody
}

// isTimeout tells a timeout from other errors. A resolver that does not answer
// is left to ReasonDNS.
func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var dns *net.DNSError
	var timeout net.Error
	return !errors.As(err, &dns) && errors.As(err, &timeout) && timeout.Timeout()
}

// isHeaderTooLarge goes by the text, the only thing that net/http gives.
func isHeaderTooLarge(err error) bool {
	return strings.Contains(err.Error(), "response headers exceeded")
}

// tlsReason returns "" for an error that is not about TLS.
func tlsReason(err error) Reason {
	var (
		kubelet *certificateError
		proxy   *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   *net.OpError
	)
	switch {
	case errors.As(err, &kubelet):
		return kubelet.reason
	case errors.As(err, &proxy), errors.As(err, &record):
		return ReasonTLS
	case errors.As(err, &alert) && (alert.Op == "remote error" || alert.Op == "local error"):
		// crypto/tls wraps an alert, received or sent, in this way.
		return ReasonTLS
	}
	return ""
}

func networkReason(err error) Reason {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return ReasonDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return ReasonConnectionRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return ReasonUnreachable
	}
	return ReasonConnection
}
