// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tokenrequest keeps a short-lived token of a ServiceAccount, for servers that must not
// see the token of the program's own ServiceAccount.
//
// The API server issues it (TokenRequest,
// https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/).
// The token is in memory only, and is replaced after 70 to 80 % of its lifetime, about as the kubelet
// does for the tokens of pods.
package tokenrequest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
)

const (
	// Lifetime is the longest that a token is used.
	Lifetime = time.Hour
	// timeout is that of one request.
	timeout = 10 * time.Second
	// After a failure, the next request is firstRetry later. The pause doubles up to maxRetry.
	firstRetry, maxRetry = time.Second, 30 * time.Second
	// minPause is the shortest time between two requests that succeed, and between two reviews of a
	// token that was refused.
	minPause = time.Minute
)

var errNotRequested = errors.New("it has not been requested yet")

// Source keeps a token of one ServiceAccount. It is safe for concurrent use.
type Source struct {
	client  corev1client.ServiceAccountInterface
	name    types.NamespacedName
	clock   clock.WithTicker
	state   atomic.Pointer[state]
	refused chan struct{}
	first   chan struct{} // closed after the first request
	reviews authenticationv1client.TokenReviewInterface
	// reviewed is when the token was requested or reviewed last, in nanoseconds since 1970.
	reviewed atomic.Int64
}

// state is replaced after each request.
type state struct {
	token   string
	expires time.Time // zero if there was no token yet
	err     error     // of the last request
}

// New returns a Source that has requested nothing yet.
func New(client kubernetes.Interface, name types.NamespacedName, clk clock.WithTicker) *Source {
	s := &Source{
		client: client.CoreV1().ServiceAccounts(name.Namespace), reviews: client.AuthenticationV1().TokenReviews(), name: name, clock: clk,
		refused: make(chan struct{}, 1), first: make(chan struct{}),
	}
	s.state.Store(&state{err: errNotRequested})
	return s
}

// Token returns a token that has not expired, or an error that says why there is none.
func (s *Source) Token() (string, error) {
	current := s.state.Load()
	switch {
	case s.clock.Now().Before(current.expires):
		return current.token, nil
	case current.err == nil:
		return "", fmt.Errorf("the token of ServiceAccount %s has expired", s.name)
	}
	return "", fmt.Errorf("there is no token of ServiceAccount %s: %w", s.name, current.err)
}

// Refused reports that a receiver did not accept the token. The ServiceAccount may have been
// deleted and created again, so the API server is asked, at most once a minute, whether the token is
// good, and another one is requested if it is not. A receiver that refuses good tokens changes nothing.
func (s *Source) Refused() {
	if s.clock.Since(time.Unix(0, s.reviewed.Load())) < minPause {
		return
	}
	select {
	case s.refused <- struct{}{}:
	default:
	}
}

// WaitFirst waits until the first request has succeeded or failed, or until ctx ends.
func (s *Source) WaitFirst(ctx context.Context) {
	select {
	case <-s.first:
	case <-ctx.Done():
	}
}

// Run keeps the token until ctx ends.
func (s *Source) Run(ctx context.Context) {
	retry := newRetry()
	for isFirst := true; ctx.Err() == nil; isFirst = false {
		before := s.state.Load().err
		pause, err := s.Request(ctx)
		s.report(ctx, before, err)
		if err != nil {
			pause = retry.Step()
		} else {
			retry = newRetry()
		}
		if isFirst {
			close(s.first)
		}
		s.wait(ctx, pause)
	}
}

// wait waits until another token is due, or until the API server does not accept this one.
func (s *Source) wait(ctx context.Context, pause time.Duration) {
	timer := s.clock.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
			return
		case <-s.refused:
			if s.clock.Since(time.Unix(0, s.reviewed.Load())) < minPause {
				continue // it is about the token of before
			}
			if s.isRefused(ctx) {
				klog.InfoS("The API server does not accept the token for the kubelets any more; requesting another one", "serviceAccount", s.name)
				return
			}
		}
	}
}

// isRefused asks the API server whether it accepts the token. If it does not answer, the token is kept.
func (s *Source) isRefused(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s.reviewed.Store(s.clock.Now().UnixNano())
	review, err := s.reviews.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: s.state.Load().token},
	}, metav1.CreateOptions{})
	return err == nil && !review.Status.Authenticated
}

func newRetry() wait.Backoff {
	return wait.Backoff{Duration: firstRetry, Factor: 2, Jitter: 0.2, Steps: math.MaxInt32, Cap: maxRetry}
}

// Request requests a token once. It returns the time until the next one is due, or why there is no
// new token; the one of before is used until it expires then.
func (s *Source) Request(ctx context.Context) (next time.Duration, err error) {
	before, now := s.state.Load(), s.clock.Now()
	token, lifetime, err := s.issue(ctx)
	s.reviewed.Store(s.clock.Now().UnixNano())
	if err != nil {
		s.state.Store(&state{token: before.token, expires: before.expires, err: err})
		return 0, err
	}
	s.state.Store(&state{token: token, expires: now.Add(lifetime)})
	return max(wait.Jitter(lifetime*7/10, 0.14), minPause), nil
}

// report logs a failure when it begins or changes, and when it ends.
func (s *Source) report(ctx context.Context, before, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil && before != nil:
		klog.InfoS("Got a token for the kubelets", "serviceAccount", s.name)
	case err != nil && (before == nil || before.Error() != err.Error()):
		klog.ErrorS(err, "Cannot get a new token for the kubelets; the last one is used until it expires", "serviceAccount", s.name, "expires", s.state.Load().expires)
	}
}

// issue asks the API server for a token. It may be issued for less than what is asked for.
func (s *Source) issue(ctx context.Context) (token string, lifetime time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := s.client.CreateToken(ctx, s.name.Name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(Lifetime / time.Second))},
	}, metav1.CreateOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return "", 0, fmt.Errorf("%w; the server's ServiceAccount needs the verb create on serviceaccounts/token, resourceNames: [%s], in namespace %s",
			err, s.name.Name, s.name.Namespace)
	case apierrors.IsNotFound(err):
		return "", 0, fmt.Errorf("%w; create it with kubectl -n %s create serviceaccount %s", err, s.name.Namespace, s.name.Name)
	case err != nil:
		return "", 0, err
	}
	lifetime = Lifetime
	if seconds := answer.Spec.ExpirationSeconds; seconds != nil {
		lifetime = time.Duration(min(*seconds, int64(Lifetime/time.Second))) * time.Second
	}
	isNoToken := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	if answer.Status.Token == "" || strings.ContainsFunc(answer.Status.Token, isNoToken) || lifetime <= 0 {
		return "", 0, fmt.Errorf("the API server has issued something else than a token, of %d bytes and for %s", len(answer.Status.Token), lifetime)
	}
	return answer.Status.Token, lifetime, nil
}
