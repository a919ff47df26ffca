// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/klog/v2"
	"k8s.io/metrics/pkg/apis/metrics/v1"
)

// What an object of a list holds at most, in bytes, as measured with 150,000 pods of
// two containers: as the store has read it, and until the last byte is written where
// the library encodes.
const (
	readWeight      = 320
	convertedWeight = 2560 // tables, and metadata alone
	encodedWeight   = 5 << 10
	yamlWeight      = 25 << 10
)

const (
	// largeShare is which part of all objects a large list has more of.
	largeShare = 16
	// retryAfter is how many seconds whoever is refused is told to wait. client-go
	// tries ten times, which is nearly as long as a slow reader may take.
	retryAfter = 5
)

// ListMemory bounds what lists hold in memory while they are answered, which is as
// long as their clients take to read. Large lists have most of it, and others a part
// of their own, so that an autoscaler's are not refused because of those.
type ListMemory struct {
	metrics *Metrics

	mu           sync.Mutex
	large, small account
}

// NewListMemory returns a bound in bytes, for a server that answers at most that many
// requests at the same time: lists take half of them at most. 0 requests is no limit.
func NewListMemory(limit int64, requests int, m *Metrics) *ListMemory {
	share := func(limit int64) account {
		a := account{limit: limit}
		if requests > 0 {
			a.least = 4 * limit / int64(requests)
		}
		return a
	}
	return &ListMemory{metrics: m, large: share(limit - limit/4), small: share(limit / 4)}
}

// account is a part of the memory.
type account struct {
	limit, held int64
	least       int64 // what a list counts for at least
}

// take takes bytes if there is room for them, or if nothing else is held: with a
// limit that is too low, there is one list at a time.
func (a *account) take(bytes int64) (taken int64, ok bool) {
	bytes = max(bytes, a.least)
	if a.held > 0 && a.held+bytes > a.limit {
		return 0, false
	}
	a.held += bytes
	return bytes, true
}

// Admit has lists ask for what they hold, and give it back when handler has answered.
// It is for the innermost handler: one further out may return while an inner one still
// writes, as that of timeouts does.
func (m *ListMemory) Admit(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a := &admission{memory: m}
		defer a.done()
		a.req = req.WithContext(context.WithValue(req.Context(), admissionKey{}, a))
		handler.ServeHTTP(w, a.req)
	})
}

type admissionKey struct{}

// admissionOf returns the admission of a context's request, nil outside of Admit.
func admissionOf(ctx context.Context) *admission {
	a, _ := ctx.Value(admissionKey{}).(*admission)
	return a
}

// admission is what the answer to a request holds. It implements store.Admission.
type admission struct {
	memory  *ListMemory
	req     *http.Request
	weight  int64    // of an object, 0 before it is known
	account *account // where held is from
	held    int64
	refusal error
	release func() // of what was read
}

// whenDone has release called when the request has been answered.
func (a *admission) whenDone(release func()) {
	if a != nil {
		a.release = release
	}
}

func (a *admission) done() {
	if a.release != nil {
		a.release()
	}
	if a.account != nil {
		a.memory.mu.Lock()
		defer a.memory.mu.Unlock()
		a.account.held -= a.held
	}
}

// Admit implements store.Admission.
func (a *admission) Admit(objects, all int) bool {
	if a.weight == 0 {
		a.weight = weigh(a.req)
	}
	m := a.memory
	part := &m.small
	if largeShare*objects > all {
		part = &m.large
	}
	bytes := int64(objects) * a.weight
	// What is written straight from what was read is admitted alone at least: some
	// clients can do nothing but list all.
	if a.weight != readWeight && bytes > part.limit {
		a.refuse(apierrors.NewBadRequest(fmt.Sprintf("the server's memory limit leaves %d bytes for lists, and this one of %d objects would take about %d in this format: ask for pages with limit, for less with selectors, or for JSON that is not pretty, or protobuf",
			part.limit, objects, bytes)))
		return false
	}
	m.mu.Lock()
	if a.account != nil { // the list grows, and may have become a large one
		a.account.held -= a.held
		a.account, a.held = nil, 0
	}
	held, ok := part.take(bytes)
	if ok {
		a.account, a.held = part, held
	}
	m.mu.Unlock()
	if !ok {
		a.refuse(apierrors.NewTooManyRequests("the lists that are being answered take all the memory that there is for them: try again later, or ask for less with selectors or limit", retryAfter))
	}
	return ok
}

// refuse counts and logs that the list is refused.
func (a *admission) refuse(why error) {
	a.refusal = why
	resource, name := "", ""
	if info, ok := genericapirequest.RequestInfoFrom(a.req.Context()); ok {
		resource = info.Resource
	}
	if user, ok := genericapirequest.UserFrom(a.req.Context()); ok {
		name = user.GetName()
	}
	a.memory.metrics.refused.WithLabelValues(resource).Inc()
	klog.V(1).InfoS("Refused a list", "resource", resource, "user", name, "userAgent", a.req.UserAgent(), "reason", why)
}

// negotiable is what all resources let clients ask for.
var negotiable = &handlers.RequestScope{TableConvertor: &podStorage{}, MetaGroupVersion: metav1.SchemeGroupVersion}

// weigh returns the weight of an object in the format that a request asks for.
func weigh(req *http.Request) int64 {
	media, info, err := negotiation.NegotiateOutputMediaType(req, Codecs, negotiable)
	if err != nil {
		return readWeight // it is answered with that error
	}
	_, direct := encodings[Codecs.EncoderForVersion(info.Serializer, v1.SchemeGroupVersion).Identifier()]
	switch {
	case info.MediaType == runtime.ContentTypeYAML:
		return yamlWeight
	case !direct:
		return encodedWeight
	case media.Convert != nil:
		return convertedWeight
	}
	return readWeight
}
