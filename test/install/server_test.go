// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/kubeletsim"
	"github.com/kubemeter/metrics-server/test/localcluster"
)

// patience is how long a test waits for what takes some seconds.
const patience = 90 * time.Second

// kubelets are those of a node that serves /metrics/resource, of one that serves
// /stats/summary only, and of one that fails. They ask the API server who may
// read, as kubelets do.
type kubelets struct {
	ca                *kubeletsim.CA
	recent, old, dead *kubeletsim.Node
}

func startKubelets(t *testing.T) kubelets {
	t.Helper()
	ca := must[*kubeletsim.CA](t)(kubeletsim.NewCA("kubelet CA"))
	node := func(name string, subresources ...string) *kubeletsim.Node {
		s := must[*kubeletsim.Simulation](t)(kubeletsim.Start(kubeletsim.Options{
			CA:           ca,
			Authenticate: func(token string) bool { return username(t, token) != "" },
			Authorize: func(u kubeletsim.User) bool {
				for _, s := range subresources {
					if !mayGet(t, username(t, u.Token), s) {
						return false
					}
				}
				return true
			},
		}))
		t.Cleanup(s.Close)
		n := must[*kubeletsim.Node](t)(s.AddNode(name))
		if err := plane.CreateNode(t.Context(), name, n.Address(), int32(s.Port()), nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := plane.Kubectl(context.WithoutCancel(t.Context()), "delete", "node/"+name, "pod/pod-on-"+name); err != nil {
				t.Error(err)
			}
		})
		pod := kubeletsim.Pod{Namespace: "default", Name: "pod-on-" + name, Containers: []kubeletsim.Container{{
			Name: "c", Start: time.Now().Add(-time.Hour), CPU: kubeletsim.Constant(0.1), Memory: kubeletsim.Constant(1 << 20),
		}}}
		if err := errors.Join(n.AddPod(pod), plane.CreatePod(t.Context(), pod.Namespace, pod.Name, name, nil, "c")); err != nil {
			t.Fatal(err)
		}
		return n
	}
	k := kubelets{
		ca: ca, recent: node("recent", "metrics"), dead: node("dead", "metrics"),
		// Its first path is refused before it is not found.
		old: node("old", "metrics", "stats"),
	}
	if err := errors.Join(k.old.SetFaults(kubeletsim.ResourceMetricsNotFound()), k.dead.SetFaults(kubeletsim.Status(http.StatusInternalServerError))); err != nil {
		t.Fatal(err)
	}
	return k
}

// username is "" for a token that is not good.
func username(t *testing.T, token string) string {
	review, err := plane.Client().AuthenticationV1().TokenReviews().Create(context.WithoutCancel(t.Context()),
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return ""
	}
	return review.Status.User.Username
}

func mayGet(t *testing.T, user, subresource string) bool {
	review, err := plane.Client().AuthorizationV1().SubjectAccessReviews().Create(context.WithoutCancel(t.Context()),
		&authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Resource: "nodes", Subresource: subresource},
		}}, metav1.CreateOptions{})
	return err == nil && review.Status.Allowed
}

// installed is a release of the chart with the server that its Deployment would
// run: with the flags and the account of the pod, but as a process.
type installed struct {
	release
	kubelets
	user string // of the account
	port int
	args []string
	// connections are the arguments with which a process reaches what a pod would.
	connections []string
	// starts makes each process' log one of its own.
	starts int
}

var buildServer = sync.OnceValues(func() (string, error) {
	return localcluster.BuildServer(context.Background())
})

func installServer(t *testing.T, values ...string) *installed {
	t.Helper()
	s := &installed{port: must[int](t)(cluster.FreePort()), kubelets: startKubelets(t)}
	s.release = install(t, newest(), append(values, "--set", fmt.Sprint("service.port=", s.port))...)
	s.user = "system:serviceaccount:" + s.namespace + ":metrics-server"

	// No kube-proxy leads a Service to a process.
	kubectl(t, "patch", "service", "metrics-server", "--namespace", s.namespace,
		"--type=merge", `--patch={"spec":{"type":"ExternalName","externalName":"localhost"}}`)

	dir := t.TempDir()
	kubeletCA, token, kubeconfig := filepath.Join(dir, "kubelet-ca.crt"), filepath.Join(dir, "token"), filepath.Join(dir, "kubeconfig")
	writeFile(t, kubeletCA, string(s.ca.PEM()))
	writeFile(t, token, must[string](t)(plane.ServiceAccountToken(t.Context(), s.namespace, "metrics-server")))
	config := plane.AnonymousConfig()
	config.BearerTokenFile = token
	if err := cluster.WriteKubeconfig(kubeconfig, config); err != nil {
		t.Fatal(err)
	}
	d := must[*appsv1.Deployment](t)(plane.Client().AppsV1().Deployments(s.namespace).Get(t.Context(), "metrics-server", metav1.GetOptions{}))
	s.connections = []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--kubelet-certificate-authority=" + kubeletCA, "--bind-address=127.0.0.1",
	}
	s.args = slices.Concat(d.Spec.Template.Spec.Containers[0].Args, s.connections, []string{
		fmt.Sprint("--secure-port=", s.port), "--metric-resolution=10s", "--metric-max-age=20s", "--kubelet-request-timeout=4s",
	})
	return s
}

// start starts the server, which ends with the test or when stop is called.
func (s *installed) start(t *testing.T) (p *cluster.Process, stop func()) {
	t.Helper()
	s.starts++
	p = must[*cluster.Process](t)(plane.StartProcess(fmt.Sprint("metrics-server-", s.starts), must[string](t)(buildServer()), s.args, nil))
	stop = sync.OnceFunc(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return p, stop
}

// waitServed waits until both APIServices are available and both nodes that can be
// scraped are served through the aggregation layer.
func (s *installed) waitServed(t *testing.T, p *cluster.Process) {
	t.Helper()
	client := must[*metricsclient.Clientset](t)(metricsclient.NewForConfig(plane.AdminConfig()))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		select {
		case <-p.Exited():
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := plane.WaitAvailable(ctx); err != nil {
		t.Fatalf("%v\n%s", err, serverLog(t, p))
	}
	eventually.Succeeds(t, patience, func() error {
		nodes, err := client.MetricsV1beta1().NodeMetricses().List(t.Context(), metav1.ListOptions{})
		if err == nil && len(nodes.Items) != 2 {
			err = fmt.Errorf("%d nodes are served", len(nodes.Items))
		}
		return err
	})
}

func serverLog(t *testing.T, p *cluster.Process) string {
	t.Helper()
	return string(must[[]byte](t)(os.ReadFile(p.LogFile())))
}

func read(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return string(body), err
}
