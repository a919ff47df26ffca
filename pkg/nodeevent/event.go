// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package nodeevent

import (
	"fmt"
	"hash/fnv"
	"math/bits"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record/util"

	"github.com/kubemeter/metrics-server/pkg/kubelet"
	"github.com/kubemeter/metrics-server/pkg/scrape"
)

const (
	// Namespace is that of the Events: those about what has no namespace go there.
	Namespace = metav1.NamespaceDefault
	// APIService is the one that Events of an outage are about, the first place to
	// look at where metrics are missing.
	APIService = "v1beta1.metrics.k8s.io"

	// ReasonUnavailable and ReasonAvailable are the reasons of Events.
	ReasonUnavailable = "MetricsUnavailable"
	ReasonAvailable   = "MetricsAvailable"

	controller     = "metrics-server"
	action         = "Scraping"
	apiServiceKind = "APIService"
	// maxNote is how many bytes the API takes, and noteEnd how many of the end stay
	// of a note that has more: that is where it says what to do.
	maxNote, noteEnd = 1024, 500
)

// event is an Event to write, unless it has been written since a time.
type event struct {
	*eventsv1.Event
	since time.Time
}

// newEvent makes an Event whose name is the same for all that have the regarding, the
// reason and the key: the API lets nothing else of an Event change than how often it
// was, and so all of them have to be one.
func (r *Recorder) newEvent(regarding corev1.ObjectReference, since time.Time, reason, key, note string) event {
	hash := fnv.New64a()
	for _, part := range []string{regarding.Kind, regarding.Name, string(regarding.UID), reason, key} {
		hash.Write([]byte(part + "\x00"))
	}
	kind := corev1.EventTypeNormal
	if reason == ReasonUnavailable {
		kind = corev1.EventTypeWarning
	}
	return event{&eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name:      util.GenerateEventName(regarding.Name, int64(hash.Sum64()>>1)),
			Namespace: Namespace,
		},
		EventTime:           metav1.NewMicroTime(r.Clock.Now()),
		ReportingController: controller,
		ReportingInstance:   r.Instance,
		Action:              action,
		Reason:              reason,
		Regarding:           regarding,
		Note:                shorten(note),
		Type:                kind,
	}, since}
}

func nodeReference(n kubelet.Node) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}
}

func apiServiceReference() corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: apiServices.GroupVersion().String(), Kind: apiServiceKind, Name: APIService}
}

// NodeUnavailable implements scrape.Events.
func (r *Recorder) NodeUnavailable(n kubelet.Node, since time.Time, reason string, err error) {
	r.put(r.newEvent(nodeReference(n), since, ReasonUnavailable, reason, fmt.Sprintf(
		"No metrics of this node and its pods: scraping its kubelet has failed for %s (%s): %v; metrics-server check --node=%s tells more",
		r.Clock.Since(since).Round(time.Second), reason, err, n.Name)))
}

// NodeAvailable implements scrape.Events.
func (r *Recorder) NodeAvailable(n kubelet.Node, since time.Time) {
	r.put(r.newEvent(nodeReference(n), since, ReasonAvailable, "", "Scraping this node's kubelet works again"))
}

// OutageBegins implements scrape.Events. Numbers of the same magnitude are one Event.
func (r *Recorder) OutageBegins(o scrape.Outage) {
	key := fmt.Sprint(bits.Len(uint(o.Unavailable)), o.Reasons.Names())
	r.put(r.newEvent(apiServiceReference(), o.Since, ReasonUnavailable, key, fmt.Sprintf(
		"%d of %d nodes have no metrics, and not each of them has an Event: scraping their kubelets fails (%s); metrics-server check tells more",
		o.Unavailable, o.Nodes, o.Reasons)))
}

// OutageEnds implements scrape.Events.
func (r *Recorder) OutageEnds(since time.Time, few int) {
	r.put(r.newEvent(apiServiceReference(), since, ReasonAvailable, "", fmt.Sprintf(
		"The outage of many nodes is over: no more than %d have no metrics", few)))
}

// shorten leaves out the middle of what is too long for a note.
func shorten(text string) string {
	if len(text) <= maxNote {
		return text
	}
	const gap = "…"
	begin := text[:maxNote-noteEnd-len(gap)]
	return strings.ToValidUTF8(begin, "") + gap + strings.ToValidUTF8(text[len(text)-noteEnd:], "")
}
