// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

// checkServer looks at the pods of the metrics server.
func (c *checker) checkServer(ctx context.Context, s *Step) {
	in := &c.installation
	switch {
	case in.outside() && len(in.pods) == 0:
		s.fact("the Service leads to a server that is not in pods of its own selection")
	case in.podsErr != nil:
		unseen(s, "the metrics server's pods", in.podsErr)
	case len(in.pods) == 0:
		c.explainNoPods(s)
	}
	if d := in.deployment(); d != nil && sourceOf(d) != "" {
		s.fact("Deployment %s comes from %s: changes by hand to it, its Service, its APIServices and its rights are undone by the next update unless they are made there, too",
			d.Name, sourceOf(d))
	}
	for i := range in.pods {
		c.checkServerPod(ctx, s, &in.pods[i])
	}
	c.checkServerView(s)
}

// checkServerView is what the server says of itself.
func (c *checker) checkServerView(s *Step) {
	if !c.view.known {
		if c.view.unknown != "" {
			s.skip("what the server itself knows: %s", c.view.unknown)
		}
		return
	}
	server := c.view.status.Server
	s.fact("%s has version %s, and runs since %s", plain(server.Name), plain(server.Version), date(server.Started))
	for _, check := range c.view.status.Checks {
		if check.Message != "" {
			s.find(codeServerNotReady, "pod/"+server.Name, fmt.Sprintf("%s: %s", plain(check.Name), plain(check.Message)), c.logs(""))
		}
	}
}

func (c *checker) logs(pod string) string {
	if pod == "" {
		return command("kubectl -n %s logs --selector=%s --tail=100", c.Service.Namespace, c.selector())
	}
	return command("kubectl -n %s logs %s --tail=100", c.Service.Namespace, pod)
}

// explainNoPods goes by the Deployment.
func (c *checker) explainNoPods(s *Step) {
	in := &c.installation
	if in.deploymentsErr != nil {
		unseen(s, "the metrics server's Deployment", in.deploymentsErr)
		return
	}
	d := in.deployment()
	if d == nil {
		s.find(codeServerMissing, "namespace/"+c.Service.Namespace, "there is no pod and no Deployment of a metrics server in namespace "+c.Service.Namespace,
			comment("in the folder of the sources, or with helm and the chart:"),
			"kubectl apply -k manifests/base",
			comment("or say where it is with --namespace and --service"))
		return
	}
	object, namespace := "deployment/"+d.Name, c.Service.Namespace
	if d.Spec.Replicas != nil && *d.Spec.Replicas == 0 {
		s.find(codeServerScaled, object, fmt.Sprintf("Deployment %s has 0 replicas", d.Name),
			append(inSource(d, "a replica"), command("kubectl -n %s scale deployment %s --replicas=1", namespace, d.Name))...)
		return
	}
	seen := fmt.Sprintf("Deployment %s has no pods", d.Name)
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			seen += ": " + plain(condition.Reason+": "+condition.Message)
		}
	}
	if strings.Contains(seen, "error looking up service account") {
		s.find(codeAccountMissing, object, seen, mendAccount(c.account))
		return
	}
	s.find(codeServerPods, object, seen, command("kubectl -n %s describe replicasets --selector=%s", namespace, c.selector()))
}

func mendAccount(account types.NamespacedName) string {
	return command("kubectl -n %s create serviceaccount %s", account.Namespace, account.Name)
}

// checkServerPod says why a pod of the server does not serve.
func (c *checker) checkServerPod(ctx context.Context, s *Step, p *corev1.Pod) {
	object := "pod/" + p.Name
	describe := command("kubectl -n %s describe pod %s", p.Namespace, p.Name)
	if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed && p.Status.Reason == "Evicted" {
		return // another takes its place
	}
	if condition := podCondition(p, corev1.PodScheduled); condition != nil && condition.Status == corev1.ConditionFalse {
		s.find(codeUnschedulable, object, plain(condition.Reason+": "+condition.Message), describe,
			comment("make room on a node, or let the pod tolerate what keeps it away"))
		return
	}
	for _, status := range p.Status.ContainerStatuses {
		if c.checkContainer(s, p, &status, describe) {
			return
		}
	}
	switch condition := podCondition(p, corev1.PodReady); {
	case condition != nil && condition.Status == corev1.ConditionTrue:
		s.fact("pod %s on node %s is ready", p.Name, p.Spec.NodeName)
	case p.Status.Phase == corev1.PodPending:
		s.find(codeServerPending, object, "it is pending: "+plain(p.Status.Reason+" "+p.Status.Message), describe)
	default:
		seen := "it runs and is not ready"
		if condition != nil && condition.Message != "" {
			seen += ": " + plain(condition.Message)
		}
		if failed := c.failedChecks(ctx, p); failed != "" {
			seen += "; of its /readyz fails: " + failed
		}
		s.find(codeServerNotReady, object, seen, c.logs(p.Name))
	}
}

func podCondition(p *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// checkContainer tells whether a container is why a pod does not serve.
func (c *checker) checkContainer(s *Step, p *corev1.Pod, status *corev1.ContainerStatus, describe string) bool {
	object, waiting := "pod/"+p.Name, status.State.Waiting
	ended := status.LastTerminationState.Terminated
	if status.State.Terminated != nil {
		ended = status.State.Terminated
	}
	if ended != nil && ended.Reason == "OOMKilled" && (waiting != nil || !status.Ready) {
		s.find(codeServerMemory, object, fmt.Sprintf("container %s was killed for its memory, and restarted %d times", status.Name, status.RestartCount),
			append(inSource(c.installation.deployment(), "the resources"),
				command("kubectl -n %s set resources deployment %s --containers=%s ", p.Namespace, c.deploymentName(), status.Name)+moreMemory(p, status.Name))...)
		return true
	}
	if waiting == nil {
		return false
	}
	seen := fmt.Sprintf("container %s waits: %s: %s", status.Name, plain(waiting.Reason), plain(waiting.Message))
	switch waiting.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable":
		s.find(codeServerImage, object, fmt.Sprintf("%s (image %s)", seen, plain(status.Image)), describe,
			comment("correct the image, or let the node pull it"),
			command("kubectl -n %s set image deployment/%s %s=IMAGE", p.Namespace, c.deploymentName(), status.Name))
	case "CrashLoopBackOff":
		if ended != nil {
			seen += fmt.Sprintf("; it ended last with exit code %d: %s", ended.ExitCode, plain(ended.Reason+" "+ended.Message))
		}
		s.find(codeServerCrashes, object, seen, command("kubectl -n %s logs %s --previous --tail=20", p.Namespace, p.Name))
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		s.find(codeServerContainer, object, seen, describe)
	default: // ContainerCreating and the like
		s.find(codeServerPending, object, seen, describe)
	}
	return true
}

// moreMemory are the arguments that give a container twice the memory, and no less than 1Gi.
// One without a limit, which fell to others of its node, has more by a request.
func moreMemory(p *corev1.Pod, container string) string {
	enough := resource.MustParse("1Gi")
	var resources corev1.ResourceRequirements
	for i := range p.Spec.Containers {
		if p.Spec.Containers[i].Name == container {
			resources = p.Spec.Containers[i].Resources
		}
	}
	limit, limited := resources.Limits[corev1.ResourceMemory]
	twice := limit.DeepCopy()
	if !limited {
		twice = resources.Requests.Memory().DeepCopy()
	}
	twice.Add(twice)
	if twice.Cmp(enough) < 0 {
		twice = enough
	}
	amount := twice.String()
	if !limited {
		return "--requests=memory=" + amount
	}
	return "--limits=memory=" + amount + " --requests=memory=" + amount
}

// failedChecks asks a pod through the API server which of its checks fail. It needs no
// credentials for that.
func (c *checker) failedChecks(ctx context.Context, p *corev1.Pod) string {
	answer, err := c.get(ctx, fmt.Sprintf("/api/v1/namespaces/%s/pods/https:%s:%d/proxy/readyz?verbose", p.Namespace, p.Name, c.podPort(p)), nil)
	if err != nil {
		return ""
	}
	var failed []string
	for line := range strings.Lines(string(answer.body)) {
		if name, ok := strings.CutPrefix(line, "[-]"); ok {
			failed = append(failed, plain(name))
		}
	}
	return strings.Join(failed, "; ")
}
