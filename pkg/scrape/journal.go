// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"time"

	"k8s.io/klog/v2"

	"github.com/kubemeter/metrics-server/pkg/exposition"
)

const (
	// quiet is the least time from one line to the next about a trouble of a node, but
	// for the line that it has ended.
	quiet = 5 * time.Minute
	// maxLines is how many lines begin or change a trouble in a minute, and how many end
	// one. What is over is in the minute's summary.
	maxLines = 20
	// newNode is how long a node that has come while we run may fail without a line: it
	// may be there before its kubelet has its certificate, or its network.
	newNode = 2 * time.Minute
)

// trouble is scrapes of a node, one after the other, that failed, or whose answers held
// what was left out.
type trouble struct {
	scrapes int       // so many; 0 if there is no trouble
	since   time.Time // the first of them
	logged  bool      // there has been a line of this trouble
	reason  string    // that was logged or counted for the summary last
	told    time.Time // when that was; kept when the trouble ends
}

func (t *trouble) goesOn(now time.Time) {
	if t.scrapes == 0 {
		t.since = now
	}
	t.scrapes++
}

// refusal is what was left out of an answer. The zero refusal is nothing.
type refusal struct {
	reason  exposition.Rejection
	example string
}

func refusalOf(samples *exposition.Samples) refusal {
	reason, which, ok := samples.FirstRejected()
	if !ok {
		return refusal{}
	}
	return refusal{reason, which}
}

// journal logs when the troubles of nodes begin, change and end. However many nodes
// have some, and however often they change, its lines are few. Guarded by Pool.mu.
type journal struct {
	minute time.Time // when it ends
	lines  int       // of this minute that begin or change a trouble
	ends   int       // of this minute that end one
	left   int       // lines left out of this minute
}

// failed takes in a scrape that has failed. A single one is not worth a line: nothing
// is lost by it, and it is counted. Nor are those of a node that is about to be deleted.
func (j *journal) failed(t *target, err error, now time.Time) {
	t.failing.goesOn(now)
	if t.failing.scrapes < lastingFailures || now.Before(t.newUntil) {
		return
	}
	if reason := reasonOf(err); j.logs(&t.failing, reason, now) {
		klog.ErrorS(err, "Scraping a node fails", "node", klog.KRef("", t.name), "reason", reason,
			"failures", t.failing.scrapes, "failingFor", now.Sub(t.failing.since).Round(time.Second))
	}
}

// answered takes in a scrape that has not failed.
func (j *journal) answered(t *target, refused refusal, now time.Time) {
	if failing, log := j.end(&t.failing); log {
		klog.InfoS("Scraping a node works again", "node", klog.KRef("", t.name),
			"failures", failing.scrapes, "failedFor", now.Sub(failing.since).Round(time.Second))
	}
	if refused == (refusal{}) {
		if refusing, log := j.end(&t.refusing); log {
			klog.InfoS("A node's answers are sound again", "node", klog.KRef("", t.name),
				"answers", refusing.scrapes, "refusedFor", now.Sub(refusing.since).Round(time.Second))
		}
		return
	}
	t.refusing.goesOn(now)
	if t.refusing.scrapes < lastingFailures || now.Before(t.newUntil) || !j.logs(&t.refusing, refused.reason.String(), now) {
		return
	}
	message := "A node's answers hold what cannot be true, which is left out: look at its kubelet and container runtime, and update or restart them"
	switch refused.reason {
	case exposition.RejectedTimestamp:
		message = "A node's samples have times that cannot be true, and are not served: compare its clock with that of the metrics server's node"
	case exposition.RejectedOtherNode, exposition.RejectedNotListed:
		message = "A node reports pods that do not run there according to the API server, and that are left out: look for pods on it that were deleted by force"
	}
	klog.ErrorS(nil, message, "node", klog.KRef("", t.name), "reason", refused.reason, "example", refused.example)
}

// logs tells whether a trouble is to be logged for a reason.
func (j *journal) logs(t *trouble, reason string, now time.Time) bool {
	if reason == t.reason || !t.told.IsZero() && now.Sub(t.told) < quiet {
		return false
	}
	t.reason, t.told = reason, now
	if j.lines == maxLines {
		j.left++
		return false
	}
	j.lines++
	t.logged = true
	return true
}

// end ends a trouble. It returns what it was, and whether to log that.
func (j *journal) end(t *trouble) (ended trouble, log bool) {
	ended = *t
	*t = trouble{told: ended.told}
	switch {
	case ended.reason == "": // there was none, or a passing one
	case ended.logged && j.ends < maxLines:
		j.ends++
		log = true
	default:
		j.left++
	}
	return ended, log
}

// summarize logs how nodes are, if a minute has ended in which lines were left out.
func (j *journal) summarize(targets map[string]*target, now time.Time) {
	if now.Before(j.minute) {
		return
	}
	left := j.left
	*j = journal{minute: now.Add(time.Minute)}
	if left == 0 {
		return
	}
	failing, refusing, reasons := 0, 0, Reasons{}
	for _, t := range targets {
		if t.failing.scrapes >= lastingFailures {
			failing++
		}
		if t.refusing.scrapes >= lastingFailures {
			refusing++
		}
		for _, reason := range []string{t.failing.reason, t.refusing.reason} {
			if reason != "" {
				reasons[reason]++
			}
		}
	}
	klog.ErrorS(nil, "More nodes begin or cease to fail than are logged one by one", "leftOut", left,
		"nodes", len(targets), "failing", failing, "answersNotSound", refusing, "reasons", reasons.String())
}
