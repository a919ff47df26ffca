// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemeter/metrics-server/pkg/exposition"
	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/status"
	"github.com/kubemeter/metrics-server/pkg/store"
)

// askers is how many kubelets are asked at a time.
const askers = 16

// node is what counts of one.
type node struct {
	kubelet.Node
	notReady string // why, "" if it is ready
}

func (n *node) object() string { return "node/" + n.Name }

func newNode(n *corev1.Node) node {
	of := node{Node: kubelet.Node{
		Name: n.Name, Addresses: n.Status.Addresses, Hostname: n.Labels[corev1.LabelHostname],
		Port: n.Status.DaemonEndpoints.KubeletEndpoint.Port, MetricsPath: n.Annotations[kubelet.MetricsPathAnnotation],
	}, notReady: "it has no condition Ready"}
	for _, condition := range n.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			continue
		}
		of.notReady = ""
		if condition.Status != corev1.ConditionTrue {
			of.notReady = plain(condition.Reason + ": " + condition.Message)
		}
	}
	return of
}

// checkNodes looks at all nodes, or at the one that was asked for.
func (c *checker) checkNodes(ctx context.Context, s *Step) {
	nodes, ok := c.listNodes(ctx, s)
	if !ok {
		return
	}
	c.checkVerification(s)
	c.checkCredentials(s)
	for i := range nodes {
		if nodes[i].notReady != "" {
			s.find(codeNodeNotReady, nodes[i].object(), nodes[i].notReady, command("kubectl describe node %s", nodes[i].Name))
		}
	}
	c.judgeNodes(ctx, s, c.checkAddresses(s, nodes))
}

// listNodes are those that the server is to scrape.
func (c *checker) listNodes(ctx context.Context, s *Step) (nodes []node, ok bool) {
	if c.Node != "" {
		n, err := c.client.CoreV1().Nodes().Get(ctx, c.Node, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			s.find(codeNodeMissing, "node/"+c.Node, "there is no node "+c.Node, "kubectl get nodes")
			return nil, false
		case err != nil:
			unseen(s, "node "+c.Node, err)
			return nil, false
		}
		if !c.selectsNode(n.Labels) {
			s.find(codeNodeNotServed, "node/"+c.Node, fmt.Sprintf("the server's --node-selector %s leaves it out", c.flags.NodeSelector),
				comment("change --node-selector, or label the node as it wants"))
		}
		return []node{newNode(n)}, true
	}
	left := 0
	err := pages(ctx, metav1.ListOptions{}, c.client.CoreV1().Nodes().List, func(l *corev1.NodeList) {
		for i := range l.Items {
			if !c.selectsNode(l.Items[i].Labels) {
				left++
				continue
			}
			nodes = append(nodes, newNode(&l.Items[i]))
		}
	})
	if err != nil {
		unseen(s, "nodes", err)
		return nil, false
	}
	if left > 0 {
		s.fact("%d nodes are left out by the server's --node-selector %s", left, c.flags.NodeSelector)
	}
	if len(nodes) == 0 {
		s.fact("there are no nodes to scrape")
	}
	return nodes, true
}

func (c *checker) selectsNode(l map[string]string) bool {
	return c.flags.NodeSelector == nil || c.flags.NodeSelector.Matches(labels.Set(l))
}

// checkVerification tells of what was meant for a test cluster.
func (c *checker) checkVerification(s *Step) {
	if !c.flagsKnown {
		return
	}
	var flag string
	switch k := c.flags.Kubelet; {
	case k.Insecure:
		flag = "--deprecated-kubelet-completely-insecure"
	case k.Client != nil && k.Client.Insecure:
		flag = "--kubelet-insecure-tls"
	default:
		return
	}
	s.find(codeKubeletsTrusted, "deployment/"+c.deploymentName(), "the server runs with "+flag,
		comment("remove %s, after kubelets have certificates of the cluster: set serverTLSBootstrap: true in their configuration, and approve:", flag),
		"kubectl get csr --field-selector=spec.signerName=kubernetes.io/kubelet-serving")
}

// checkCredentials finds a server that sends its own credentials to kubelets.
func (c *checker) checkCredentials(s *Step) {
	own := c.flags.UsesServerCredentials || c.flags.KubeletServiceAccount == c.account
	if !c.flagsKnown || !own || !c.ours(s, "which credentials it sends to kubelets") {
		return
	}
	account := types.NamespacedName{Namespace: c.account.Namespace, Name: c.account.Name + "-kubelet"}
	// What it takes to show them another account's tokens.
	after := *c
	after.flags.KubeletServiceAccount = account
	commands := []string{
		comment("create a ServiceAccount that may only read kubelets' metrics, as the chart and the manifests of this version do:"),
		mendAccount(account) + " --dry-run=client -o yaml | kubectl apply -f -",
		after.reconcile(after.kubeletRole(), after.rights()),
		after.reconcile(after.tokenRole(), after.rights()),
	}
	s.find(codeOwnToken, "deployment/"+c.deploymentName(), "the server runs without --kubelet-client-certificate, and without --kubelet-service-account for another ServiceAccount than its own",
		append(commands, c.setFlag("kubelet-service-account", account.String())...)...)
}

// checkAddresses returns the nodes that the server can connect to, and finds the others.
func (c *checker) checkAddresses(s *Step, nodes []node) (reachable []node) {
	client, err := c.endpoints()
	if err != nil {
		s.skip("the nodes' addresses: %v", err)
		return nodes
	}
	defer client.Close()
	for _, n := range nodes {
		endpoint, err := client.Endpoint(n.Node)
		if err != nil {
			var failure *kubelet.Error
			if errors.As(err, &failure) {
				s.find(kubeletCode(string(failure.Reason)), n.object(), plain(failure.Err.Error()), c.mendKubelet(n.Name, string(failure.Reason))...)
			}
			continue
		}
		endpoint.Close()
		reachable = append(reachable, n)
	}
	return reachable
}

// verdict is what is known of a node without asking its kubelet.
type verdict uint8

const (
	verdictOK verdict = iota
	// verdictFound is a node with a finding.
	verdictFound
	// verdictUnknown is one of which only the kubelet can tell.
	verdictUnknown
	// verdictNew is one that has not been scraped twice yet.
	verdictNew
)

// judgeNodes goes by what the server says of each node, by the metrics API otherwise, and by
// kubelets where neither tells.
func (c *checker) judgeNodes(ctx context.Context, s *Step, nodes []node) {
	if len(nodes) == 0 {
		return
	}
	verdicts, findings := make([]verdict, len(nodes)), make([]Step, len(nodes))
	c.each(ctx, len(nodes), func(ctx context.Context, i int) {
		verdicts[i] = c.judgeNode(ctx, &findings[i], &nodes[i])
	})
	count := map[verdict]int{}
	var unknown []int
	for i, v := range verdicts {
		count[v]++
		if v == verdictUnknown || c.Node != "" {
			unknown = append(unknown, i)
		}
	}
	for i := range findings {
		s.Findings = append(s.Findings, findings[i].Findings...)
		s.Facts = append(s.Facts, findings[i].Facts...)
	}
	if count[verdictOK] > 0 && c.Node == "" {
		s.fact("%d of %d nodes are scraped and served", count[verdictOK], len(nodes))
	}
	if count[verdictNew] > 0 {
		s.fact("nodes that have just come, and are served when they have been scraped twice: %d", count[verdictNew])
	}
	c.askKubelets(ctx, s, nodes, unknown, verdicts)
}

// each calls f for 0 to n-1, many at a time.
func (c *checker) each(ctx context.Context, n int, f func(context.Context, int)) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askers)
	var done atomic.Int64
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			f(ctx, i)
			c.progress.say(int(done.Add(1)), n)
			return nil
		})
	}
	_ = group.Wait() // none returns an error
}

func (c *checker) judgeNode(ctx context.Context, s *Step, n *node) verdict {
	if c.view.known {
		if of := c.view.nodes[n.Name]; of != nil {
			return c.judgeView(s, n, of)
		}
	}
	if !c.metricsWork {
		return verdictUnknown
	}
	if u, ok := c.usage[n.Name]; ok {
		if c.isOld(u.Timestamp) {
			c.findOld(s, n, u.Timestamp, "")
			return verdictFound
		}
		return verdictOK
	}
	u, message, err := c.explain(ctx, "/nodes/"+n.Name)
	switch {
	case err != nil:
		return verdictUnknown
	case u != nil: // it is served by now
		return verdictOK
	}
	return c.judgeMessage(s, n, message)
}

// oldAfter is the age of a sample that should have been followed by another: a scrape may
// be late, and a kubelet's samples are up to 10 s old when it is asked.
func (c *checker) oldAfter() time.Duration { return 2*c.flags.Resolution + 15*time.Second }

// maxAhead is by how much clocks differ at most where somebody sets them.
const maxAhead = 10 * time.Second

// isOld tells whether a sample should have been followed by another, or is of the future.
func (c *checker) isOld(sample time.Time) bool {
	age := c.Clock.Now().Sub(sample)
	return age > c.oldAfter() || age < -maxAhead
}

// findOld finds a node with a sample that isOld. message is what the server says, if it
// says something.
func (c *checker) findOld(s *Step, n *node, sample time.Time, message string) {
	code, seen := codeNodeOld, plain(message)
	if !sample.IsZero() {
		if seen != "" {
			seen += "; "
		}
		seen += c.oldText(sample)
	}
	if sample.Sub(c.Clock.Now()) > maxAhead {
		code = codeNodeClock
	}
	s.find(code, n.object(), seen, c.mendOld(n.Name)...)
}

func (c *checker) oldText(sample time.Time) string {
	age := c.Clock.Now().Sub(sample).Round(time.Second)
	if age < 0 {
		return fmt.Sprintf("its newest sample is of %s, %s in the future", date(sample), -age)
	}
	return fmt.Sprintf("its newest sample is of %s, %s ago", date(sample), age)
}

func (c *checker) mendOld(name string) []string {
	return []string{
		comment("on node %s, compare the clock (timedatectl) with that of the server's node, and restart the kubelet, whose samples have stopped:", word(name)),
		restartKubelet,
	}
}

func (c *checker) mendIncomplete(name string) []string {
	return []string{
		command("kubectl get --raw %s | grep -c -e cpu_usage -e working_set", "/api/v1/nodes/"+name+"/proxy/metrics/resource"),
		comment("on node %s, update the container runtime, and restart it and the kubelet, which gets its figures from it:", word(name)),
		"sudo systemctl restart containerd kubelet",
	}
}

// judgeView goes by what the server knows.
func (c *checker) judgeView(s *Step, n *node, of *status.Node) verdict {
	left := of.CertificateExpires.Sub(c.Clock.Now())
	if !of.CertificateExpires.IsZero() && left > 0 && left < expiresSoon {
		s.find(codeCertExpiring, n.object(), "its kubelet's serving certificate expires on "+date(of.CertificateExpires),
			c.mendKubelet(n.Name, string(kubelet.ReasonTLSExpired))...)
	}
	age := ""
	if !of.Sample.IsZero() {
		age = "; " + c.oldText(of.Sample)
	}
	switch of.State {
	case status.StateFailing:
		s.find(kubeletCode(of.Reason), n.object(), plain(of.Message)+age, c.mendKubelet(n.Name, of.Reason)...)
	case status.StateWithheld:
		if reason := store.Reason(of.Reason); reason == store.Incomplete {
			s.find(codeNodeIncomplete, n.object(), plain(of.Message), c.mendIncomplete(n.Name)...)
		} else {
			c.findOld(s, n, of.Sample, of.Message)
		}
	case status.StateNew:
		return verdictNew
	case status.StatePartial:
		s.find(codeNodeRefused, n.object(), fmt.Sprintf("what it reports is left out in part (%s): %s", of.Reason, plain(of.Message)), c.mendRefused(n.Name, of.Reason)...)
	default:
		if of.Served && c.isOld(of.Sample) {
			c.findOld(s, n, of.Sample, "")
			break
		}
		if c.Node != "" {
			s.fact("the server scrapes %s, last on %s in %.3f s, and serves it with %d pods", of.Address, date(of.LastSuccess), of.Duration, of.PodsServed)
		}
		return verdictOK
	}
	return verdictFound
}

func (c *checker) mendRefused(name, reason string) []string {
	switch reason {
	case exposition.RejectedOtherNode.String(), exposition.RejectedNotListed.String():
		return []string{
			comment("look for pods on node %s that were deleted by force, and remove what is left of them:", word(name)),
			"sudo crictl pods",
		}
	case exposition.RejectedTimestamp.String():
		return c.mendOld(name)
	}
	return c.mendIncomplete(name)
}

// judgeMessage goes by what the metrics API says of a node that it has not.
func (c *checker) judgeMessage(s *Step, n *node, message string) verdict {
	if failure, ok := failureIn(message); ok {
		reason := reasonIn(failure)
		s.find(kubeletCode(reason), n.object(), failure, c.mendKubelet(n.Name, reason)...)
		return verdictFound
	}
	switch reason, _ := first(message, withheldTexts); reason {
	case store.Incomplete:
		s.find(codeNodeIncomplete, n.object(), message, c.mendIncomplete(n.Name)...)
	case store.Stale:
		c.findOld(s, n, sampleIn(message), message)
	case store.NoWindow:
		return verdictNew
	default:
		return verdictUnknown
	}
	return verdictFound
}

// askKubelets asks those of which nothing is known, or the one that the user wants to know of.
func (c *checker) askKubelets(ctx context.Context, s *Step, nodes []node, which []int, verdicts []verdict) {
	if len(which) == 0 {
		return
	}
	asker, end, err := c.newAsker(ctx)
	if err != nil {
		s.skip("%d kubelets: %s", len(which), plain(err.Error()))
		for _, i := range which {
			c.notAsked(s, &nodes[i], verdicts[i])
		}
		return
	}
	defer end()
	var mu sync.Mutex // of s and what follows
	good, blocked := 0, []string{}
	why := ""
	c.each(ctx, len(which), func(ctx context.Context, i int) {
		n := &nodes[which[i]]
		found := Step{}
		err := c.askKubelet(ctx, &found, asker, n, verdicts[which[i]])
		mu.Lock()
		defer mu.Unlock()
		s.Findings, s.Facts = append(s.Findings, found.Findings...), append(s.Facts, found.Facts...)
		switch {
		case err != nil:
			blocked, why = append(blocked, n.Name), err.Error()
			c.notAsked(s, n, verdicts[which[i]])
		case len(found.Findings) == 0:
			good++
		}
	})
	if good > 0 && c.Node == "" {
		s.fact("%d of %d kubelets that were asked answer soundly (%s)", good, len(which), asker.way())
	}
	if len(blocked) > 0 {
		slices.Sort(blocked)
		more := ""
		if len(blocked) > maxNamed {
			more = fmt.Sprintf(" and %d more", len(blocked)-maxNamed)
		}
		s.skip("kubelets of %s%s: %s", strings.Join(blocked[:min(len(blocked), maxNamed)], ", "), more, plain(why))
	}
}

// notAsked is about a node whose kubelet could not be asked, after all else is known of it.
func (c *checker) notAsked(s *Step, n *node, known verdict) {
	switch {
	case known != verdictUnknown:
	case c.metricsWork:
		s.find(codeNodeNotServed, n.object(), "the metrics API has nothing of it, and does not say why; its kubelet could not be asked", c.logs(""))
	default:
		s.open = true
	}
}

// askKubelet looks at a kubelet's answer. The error is that it could not be asked.
func (c *checker) askKubelet(ctx context.Context, s *Step, asker asker, n *node, known verdict) error {
	got, err := asker.ask(ctx, n.Node)
	var refusal *refusal
	switch {
	case errors.As(err, &refusal):
		if known != verdictFound { // else the server has said why
			s.find(kubeletCode(refusal.reason), n.object(), fmt.Sprintf("%s (%s)", refusal.text, asker.way()), c.mendKubelet(n.Name, refusal.reason)...)
		}
		return nil
	case err != nil:
		return err
	}
	if missing := missingFamilies(got.samples); missing != "" {
		if known != verdictFound {
			s.find(codeNodeIncomplete, n.object(), fmt.Sprintf("its kubelet's answer lacks %s (%s)", missing, asker.way()), c.mendIncomplete(n.Name)...)
		}
		return nil
	}
	sample := time.Unix(0, got.samples.Node.Time)
	if c.isOld(sample) && known != verdictFound {
		c.findOld(s, n, sample, "")
		return nil
	}
	if c.Node != "" {
		s.fact("its kubelet (%s) answers with %d containers as %s; the node's sample is of %s", asker.way(), len(got.samples.Containers), got.format, date(sample))
	}
	if known == verdictUnknown && c.metricsWork {
		s.find(codeNodeNotServed, n.object(), fmt.Sprintf("the metrics API has nothing of it, and does not say why; its kubelet answers (%s)", asker.way()), c.logs(""))
	}
	return nil
}

// missingFamilies names what an answer lacks of its node, or of all of its containers.
func missingFamilies(samples *exposition.Samples) string {
	var missing []string
	lacks := func(has exposition.Fields, cpu, memory string) {
		if has&exposition.HasCPU == 0 {
			missing = append(missing, cpu)
		}
		if has&exposition.HasMemory == 0 {
			missing = append(missing, memory)
		}
	}
	lacks(samples.Node.Has, "node_cpu_usage_seconds_total", "node_memory_working_set_bytes")
	if len(samples.Containers) > 0 {
		var has exposition.Fields
		for i := range samples.Containers {
			has |= samples.Containers[i].Has
		}
		lacks(has, "container_cpu_usage_seconds_total", "container_memory_working_set_bytes")
	}
	return strings.Join(missing, ", ")
}
