// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package tokenrequest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
)

var name = types.NamespacedName{Namespace: "kube-system", Name: "metrics-server-kubelet"}

var errForbidden = apierrors.NewForbidden(schema.GroupResource{Resource: "serviceaccounts/token"}, name.Name, errors.New("no RBAC policy matched"))

// fakeAPI issues the tokens "token-1", "token-2" and so on, or fails.
type fakeAPI struct {
	mu       sync.Mutex
	lifetime time.Duration // 0: as requested
	err      error
	token    string // "" for another one each time
	dead     bool   // the API server does not accept the last token
	reviews  int
	requests []*authenticationv1.TokenRequest
}

func (f *fakeAPI) set(change func(f *fakeAPI)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeAPI) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

func (f *fakeAPI) react(action clienttesting.Action) (bool, runtime.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	create := action.(clienttesting.CreateActionImpl)
	if create.GetSubresource() != "token" || create.Name != name.Name || create.Namespace != name.Namespace {
		return true, nil, fmt.Errorf("unexpected request %+v", create)
	}
	request := create.GetObject().(*authenticationv1.TokenRequest).DeepCopy()
	f.requests = append(f.requests, request)
	if f.err != nil {
		return true, nil, f.err
	}
	if f.lifetime != 0 {
		request.Spec.ExpirationSeconds = ptr.To(int64(f.lifetime / time.Second))
	}
	f.dead = false
	request.Status.Token = cmp.Or(f.token, fmt.Sprint("token-", len(f.requests)))
	return true, request, nil
}

func (f *fakeAPI) review(action clienttesting.Action) (bool, runtime.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reviews++
	if f.err != nil {
		return true, nil, f.err
	}
	review := action.(clienttesting.CreateActionImpl).GetObject().(*authenticationv1.TokenReview).DeepCopy()
	review.Status.Authenticated = !f.dead && review.Spec.Token == fmt.Sprint("token-", len(f.requests))
	return true, review, nil
}

func newSource(f *fakeAPI) *Source {
	client := fake.NewClientset()
	client.PrependReactor("create", "serviceaccounts", f.react)
	client.PrependReactor("create", "tokenreviews", f.review)
	return New(client, name, clock.RealClock{})
}

// run runs a Source in a bubble, whose time passes when all of it waits.
func run(t *testing.T, test func(t *testing.T, f *fakeAPI, s *Source)) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAPI{}
		s := newSource(f)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		if _, err := s.Token(); err == nil {
			t.Error("there is a token before the first request")
		}
		go func() {
			s.Run(ctx)
			close(ended)
		}()
		synctest.Wait()
		test(t, f, s)
		cancel()
		<-ended
	})
}

func expectToken(t *testing.T, s *Source, want string) {
	t.Helper()
	if got, err := s.Token(); got != want || err != nil {
		t.Errorf("the token is %q, %v, want %q", got, err, want)
	}
}

func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestTokenIsRenewedBeforeItExpires(t *testing.T) {
	run(t, func(t *testing.T, f *fakeAPI, s *Source) {
		s.WaitFirst(t.Context())
		expectToken(t, s, "token-1")
		var request authenticationv1.TokenRequestSpec
		f.set(func(f *fakeAPI) { request = f.requests[0].Spec })
		if *request.ExpirationSeconds != 3600 || len(request.Audiences) != 0 || request.BoundObjectRef != nil {
			t.Errorf("requested %+v", request)
		}
		sleep(41 * time.Minute)
		expectToken(t, s, "token-1")
		sleep(8 * time.Minute)
		expectToken(t, s, "token-2")
		sleep(24 * time.Hour)
		if n := f.count(); n < 30 || n > 37 {
			t.Errorf("%d requests in a day, want one each 42 to 48 minutes", n)
		}
	})
}

func TestShorterLifetimeOfTheAPIServer(t *testing.T) {
	run(t, func(t *testing.T, f *fakeAPI, s *Source) {
		f.set(func(f *fakeAPI) { f.lifetime = 10 * time.Minute })
		sleep(49 * time.Minute)
		for range 100 {
			if _, err := s.Token(); err != nil {
				t.Fatal(err)
			}
			sleep(time.Minute)
		}
	})
}

// A token that lives longer than it was asked to is not used longer.
func TestLongerLifetimeOfTheAPIServer(t *testing.T) {
	run(t, func(t *testing.T, f *fakeAPI, s *Source) {
		f.set(func(f *fakeAPI) { f.lifetime = 365 * 24 * time.Hour })
		sleep(49 * time.Minute)
		expectToken(t, s, "token-2")
		sleep(49 * time.Minute)
		expectToken(t, s, "token-3")
	})
}

func TestFailuresLeaveTheTokenUntilItExpires(t *testing.T) {
	run(t, func(t *testing.T, f *fakeAPI, s *Source) {
		f.set(func(f *fakeAPI) { f.err = errForbidden })
		sleep(59 * time.Minute)
		expectToken(t, s, "token-1")
		if n := f.count(); n < 20 || n > 60 {
			t.Errorf("%d requests in 11 to 17 minutes, want one each 30 s", n)
		}
		sleep(2 * time.Minute)
		token, err := s.Token()
		if err == nil || !strings.Contains(err.Error(), "there is no token of ServiceAccount kube-system/metrics-server-kubelet") ||
			!strings.Contains(err.Error(), "needs the verb create on serviceaccounts/token, resourceNames: [metrics-server-kubelet], in namespace kube-system") {
			t.Errorf("got %q, %v", token, err)
		}
		f.set(func(f *fakeAPI) { f.err = nil })
		sleep(37 * time.Second)
		expectToken(t, s, fmt.Sprint("token-", f.count()))
	})
}

func TestMissingServiceAccount(t *testing.T) {
	f := &fakeAPI{err: apierrors.NewNotFound(schema.GroupResource{Resource: "serviceaccounts"}, name.Name)}
	s := newSource(f)
	if _, err := s.Request(t.Context()); err == nil || !strings.Contains(err.Error(), "kubectl -n kube-system create serviceaccount metrics-server-kubelet") {
		t.Errorf("got %v", err)
	}
	if token, err := s.Token(); err == nil {
		t.Errorf("got %q", token)
	}
}

func TestUselessAnswers(t *testing.T) {
	for _, f := range []*fakeAPI{
		{lifetime: -time.Second}, {lifetime: -time.Hour}, {token: " "}, {token: "a b"}, {token: "a\r\nX-Evil: 1"}, {token: "a\x00"},
	} {
		if _, err := newSource(f).Request(t.Context()); err == nil {
			t.Errorf("the token %q, valid for %s, was taken", f.token, f.lifetime)
		}
	}
}

// A ServiceAccount that was deleted and created again has other tokens. What a kubelet says of a token
// that the API server accepts changes nothing, for whatever time it goes on.
func TestRefusedTokenIsReplaced(t *testing.T) {
	run(t, func(t *testing.T, f *fakeAPI, s *Source) {
		for range 3 * 3600 {
			s.Refused()
			sleep(time.Second)
		}
		if n := f.count(); n > 5 {
			t.Errorf("%d requests in 3 hours, want one each 42 to 48 minutes", n)
		}
		f.set(func(f *fakeAPI) {
			if f.reviews < 100 || f.reviews > 180 {
				t.Errorf("%d reviews in 3 hours, want one a minute", f.reviews)
			}
		})
		before := f.count()
		f.set(func(f *fakeAPI) { f.dead = true })
		for range 70 {
			s.Refused()
			sleep(time.Second)
		}
		if n := f.count(); n != before+1 {
			t.Errorf("%d new tokens a minute after the last died, want 1", n-before)
		}
		// An API server that does not answer says nothing of the token.
		f.set(func(f *fakeAPI) { f.err = errForbidden })
		before = f.count()
		for range 300 {
			s.Refused()
			sleep(time.Second)
		}
		if n := f.count(); n != before {
			t.Errorf("%d requests without a reason", n-before)
		}
	})
}
