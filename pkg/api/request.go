// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/kubemeter/metrics-server/pkg/store"
)

// query says what a list or watch request asks for. The selectors have been
// parsed, and unknown fields refused, before.
func query(ctx context.Context, options *metainternalversion.ListOptions) (store.Query, error) {
	q := store.Query{
		Namespace: genericapirequest.NamespaceValue(ctx),
		Labels:    options.LabelSelector, Fields: options.FieldSelector,
	}
	requirements, values := 0, 0
	if q.Labels != nil {
		of, _ := q.Labels.Requirements()
		requirements = len(of)
		for _, r := range of {
			values += r.Values().Len()
		}
	}
	if q.Fields != nil {
		requirements += len(q.Fields.Requirements())
	}
	if requirements > maxRequirements || values > maxValues {
		return q, apierrors.NewBadRequest(fmt.Sprintf("the selectors have %d requirements with %d values, of which %d and %d are allowed: select less, or select in the client",
			requirements, values, maxRequirements, maxValues))
	}
	return q, nil
}

// Selectors are asked with locks held: these bound the time that it takes.
const maxRequirements, maxValues = 100, 1000

// list answers a list request. Later pages have the resource version of the
// first, so that a watch from there tells what was changed between them.
func list[V store.Value](ctx context.Context, options *metainternalversion.ListOptions, reader Reader, namespaced bool,
	read func(store.Query) store.List[V],
) (l store.List[V], meta metav1.ListMeta, err error) {
	q, err := query(ctx, options)
	if err != nil {
		return l, meta, err
	}
	q.Limit = int(min(options.Limit, math.MaxInt32))
	wanted, err := parseResourceVersion(options.ResourceVersion)
	if err != nil {
		return l, meta, err
	}
	var first uint64
	if options.Continue != "" {
		if wanted != 0 {
			return l, meta, apierrors.NewBadRequest("resourceVersion cannot be set together with continue")
		}
		if q.After, first, err = decodeContinue(options.Continue, namespaced); err != nil {
			return l, meta, err
		}
	}
	if current := reader.Revision(); wanted > current {
		return l, meta, storage.NewTooLargeResourceVersionError(wanted, current, 1)
	}
	a := admissionOf(ctx)
	if a != nil {
		q.Admission = a
	}
	l = read(q)
	if l.Refused {
		return l, meta, a.refusal
	}
	a.whenDone(l.Release)
	if options.ResourceVersionMatch == metav1.ResourceVersionMatchExact && wanted != l.Revision {
		return l, meta, expired(wanted, l.Revision)
	}
	revision := cmp.Or(first, l.Revision)
	meta.ResourceVersion = resourceVersion(revision)
	if l.More {
		meta.Continue, err = encodeContinue(l.Last, revision)
	}
	return l, meta, err
}

// parseResourceVersion returns 0 for "" and "0", which ask for nothing.
func parseResourceVersion(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	revision, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion %q is not one: it has to be 0, or what a list or an object has told", s))
	}
	return revision, nil
}

// expired is the 410 that makes a client list again.
func expired(wanted, current uint64) error {
	return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", wanted, current))
}

func encodeContinue(last store.Key, revision uint64) (string, error) {
	return storage.EncodeContinue(path.Join("/", last.Namespace, last.Name), "/", int64(revision))
}

func decodeContinue(token string, namespaced bool) (last store.Key, revision uint64, err error) {
	start, rv, err := storage.DecodeContinue(token, "/")
	namespace, name := path.Split(strings.TrimPrefix(start, "/"))
	namespace = strings.TrimSuffix(namespace, "/")
	if err == nil && (namespaced != (namespace != "") || name == "" || rv < 0) {
		err = storage.ErrGenericInvalidKey
	}
	if err != nil {
		return last, 0, apierrors.NewBadRequest(err.Error() + ": it has to be what the page before has told; list again without it")
	}
	return store.Key{Namespace: namespace, Name: name}, uint64(rv), nil
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
