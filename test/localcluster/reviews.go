// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubemeter/metrics-server/test/kubeletsim"
)

// How long an answer of the API server is used, about as a kubelet does. An API
// server that has just started refuses what it will soon allow.
const (
	grantedTTL = time.Minute
	refusedTTL = 5 * time.Second
)

// TokenLog counts the bearer tokens that kubelets are sent. Its method Observe is for Options.ObserveToken.
type TokenLog struct {
	mu   sync.Mutex
	seen map[string]int
}

// Observe counts a token.
func (l *TokenLog) Observe(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]int{}
	}
	l.seen[token]++
}

// Take returns how often each token was sent since the last call.
func (l *TokenLog) Take() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.seen
	l.seen = nil
	return seen
}

// AccountOf returns the name of the ServiceAccount whose token it is, "" if it is none's. It does not
// verify the token.
func AccountOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct{ Sub string }
	if err := json.Unmarshal(payload, &claims); err != nil {
		return ""
	}
	return claims.Sub[strings.LastIndex(claims.Sub, ":")+1:]
}

// reviews asks the API server who a token belongs to and whether its owner may
// read a kubelet's metrics, as a kubelet with webhook authentication and
// authorization does.
type reviews struct {
	ctx    context.Context
	client kubernetes.Interface

	mu    sync.Mutex
	known map[string]review // by token
}

type review struct {
	authenticated, authorized bool
	expires                   time.Time
}

func newReviews(ctx context.Context, client kubernetes.Interface) *reviews {
	return &reviews{ctx: ctx, client: client, known: map[string]review{}}
}

func (r *reviews) authenticate(token string) bool { return r.review(token).authenticated }

// authorize takes any user of a client certificate: only those of tokens are
// looked up.
func (r *reviews) authorize(u kubeletsim.User) bool {
	return u.Token == "" || r.review(u.Token).authorized
}

func (r *reviews) review(token string) review {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known[token]; time.Now().Before(known.expires) {
		return known
	}
	fresh, err := r.ask(token)
	if err != nil {
		// While the API server is away, a kubelet goes on with what it knows.
		return r.known[token]
	}
	r.known[token] = fresh
	return fresh
}

func (r *reviews) ask(token string) (review, error) {
	answer := review{expires: time.Now().Add(refusedTTL)}
	who, err := r.client.AuthenticationV1().TokenReviews().Create(r.ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil || !who.Status.Authenticated {
		return answer, err
	}
	answer.authenticated = true
	user := who.Status.User
	may, err := r.client.AuthorizationV1().SubjectAccessReviews().Create(r.ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, Groups: user.Groups, UID: user.UID,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Resource: "nodes", Subresource: "metrics"},
		},
	}, metav1.CreateOptions{})
	if err != nil || !may.Status.Allowed {
		return answer, err
	}
	answer.authorized, answer.expires = true, time.Now().Add(grantedTTL)
	return answer, nil
}
