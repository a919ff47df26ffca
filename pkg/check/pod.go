// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// checkPod explains one pod: what it does, what is served of it, and what its kubelet says.
func (c *checker) checkPod(ctx context.Context, s *Step) {
	p, err := c.client.CoreV1().Pods(c.Pod.Namespace).Get(ctx, c.Pod.Name, metav1.GetOptions{})
	object := podObject(c.Pod)
	switch {
	case apierrors.IsNotFound(err):
		s.find(codePodMissing, object, fmt.Sprintf("there is no pod %s", c.Pod), command("kubectl -n %s get pods", c.Pod.Namespace))
		return
	case err != nil:
		unseen(s, "pod "+c.Pod.String(), err)
		return
	}
	if p.Status.Phase != corev1.PodRunning {
		s.find(codePodNotRunning, object, "its phase is "+string(p.Status.Phase)+waitingFor(p), command("kubectl -n %s describe pod %s", p.Namespace, p.Name))
		return
	}
	s.fact("it runs on node %s with %d containers, since %s", p.Spec.NodeName, len(p.Spec.Containers), startOf(p))
	served := c.checkPodServed(ctx, s, p)
	c.checkPodNode(ctx, s, p, served)
}

func startOf(p *corev1.Pod) string {
	if p.Status.StartTime == nil {
		return "an unknown time"
	}
	return date(p.Status.StartTime.Time)
}

// waitingFor says what holds up the containers of a pod.
func waitingFor(p *corev1.Pod) string {
	var all []string
	if p.Status.Reason != "" {
		all = append(all, plain(p.Status.Reason+" "+p.Status.Message))
	}
	for _, status := range append(append([]corev1.ContainerStatus{}, p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...) {
		if w := status.State.Waiting; w != nil {
			all = append(all, fmt.Sprintf("container %s waits: %s", status.Name, plain(w.Reason+" "+w.Message)))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return ": " + strings.Join(all, "; ")
}

// checkPodServed asks the metrics API for the pod.
func (c *checker) checkPodServed(ctx context.Context, s *Step, p *corev1.Pod) (served bool) {
	if !c.metricsWork {
		s.unknown("what is served of it: the metrics API does not answer")
		return false
	}
	u, message, err := c.explain(ctx, podPath(c.Pod))
	switch {
	case err != nil:
		s.unknown("what is served of it: %s", plain(err.Error()))
	case u != nil:
		var usage []string
		for _, container := range u.Containers {
			usage = append(usage, fmt.Sprintf("%s: CPU %s, memory %s", plain(container.Name), plain(container.Usage["cpu"]), plain(container.Usage["memory"])))
		}
		s.fact("it is served, as of %s over %s: %s", date(u.Timestamp), u.Window.Duration, strings.Join(usage, "; "))
		return true
	default:
		reason, ok := first(message, withheldTexts)
		switch {
		case ok && reason == store.NoneRunning:
			s.find(codePodNotRunning, podObject(c.Pod), message, command("kubectl -n %s describe pod %s", p.Namespace, p.Name))
		case ok && reason == store.NotListed:
			s.find(codePodNotServed, podObject(c.Pod), message+"; the server does not know of it yet, or may not list pods", c.logs(""))
		default:
			c.findPod(s, c.Pod, p.Spec.NodeName, reason, message)
		}
	}
	return false
}

// checkPodNode looks at the pod's node, and at what its kubelet says of the pod.
func (c *checker) checkPodNode(ctx context.Context, s *Step, p *corev1.Pod, served bool) {
	n, err := c.client.CoreV1().Nodes().Get(ctx, p.Spec.NodeName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		s.find(codeNodeMissing, "node/"+p.Spec.NodeName, fmt.Sprintf("the pod's node %s is gone", p.Spec.NodeName),
			command("kubectl -n %s delete pod %s --force", p.Namespace, p.Name))
		return
	case err != nil:
		unseen(s, "node "+p.Spec.NodeName, err)
		return
	}
	of := newNode(n)
	if !c.selectsNode(n.Labels) {
		s.find(codeNodeNotServed, of.object(), fmt.Sprintf("the server's --node-selector %s leaves the pod's node out", c.flags.NodeSelector),
			comment("change --node-selector, or label the node as it wants"))
		return
	}
	known := verdictOK
	if len(c.checkAddresses(s, []node{of})) == 0 {
		return
	}
	if !served {
		known = c.judgeNode(ctx, s, &of)
	}
	asker, end, err := c.newAsker(ctx)
	if err != nil {
		s.skip("its kubelet: %s", plain(err.Error()))
		return
	}
	defer end()
	got, err := asker.ask(ctx, of.Node)
	var refusal *refusal
	switch {
	case errors.As(err, &refusal):
		if !served && known != verdictFound {
			s.find(kubeletCode(refusal.reason), of.object(), fmt.Sprintf("%s (%s)", refusal.text, asker.way()), c.mendKubelet(of.Name, refusal.reason)...)
		}
	case err != nil:
		s.skip("its kubelet: %s", plain(err.Error()))
	default:
		c.checkPodAnswer(s, p, got, served)
	}
}

// checkPodAnswer holds what a kubelet says of a pod against its containers.
func (c *checker) checkPodAnswer(s *Step, p *corev1.Pod, got *answer, served bool) {
	reported := map[string]exposition.Usage{}
	for _, container := range got.samples.Containers {
		if string(container.Namespace) == p.Namespace && string(container.Pod) == p.Name {
			reported[string(container.Name)] = container.Usage
		}
	}
	for _, status := range p.Status.ContainerStatuses {
		usage, ok := reported[status.Name]
		if !ok {
			if status.State.Running != nil && !served {
				s.find(codePodNotScraped, podObject(c.Pod), fmt.Sprintf("its kubelet's answer has no container %s, which runs", status.Name), c.mendIncomplete(p.Spec.NodeName)...)
			}
			continue
		}
		s.fact("its kubelet says of container %s: %s", status.Name, c.describeUsage(usage))
		if usage.Has&exposition.HasCPU == 0 || usage.Has&exposition.HasMemory == 0 {
			s.find(codePodIncomplete, podObject(c.Pod), fmt.Sprintf("its kubelet's answer lacks the CPU or memory of container %s", status.Name), c.mendIncomplete(p.Spec.NodeName)...)
		}
	}
}

func (c *checker) describeUsage(u exposition.Usage) string {
	if u.Has&(exposition.HasCPU|exposition.HasMemory) != 0 && u.CPU == 0 && u.Memory == 0 {
		return "CPU and memory are 0, so that it counts as not running"
	}
	text := "no CPU"
	if u.Has&exposition.HasCPU != 0 {
		text = fmt.Sprintf("CPU %s in all", time.Duration(u.CPU).Round(time.Millisecond))
	}
	if u.Has&exposition.HasMemory != 0 {
		text += fmt.Sprintf(", memory %d bytes", u.Memory)
	} else {
		text += ", no memory"
	}
	if u.Time != 0 {
		text += fmt.Sprintf(", as of %s", date(time.Unix(0, u.Time)))
	}
	return text
}
