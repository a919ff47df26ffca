// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import "fmt"

// goal is what a measure of the server has to be. The zero value is none.
type goal struct {
	// ratio to the peer's, as a fraction of 1 over it: 5 stands for a fifth.
	fraction float64
	// strict has the ratio below that, and not at it.
	strict bool
	// most is a limit of its own, in the unit of the measure.
	most float64
}

func (g goal) text(unit unit) string {
	switch {
	case g.most > 0:
		return "≤ " + unit.format(g.most)
	case g.fraction == 0:
		return ""
	case g.strict:
		return "< 1"
	case g.fraction == 1:
		return "≤ 1"
	}
	return fmt.Sprintf("≤ 1/%g", g.fraction)
}

// verdict is empty where there is no goal, or nothing to compare with.
func (g goal) verdict(server, peer value) string {
	var met bool
	switch {
	case g.most > 0 && server.known:
		met = server.v <= g.most
	case g.fraction > 0 && server.known && peer.known:
		ratio := server.v / peer.v
		met = ratio < 1/g.fraction || !g.strict && ratio == 1/g.fraction
	case g == goal{}:
		return ""
	default:
		return "not measured"
	}
	if met {
		return "met"
	}
	return "not met"
}
