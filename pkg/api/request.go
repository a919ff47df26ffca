// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// query says what a list request asks for. The selectors have been parsed, and
// fields other than metadata.name and metadata.namespace refused, before.
func query(ctx context.Context, options *metainternalversion.ListOptions) store.Query {
	q := store.Query{Namespace: genericapirequest.NamespaceValue(ctx)}
	if options != nil {
		q.Labels, q.Fields = options.LabelSelector, options.FieldSelector
	}
	return q
}

// notFound makes a 404 that says why: in its message for people, in its causes
// for programs.
func notFound(resource, name string, why error) error {
	status := apierrors.NewNotFound(metrics.Resource(resource), name)
	status.ErrStatus.Message = fmt.Sprintf("%s: %v", status.ErrStatus.Message, why)
	if u := (*store.Unavailable)(nil); errors.As(why, &u) {
		status.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseType(u.Reason), Message: u.Message}}
	}
	return status
}
