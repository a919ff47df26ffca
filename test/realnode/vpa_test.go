// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/test/cluster"
	"github.com/kubemeter/metrics-server/test/eventually"
	"github.com/kubemeter/metrics-server/test/vpa"
)

const (
	recommendedName, greedyName = "recommended", "greedy"
	// greedyLimit is less than the container takes.
	greedyLimit = 48 << 20
	// enoughSamples are those of about a minute: the kubelet looks at the containers of
	// two pods every 10 to 20 seconds.
	enoughSamples = 10
)

// TestVPA has the recommender of the vertical pod autoscaler read what is served, and
// holds what it recommends against what containers use.
func TestVPA(t *testing.T) {
	// It is deleted after the APIServices: no namespace can be deleted while one of those
	// has no server.
	ensureNamespace(t, namespace)
	// Its log tells of each request.
	s := startServer(t, "--v=3")
	sidecar := container("sidecar", "burn", "20")
	sidecar.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	whole := pod("", container("burn", "burn", "100"), container("hold", "hold", "72"))
	whole.Spec.InitContainers = []corev1.Container{sidecar}
	createDeployment(t, recommendedName, 2, whole.Spec)
	must[string](t)(node.Kubectl(t.Context(), "rollout", "status", "deployment/"+recommendedName, "--namespace="+namespace, "--timeout="+patience.String()))

	r := startRecommended(t, s)
	started := time.Now()
	r.create(t, recommendedName)
	r.waitSamples(t, 1)
	t.Logf("within %.0f s of its start, the recommender has a sample of each container", time.Since(started).Seconds())
	// The recommender hears of what happens to a pod that it has seen.
	hungry := container("hold", "hold", "72")
	hungry.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: *resource.NewQuantity(greedyLimit, resource.BinarySI)}
	createDeployment(t, greedyName, 1, pod("", hungry).Spec)
	r.create(t, greedyName)

	r.waitSamples(t, enoughSamples)
	r.check(t)
	r.checkOutOfMemory(t)
	checkRequests(t, s.Process)
	if all := r.errors(t); len(all) > 0 {
		t.Errorf("the recommender's log has errors:\n%s", strings.Join(all, "\n"))
	}
	r.checkOutage(t, s)
	select {
	case <-r.Exited():
		t.Errorf("the recommender has ended: %v", r.Wait())
	default:
	}
}

func createDeployment(t *testing.T, name string, replicas int32, spec corev1.PodSpec) {
	t.Helper()
	labels := map[string]string{"app": name}
	must[*appsv1.Deployment](t)(node.Client().AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}, metav1.CreateOptions{}))
}

// checkOutOfMemory waits for what is recommended to a container that the kernel ends as
// soon as it starts. The recommender hears of that from the pod's status, and goes by
// 100 MiB more than the limit.
func (r *recommended) checkOutOfMemory(t *testing.T) {
	t.Helper()
	want := vpa.ExpectedMemory(greedyLimit + 100<<20)
	var o *vpa.Object
	eventually.Succeeds(t, patience, func() error {
		o = r.get(t, greedyName)
		if err := o.Provided(); err != nil {
			return err
		}
		if got := float64(o.Status.Recommendation.Containers[0].Target.Memory().Value()); got != want {
			return fmt.Errorf("%v bytes are recommended, want %v:\n%s", got, want, o)
		}
		return nil
	})
	t.Logf("for a container that is out of memory:\n%s", o)
	t.Log(must[string](t)(node.Kubectl(t.Context(), "get", "pod", "--namespace="+namespace, "--output=wide")))
}

// checkOutage kills the server for three of the recommender's intervals. What is
// recommended stays, and goes on from there when there is a server again.
func (r *recommended) checkOutage(t *testing.T, s *server) {
	t.Helper()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	// Once a read has failed, those before have been worked in.
	r.waitFailures(t, 1)
	before, samples := r.get(t, recommendedName), r.samples(t)
	r.waitFailures(t, 4)
	after := r.get(t, recommendedName)
	if !reflect.DeepEqual(before.Status, after.Status) || !slices.Equal(r.samples(t), samples) {
		t.Errorf("while the server is gone, the recommendation has changed from\n%s\nto\n%s", before, after)
	}
	t.Logf("%.0f s after the server was killed, the recommendation of %d samples is as it was; the recommender says:\n%s",
		time.Since(killed).Seconds(), samples, strings.Join(r.errors(t), "\n"))

	config := node.AnonymousConfig()
	config.BearerToken = s.token
	port := must[int](t)(cluster.FreePort())
	back := time.Now()
	process := startProcess(t, config, port, "--v=3")
	if err := node.RegisterAPIServices(t.Context(), port, node.CA().CertPEM()); err != nil {
		t.Fatal(err)
	}
	r.waitSamples(t, slices.Max(samples)+1)
	failures := len(r.errors(t))
	r.waitSamples(t, slices.Max(samples)+enoughSamples/2)
	t.Logf("%.0f s after another server was started, the recommender has %d samples", time.Since(back).Seconds(), r.samples(t))
	r.check(t)
	checkRequests(t, process)
	if all := r.errors(t); len(all) > failures {
		t.Errorf("since the return of the server, the recommender says:\n%s", strings.Join(all[failures:], "\n"))
	}
}

var request = regexp.MustCompile(`I(\d{4} \d\d:\d\d:\d\d\.\d+) .*"HTTP" verb="(\w+)" URI="([^"]*)" latency="[^"]*" userAgent="recommender/.*`)

// checkRequests checks, by the log of a server, that all the recommender asks for is all
// pods.
func checkRequests(t *testing.T, p *cluster.Process) {
	t.Helper()
	all := request.FindAllStringSubmatch(logOf(t, p), -1)
	if len(all) == 0 {
		t.Fatalf("the recommender has asked for nothing:\n%s", logOf(t, p))
	}
	for _, m := range all {
		if m[2] != "LIST" || m[3] != "/apis/metrics.k8s.io/v1beta1/pods" || !strings.Contains(m[0], "resp=200") {
			t.Errorf("the recommender asks: %s", m[0])
		}
	}
	const layout = "0102 15:04:05.000000"
	last := all[len(all)-1]
	length := must[time.Time](t)(time.Parse(layout, last[1])).Sub(must[time.Time](t)(time.Parse(layout, all[0][1])))
	t.Logf("the recommender has read all pods %d times in %s, and nothing else; at last:\n%s", len(all), length, last[0])
}
