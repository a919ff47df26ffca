// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// much is the part of all nodes or pods that is critical: one in so many.
const much = 2

// judge finds what is worst.
func (s *Status) judge() Verdict {
	t := &s.Totals
	withheld := 0
	for _, n := range t.PodsWithheld {
		withheld += n
	}
	pods := t.PodsServed + withheld
	failing := t.NodesByState[StateFailing]
	for _, c := range s.Checks {
		if c.Message != "" && (t.Nodes == 0 || failing == 0 && t.NodesByState[StateWithheld] == 0) {
			return Verdict{LevelWarning, "The check " + c.Name + " fails: " + c.Message + ".", "If it does not pass within minutes, look at the server's log."}
		}
	}
	if t.Nodes == 0 {
		return Verdict{LevelCritical, "There are no nodes to scrape.",
			"Compare `kubectl get nodes` with `--node-selector`, and see that the server may list nodes (ClusterRole system:metrics-server)."}
	}
	for _, p := range s.Problems {
		if p.State == StateFailing || p.State == StateWithheld {
			return s.judgeNodes(p)
		}
	}
	settling := t.PodsWithheld["no_window"] + t.PodsWithheld["not_scraped"]
	switch rest := withheld - settling - t.PodsWithheld["none_running"]; {
	case rest > 0:
		reason := worstPods(t.PodsWithheld)
		return Verdict{level(rest, pods), fmt.Sprintf("%s of %s %s withheld, most because %s.",
			number(rest), plural(pods, "pod"), are(rest), on(reason).Meaning), sentence(on(reason).Remedy)}
	case t.NodesByState[StatePartial] > 0:
		p := s.Problems[slices.IndexFunc(s.Problems, func(p Problem) bool { return p.State == StatePartial })]
		return Verdict{LevelWarning, fmt.Sprintf("Of %s, something is left out: %s.", plural(t.NodesByState[StatePartial], "node"), p.Meaning), sentence(p.Remedy)}
	case t.CertificatesExpiring > 0:
		return Verdict{LevelWarning, fmt.Sprintf("Serving certificates end within 14 days, of %s; the first on %s.",
			plural(t.CertificatesExpiring, "kubelet"), t.FirstCertificateExpires.Format(time.DateOnly)),
			"Look at the CSRs that kubelets have sent: `kubectl get csr`."}
	case t.NodesByState[StateNew] > 0 || settling*10 > pods:
		return Verdict{LevelNotice, fmt.Sprintf("%s of %s and %s of %s are served; the others have just come.",
			number(t.NodesServed), plural(t.Nodes, "node"), number(t.PodsServed), plural(pods, "pod")), ""}
	}
	message := fmt.Sprintf("All is well: %s and %s are served.", plural(t.NodesServed, "node"), plural(t.PodsServed, "pod"))
	if withheld == 1 {
		message = strings.TrimSuffix(message, ".") + "; 1 more pod has no usage yet."
	} else if withheld > 0 {
		message = strings.TrimSuffix(message, ".") + "; " + number(withheld) + " more pods have no usage yet."
	}
	return Verdict{LevelOK, message, ""}
}

// judgeNodes is about nodes that fail or are withheld, with their greatest problem.
func (s *Status) judgeNodes(worst Problem) Verdict {
	t := &s.Totals
	bad := t.NodesByState[worst.State]
	what := are(bad) + " not served"
	if worst.State == StateFailing {
		what = "cannot be read"
	}
	why := ": "
	if worst.Nodes < bad {
		why = ", " + number(worst.Nodes) + " of them because "
	}
	return Verdict{level(bad, t.Nodes), fmt.Sprintf("%s of %s %s%s%s.", number(bad), plural(t.Nodes, "node"), what, why, worst.Meaning), sentence(worst.Remedy)}
}

// level is that of a part of all.
func level(part, all int) Level {
	if part*much >= all {
		return LevelCritical
	}
	return LevelWarning
}

// worstPods is the reason that most pods are withheld for, without those that settle.
func worstPods(withheld map[string]int) (worst string) {
	for _, reason := range []string{"incomplete", "stale"} {
		if worst == "" || withheld[reason] > withheld[worst] {
			worst = reason
		}
	}
	return worst
}

func sentence(clause string) string {
	return strings.ToUpper(clause[:1]) + clause[1:] + "."
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return number(n) + " " + noun
}
